# Keys are made here, once, and lie in Secret Manager only: write-only arguments are in no plan and no state.
# Services read them by name and look for new versions by themselves, so that a rotation needs no restart.

locals {
  # 244 random bits each, of the operating system's generator. Their value is new at each run and used only when the
  # version is.
  made_secrets = toset(["token-pepper", "session-key"])
  # By issuer; secret ids take no colons and slashes.
  client_secret_ids = { for issuer in var.confidential_issuers : issuer => "client-${substr(sha256(issuer), 0, 12)}" }
  secret_ids        = setunion(local.made_secrets, values(local.client_secret_ids))
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secret_ids

  secret_id           = "${var.name}-${each.value}"
  deletion_protection = var.protect

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.cmek ? [local.keys.secrets] : []

          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_secret_manager_secret_version" "made" {
  for_each = local.made_secrets

  secret                 = google_secret_manager_secret.this[each.value].id
  secret_data_wo         = "${uuid()}${uuid()}"
  secret_data_wo_version = tostring(var.secrets_version)
  # The version before goes on verifying what was signed under it.
  deletion_policy = "ABANDON"

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_secret_manager_secret_version" "client" {
  for_each = local.client_secret_ids

  secret                 = google_secret_manager_secret.this[each.value].id
  secret_data_wo         = var.client_secrets[each.key]
  secret_data_wo_version = tostring(var.client_secrets_version)
  deletion_policy        = "ABANDON"

  lifecycle {
    create_before_destroy = true
  }
}
