# What Google would answer, as far as something depends on it.

mock_data "google_project" {
  defaults = { number = "123456789012" }
}

mock_data "google_logging_project_cmek_settings" {
  defaults = { service_account_id = "cmek-p123456789012@gcp-sa-logging.iam.gserviceaccount.com" }
}

mock_resource "google_sql_database_instance" {
  defaults = { connection_name = "example-project:europe-west4:kheops" }
}

mock_resource "google_healthcare_dicom_store" {
  defaults = { id = "projects/example-project/locations/europe-west4/datasets/kheops/dicomStores/images" }
}

mock_resource "google_cloud_tasks_queue" {
  defaults = { id = "projects/example-project/locations/europe-west4/queues/kheops-deliveries" }
}

mock_resource "google_pubsub_topic" {
  defaults = { id = "projects/example-project/topics/kheops-store" }
}

mock_resource "google_certificate_manager_dns_authorization" {
  defaults = {
    dns_resource_record = [{ name = "_acme-challenge.images.example.org.", type = "CNAME", data = "x.authorize.example." }]
  }
}

mock_resource "google_cloud_run_v2_service" {
  defaults = { uri = "https://kheops-events.example" }
}

override_resource {
  target = google_service_account.this["dicomweb"]
  values = {
    email  = "kheops-dicomweb@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-dicomweb@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.this["api"]
  values = {
    email  = "kheops-api@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-api@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.this["web"]
  values = {
    email  = "kheops-web@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-web@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.this["events"]
  values = {
    email  = "kheops-events@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-events@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.this["migrate"]
  values = {
    email  = "kheops-migrate@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-migrate@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.caller
  values = {
    email  = "kheops-caller@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:kheops-caller@example-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_project_iam_custom_role.store_writer
  values = { name = "projects/example-project/roles/kheops_store_writer" }
}

override_resource {
  target = google_project_iam_custom_role.store_deleter
  values = { name = "projects/example-project/roles/kheops_store_deleter" }
}

override_resource {
  target = google_project_iam_custom_role.store_notifier
  values = { name = "projects/example-project/roles/kheops_store_notifier" }
}

override_resource {
  target = google_project_iam_custom_role.operation_viewer
  values = { name = "projects/example-project/roles/kheops_operation_viewer" }
}

override_resource {
  target = google_project_iam_custom_role.secret_reader
  values = { name = "projects/example-project/roles/kheops_secret_reader" }
}

override_resource {
  target = google_secret_manager_secret.this["token-pepper"]
  values = { id = "projects/example-project/secrets/kheops-token-pepper" }
}

override_resource {
  target = google_secret_manager_secret.this["session-key"]
  values = { id = "projects/example-project/secrets/kheops-session-key" }
}
