# One service account for each service, one for the migrations, and one that calls. tests/infra/test_rights.py has the
# list of who may what, and holds this against it.

locals {
  accounts = {
    dicomweb = "The data plane: reads and writes the DICOM store"
    api      = "The control plane: database only"
    web      = "The pages: database only"
    events   = "Scheduled work and notifications: reads and deletes in the DICOM store"
    migrate  = "Migrations: owns the database's schema"
  }
  role_prefix = replace(var.name, "-", "_")

  store_roles = {
    dicomweb = google_project_iam_custom_role.store_writer.name
    events   = google_project_iam_custom_role.store_deleter.name
  }

  secrets_read = {
    for pair in setproduct(keys(local.accounts), concat(
      [for secret in google_secret_manager_secret.this : secret.secret_id],
      var.smtp_password_secret == null ? [] : [var.smtp_password_secret],
    )) : "${pair[0]}/${pair[1]}" => { account = pair[0], secret = pair[1] }
  }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  account_id   = "${var.name}-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.this]
}

resource "google_service_account" "caller" {
  account_id   = "${var.name}-caller"
  display_name = "Starts the jobs and pushes notifications: may call, and nothing else"

  depends_on = [google_project_service.this]
}

# The predefined roles that read or write also export whole stores, so they are not used.

resource "google_project_iam_custom_role" "store_writer" {
  role_id     = "${local.role_prefix}_store_writer"
  title       = "KHEOPS: read and store by DICOMweb"
  permissions = ["healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebWrite"]
}

resource "google_project_iam_custom_role" "store_deleter" {
  role_id     = "${local.role_prefix}_store_deleter"
  title       = "KHEOPS: read and delete by DICOMweb"
  permissions = ["healthcare.dicomStores.dicomWebRead", "healthcare.dicomStores.dicomWebDelete"]
}

resource "google_project_iam_custom_role" "operation_viewer" {
  role_id     = "${local.role_prefix}_operation_viewer"
  title       = "KHEOPS: see how a deletion gets on"
  permissions = ["healthcare.operations.get"]
}

resource "google_project_iam_custom_role" "secret_reader" {
  role_id = "${local.role_prefix}_secret_reader"
  title   = "KHEOPS: read a secret's versions"
  # The list tells since when each version is there, and so until when the one before it verifies.
  permissions = ["secretmanager.versions.access", "secretmanager.versions.list"]
}

resource "google_healthcare_dicom_store_iam_member" "this" {
  for_each = local.store_roles

  dicom_store_id = google_healthcare_dicom_store.this.id
  role           = each.value
  member         = google_service_account.this[each.key].member
}

# Deletions are operations of the dataset.
resource "google_healthcare_dataset_iam_member" "events_sees_operations" {
  dataset_id = google_healthcare_dataset.this.id
  role       = google_project_iam_custom_role.operation_viewer.name
  member     = google_service_account.this["events"].member
}

resource "google_project_iam_member" "database" {
  for_each = {
    for pair in setproduct(keys(local.accounts), ["client", "instanceUser"]) : "${pair[0]}/${pair[1]}" => {
      account = pair[0], role = "roles/cloudsql.${pair[1]}"
    }
  }

  project = var.project
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member

  condition {
    title      = "only-this-instance"
    expression = "resource.name == \"projects/${var.project}/instances/${google_sql_database_instance.this.name}\" && resource.type == \"sqladmin.googleapis.com/Instance\""
  }
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = local.secrets_read

  project   = var.project
  secret_id = each.value.secret
  role      = google_project_iam_custom_role.secret_reader.name
  member    = google_service_account.this[each.value.account].member
}

resource "google_cloud_run_v2_job_iam_member" "caller_starts" {
  for_each = google_cloud_run_v2_job.scheduled

  name     = each.value.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.caller.member
}

resource "google_cloud_run_v2_service_iam_member" "caller_pushes" {
  count = var.events_enabled ? 1 : 0

  name     = google_cloud_run_v2_service.events[0].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.caller.member
}
