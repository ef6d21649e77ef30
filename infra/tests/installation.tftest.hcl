mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project     = "example-project"
  region      = "europe-west4"
  domain      = "images.example.org"
  image       = "europe-west4-docker.pkg.dev/example-project/kheops/kheops@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  release     = "v1-0-0"
  alert_email = "it@example.org"
  # Terraform 1.11 loses the default of an ephemeral variable between planning and applying a test.
  client_secrets = {}
  issuers = [{
    issuer           = "https://login.example.org"
    audiences        = ["kheops"]
    access_token_typ = "at+jwt"
    client_id        = "kheops-web"
  }]
}

run "from_an_empty_project" {
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.public : service.ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" && service.default_uri_disabled && service.invoker_iam_disabled])
    error_message = "The public services are reached through the load balancer only, and ask for credentials themselves."
  }

  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.public : service.template[0].containers[0].ports[0].name == "h2c"])
    error_message = "Without h2c Cloud Run refuses requests of more than 32 MiB."
  }

  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.public : service.traffic[0].type == "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST" && length(service.traffic) == 1])
    error_message = "The newest revision has all traffic."
  }

  assert {
    condition     = toset([for name, member in google_healthcare_dicom_store_iam_member.this : name if member.role != google_project_iam_custom_role.store_notifier.name]) == toset(["dicomweb", "events"]) && length([for each in google_project_iam_custom_role.store_notifier.permissions : each if strcontains(each, "dicomWeb")]) == 0
    error_message = "Only the data plane and the scheduled work reach the images."
  }

  assert {
    condition     = !contains(google_project_iam_custom_role.store_writer.permissions, "healthcare.dicomStores.dicomWebDelete") && google_healthcare_dicom_store_iam_member.this["dicomweb"].role == google_project_iam_custom_role.store_writer.name
    error_message = "The data plane deletes nothing."
  }

  assert {
    condition     = !google_sql_database_instance.this.settings[0].ip_configuration[0].ipv4_enabled && google_sql_database_instance.this.settings[0].backup_configuration[0].point_in_time_recovery_enabled
    error_message = "The database has no public address, and can be brought back to any moment."
  }

  assert {
    condition = alltrue([
      google_sql_database_instance.this.deletion_protection,
      google_healthcare_dataset.this.deletion_policy == "PREVENT",
      google_healthcare_dicom_store.this.deletion_policy == "PREVENT",
      google_logging_project_bucket_config.this.locked,
      alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection]),
    ])
    error_message = "What holds data refuses to be destroyed."
  }

  assert {
    condition     = alltrue([for service in concat(values(google_cloud_run_v2_service.public), google_cloud_run_v2_service.events) : service.template[0].containers[0].startup_probe[0].http_get[0].path == "/readiness" && service.template[0].containers[0].liveness_probe[0].http_get[0].path == "/liveness" && service.template[0].containers[0].readiness_probe[0].http_get[0].path == "/readiness"])
    error_message = "Each service is asked whether it has started, is ready, and lives; the last needs no database."
  }

  assert {
    condition     = google_cloud_tasks_queue.deliveries[0].http_target[0].uri_override[0].uri_override_enforce_mode == "ALWAYS" && google_cloud_tasks_queue.deliveries[0].http_target[0].oidc_token[0].audience == local.events_audience && google_cloud_tasks_queue.deliveries[0].http_target[0].uri_override[0].host == trimprefix(local.events_audience, "https://")
    error_message = "The queue, and not who adds a task, says what is called and as whom."
  }

  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.task : job.http_target[0].oidc_token[0].audience == local.events_audience && job.http_target[0].oidc_token[0].service_account_email == google_service_account.caller.email && startswith(job.http_target[0].uri, "${local.events_audience}/tasks/")])
    error_message = "The scheduler calls the events service, as the caller, for the audience that the service asks for."
  }

  assert {
    condition     = google_pubsub_subscription.store.push_config[0].oidc_token[0].audience == local.events_audience && google_pubsub_subscription.store.dead_letter_policy[0].max_delivery_attempts == 20
    error_message = "Notifications are pushed to the events service, and put aside when it does not take them."
  }

  assert {
    condition     = output.database_connections.wanted < output.database_connections.limit
    error_message = "Two releases side by side fit into the database."
  }
}

