locals {
  connections_per_instance = 8
  # Those of dicomweb, api and web at their most, the events service and the jobs. KHEOPS_MAX_INSTANCES is this sum.
  instances = sum([for service in values(var.services) : service.max_instances]) + local.events_instances + 5
  # The services want less than what PostgreSQL takes when two versions run side by side.
  max_connections = max(100, 2 * local.instances * local.connections_per_instance + 20)
}

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV2_GCP_13:the duration of each statement is a line for each request; query insights keeps them
  name             = var.name
  region           = var.region
  database_version = "POSTGRES_18"

  deletion_protection = var.protect
  encryption_key_name = lookup(local.keys, "database", null)

  settings {
    # Without it, version 16 and later means ENTERPRISE_PLUS, which does not know these tiers.
    edition                     = "ENTERPRISE"
    tier                        = var.database_tier.tier
    availability_type           = var.database_tier.availability
    disk_type                   = "PD_SSD"
    disk_size                   = var.database_tier.disk_gb
    disk_autoresize             = true
    deletion_protection_enabled = var.protect
    retain_backups_on_delete    = var.protect
    # Only Google's connector, by which the service accounts log in without a password.
    connector_enforcement = "REQUIRED"

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.this.id
      # The connector brings a certificate of an hour for each service account.
      ssl_mode = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "01:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 30
      }
    }

    final_backup_config {
      enabled        = var.protect
      retention_days = var.protect ? 90 : null
    }

    maintenance_window {
      day          = 7
      hour         = 2
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
      # The statements' texts have placeholders; addresses of callers are in our own audit trail.
      record_client_address = false
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    # Without the details of an error, which quote the values of rows.
    database_flags {
      name  = "log_error_verbosity"
      value = "terse"
    }

    database_flags {
      name  = "log_hostname"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    # Texts of statements would carry names of patients into the log: only those that fail, and changes of the schema.

    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }

    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }

    database_flags {
      name  = "log_min_messages"
      value = "error"
    }

    database_flags {
      name  = "log_statement"
      value = "ddl"
    }

    database_flags {
      name  = "max_connections"
      value = tostring(local.max_connections)
    }

    database_flags {
      name  = "pgaudit.log"
      value = "role,ddl"
    }
  }

  depends_on = [google_service_networking_connection.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_sql_database" "this" {
  name            = "kheops"
  instance        = google_sql_database_instance.this.name
  deletion_policy = var.protect ? "ABANDON" : "DELETE"
}

# One role for each service account, by IAM: there is no password. The services read and write rows; only the
# migrations change the schema, and own it.
resource "google_sql_user" "this" {
  for_each = google_service_account.this

  name     = trimsuffix(each.value.email, ".gserviceaccount.com")
  instance = google_sql_database_instance.this.name
  type     = "CLOUD_IAM_SERVICE_ACCOUNT"

  database_roles = each.key == "migrate" ? ["cloudsqlsuperuser"] : ["pg_read_all_data", "pg_write_all_data"]
  # A role that owns tables cannot be dropped; it goes with the instance.
  deletion_policy = "ABANDON"
}
