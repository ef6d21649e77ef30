# One service account for each service, one for the migrations, and one that calls. tests/infra/test_rights.py has the
# list of who may what, and holds this against it.

locals {
  accounts = {
    dicomweb = "The data plane: reads and writes the DICOM store"
    api      = "The control plane: database only"
    web      = "The pages: database only"
    events   = "Scheduled work and notifications: reads and deletes in the DICOM store"
    migrate  = "Migrations: owns the database's schema, and says whom the store notifies"
  }
  role_prefix = replace(var.name, "-", "_")

  store_roles = {
    dicomweb = google_project_iam_custom_role.store_writer.name
    events   = google_project_iam_custom_role.store_deleter.name
    migrate  = google_project_iam_custom_role.store_notifier.name
  }

  # What each process reads and no more: settings.tf gives it no others, or its code (SECRETS_READ) leaves them alone.
  # The migrations, and the data plane towards the store, need none: those are the accounts themselves.
  secrets_used = {
    dicomweb = ["token-pepper", "session-key"]
    api      = ["token-pepper", "session-key"]
    web      = concat(["token-pepper", "session-key"], values(local.client_secret_ids))
    events   = ["token-pepper"]
    migrate  = []
  }
  secrets_read = merge(
    merge([
      for account, ids in local.secrets_used : {
        for id in ids : "${account}/${id}" => { account = account, secret = google_secret_manager_secret.this[id].secret_id }
      }
    ]...),
    # Only what delivers sends mails.
    var.smtp_password_secret == null ? {} : {
      "events/smtp" = { account = "events", secret = var.smtp_password_secret }
    },
  )

  # Whose transactions write to the outbox.
  waking = ["api", "dicomweb", "events", "web"]
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

resource "google_project_iam_custom_role" "store_notifier" {
  role_id     = "${local.role_prefix}_store_notifier"
  title       = "KHEOPS: say whom the store notifies"
  permissions = ["healthcare.dicomStores.get", "healthcare.dicomStores.update"]
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

# To write traces and metrics, and to read none. The migrations tell of nothing.
resource "google_project_iam_member" "telemetry" {
  for_each = var.telemetry_enabled ? {
    for pair in setproduct(setsubtract(keys(local.accounts), ["migrate"]), ["metricsWriter", "tracesWriter"]) :
    "${pair[0]}/${pair[1]}" => { account = pair[0], role = "roles/telemetry.${pair[1]}" }
  } : {}

  project = var.project
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member

  depends_on = [google_project_service.this]
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

resource "google_cloud_run_v2_service_iam_member" "caller_calls" {
  count = var.events_enabled ? 1 : 0

  name     = google_cloud_run_v2_service.events[0].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.caller.member
}