# The random keys are new at each run, and are used at the first only.
run "again_changes_nothing" {
  command = plan
}

run "traffic_is_held_back" {
  command = plan

  variables {
    hold_traffic = { dicomweb = "kheops-dicomweb-00007-abc" }
  }

  assert {
    condition     = google_cloud_run_v2_service.public["dicomweb"].traffic[0].revision == "kheops-dicomweb-00007-abc" && google_cloud_run_v2_service.public["dicomweb"].traffic[1].percent == 0
    error_message = "The revision that is named has the traffic, and the newest has none."
  }

  assert {
    condition     = length(google_cloud_run_v2_service.public["api"].traffic) == 1
    error_message = "The other services are not concerned."
  }
}

run "an_installation_to_throw_away" {
  command = plan

  variables {
    protect   = false
    lock_logs = false
  }

  assert {
    condition     = !google_sql_database_instance.this.deletion_protection && google_healthcare_dataset.this.deletion_policy == "DELETE"
    error_message = "It can be destroyed."
  }
}

run "without_the_events_service" {
  command = plan

  variables {
    events_enabled = false
  }

  assert {
    condition     = length(google_cloud_scheduler_job.task) == 0 && toset(keys(google_cloud_scheduler_job.job)) == toset(["audit-verify", "deliver", "import", "purge", "reconcile"])
    error_message = "Jobs do what the events service would."
  }

  assert {
    condition     = !contains(keys(local.environments.api), "KHEOPS_DELIVERY_QUEUE") && length(google_pubsub_subscription.store.push_config) == 0
    error_message = "Nobody is woken or pushed to."
  }
}

run "an_image_by_tag_is_refused" {
  command = plan

  variables {
    image = "europe-west4-docker.pkg.dev/example-project/kheops/kheops:latest"
  }

  expect_failures = [var.image]
}

run "a_client_secret_among_the_issuers_is_refused" {
  command = plan

  variables {
    issuers = [{ issuer = "https://login.example.org", client_secret = "would be in the state" }]
  }

  expect_failures = [var.issuers]
}

run "a_setting_that_terraform_makes_is_refused" {
  command = plan

  variables {
    settings = { KHEOPS_STORE_URL = "https://elsewhere.example" }
  }

  expect_failures = [var.settings]
}

run "with_everything_that_can_be_chosen" {
  variables {
    client_secrets       = { "https://login.example.org" = "a secret of the tests" }
    confidential_issuers = ["https://login.example.org"]
    cmek                 = true
    dns_zone             = "example-org"
    smtp_password_secret = "smtp-password"
    telemetry_enabled    = true
    settings             = { KHEOPS_MAIL_FROM = "kheops@example.org", KHEOPS_MAIL_SMTP_HOST = "smtp.example.org", KHEOPS_MAIL_SMTP_USER = "kheops" }
    vpc_service_controls = { access_policy = "1234567890", dry_run = false }
    budget               = { billing_account = "012345-6789AB-CDEF01", amount = 1000 }
  }

  assert {
    condition     = google_cloud_run_v2_service.events[0].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && google_cloud_run_v2_service.events[0].invoker_iam_disabled != true
    error_message = "Nobody but Google's own services, as the caller, reaches the events service."
  }

  assert {
    condition     = google_cloud_run_v2_service_iam_member.caller_calls[0].member == google_service_account.caller.member
    error_message = "The caller, and nobody else, may call the events service."
  }

  assert {
    condition     = length(google_healthcare_dataset.this.encryption_spec) == 1 && google_sql_database_instance.this.encryption_key_name != null
    error_message = "Images and database are encrypted under keys of your own."
  }

  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.public : service.template[0].vpc_access[0].egress == "ALL_TRAFFIC"])
    error_message = "Inside a perimeter all traffic goes through the network."
  }
}
