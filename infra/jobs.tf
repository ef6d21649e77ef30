# The kheops command line as jobs: the migrations, which each release runs, and what the scheduler starts.

locals {
  # What may take longer than a request. Without the events service, also what it would do.
  scheduled = merge({
    audit-verify = { schedule = var.schedule.audit_verify, command = "audit-verify", timeout = "3600s" }
    import       = { schedule = var.schedule.import, command = "import", timeout = "21600s" }
    }, var.events_enabled ? {} : {
    reconcile = { schedule = "*/5 * * * *", command = "reconcile --log-grants", timeout = "1800s" }
    deliver   = { schedule = "*/5 * * * *", command = "deliver", timeout = "1800s" }
    purge     = { schedule = var.schedule.purge, command = "purge", timeout = "7200s" }
  })
}

resource "google_cloud_run_v2_job" "migrate" {
  name                = "${var.name}-migrate"
  location            = var.region
  deletion_protection = false

  # A new image is a new token: the job runs, and the services follow only when it has ended well.
  run_execution_token = substr(sha256(var.image), 0, 12)

  template {
    template {
      service_account       = google_service_account.this["migrate"].email
      timeout               = "1800s"
      max_retries           = 0
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      encryption_key        = lookup(local.keys, "run", null)

      vpc_access {
        egress = local.through_vpc ? "ALL_TRAFFIC" : "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = google_compute_network.this.id
          subnetwork = google_compute_subnetwork.services.id
        }
      }

      containers {
        image   = var.image
        command = ["kheops"]
        args    = ["migrate"]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = local.environments.migrate

          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  depends_on = [
    google_sql_database.this,
    google_project_iam_member.database,
    google_kms_crypto_key_iam_member.service_agent,
    # It tells the store whom to notify.
    google_healthcare_dicom_store_iam_member.this,
    google_pubsub_topic_iam_member.store_publishes,
  ]
}

resource "google_cloud_run_v2_job" "scheduled" {
  for_each = local.scheduled

  name                = "${var.name}-${each.key}"
  location            = var.region
  deletion_protection = false

  template {
    template {
      service_account       = google_service_account.this["events"].email
      timeout               = each.value.timeout
      max_retries           = 0
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      encryption_key        = lookup(local.keys, "run", null)

      vpc_access {
        egress = local.through_vpc ? "ALL_TRAFFIC" : "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = google_compute_network.this.id
          subnetwork = google_compute_subnetwork.services.id
        }
      }

      containers {
        image   = var.image
        command = ["kheops"]
        args    = split(" ", each.value.command)

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }

        dynamic "env" {
          for_each = local.environments.events

          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  depends_on = [
    google_cloud_run_v2_job.migrate,
    google_secret_manager_secret_version.made,
    google_secret_manager_secret_iam_member.this,
    google_healthcare_dicom_store_iam_member.this,
  ]
}
