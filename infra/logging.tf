# What is kept: the audit logs of Google Cloud and our own logs, in a bucket of this region that nobody can shorten.
# What is not: request logs, since addresses carry tokens of links and names of patients.

locals {
  ours = "resource.type = (\"cloud_run_revision\" OR \"cloud_run_job\") AND logName:(\"run.googleapis.com%2Fstdout\" OR \"run.googleapis.com%2Fstderr\")"
}

resource "google_logging_project_bucket_config" "this" {
  project          = var.project
  location         = var.region
  bucket_id        = "${var.name}-audit"
  description      = "Audit logs of Google Cloud, and the logs of KHEOPS"
  retention_days   = var.log_retention_days
  locked           = var.lock_logs
  enable_analytics = true
  deletion_policy  = var.protect ? "PREVENT" : "DELETE"

  dynamic "cmek_settings" {
    for_each = var.cmek ? [local.keys.logs] : []

    content {
      kms_key_name = cmek_settings.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_logging_project_sink" "this" {
  name        = "${var.name}-audit"
  destination = "logging.googleapis.com/${google_logging_project_bucket_config.this.id}"
  filter      = "logName:\"cloudaudit.googleapis.com\" OR (${local.ours})"
  # A bucket of the same project needs no right of its own.
  unique_writer_identity = true
}

resource "google_logging_project_exclusion" "requests" {
  for_each = {
    run           = "resource.type = \"cloud_run_revision\" AND logName:\"run.googleapis.com%2Frequests\""
    load-balancer = "resource.type = \"http_load_balancer\""
  }

  name        = "${var.name}-${each.key}-requests"
  description = "Addresses carry tokens of links and names of patients."
  filter      = each.value

  depends_on = [google_project_service.this]
}

# Each read and write of these, in the name of the service account.
resource "google_project_iam_audit_config" "this" {
  for_each = var.data_access_logs ? toset([
    "cloudkms.googleapis.com", "cloudsql.googleapis.com", "healthcare.googleapis.com", "secretmanager.googleapis.com", "storage.googleapis.com",
  ]) : []

  project = var.project
  service = each.value

  dynamic "audit_log_config" {
    for_each = ["ADMIN_READ", "DATA_READ", "DATA_WRITE"]

    content {
      log_type = audit_log_config.value
    }
  }
}
