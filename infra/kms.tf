# Keys of your own, one for each kind of data, in the region of the data.

locals {
  encrypted = var.cmek ? {
    healthcare = "service-${local.project_number}@gcp-sa-healthcare.iam.gserviceaccount.com"
    database   = "service-${local.project_number}@gcp-sa-cloud-sql.iam.gserviceaccount.com"
    secrets    = "service-${local.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    pubsub     = "service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    run        = "service-${local.project_number}@serverless-robot-prod.iam.gserviceaccount.com"
    logs       = data.google_logging_project_cmek_settings.this[0].service_account_id
  } : {}
  keys           = { for use in keys(local.encrypted) : use => google_kms_crypto_key.this[use].id }
  project_number = data.google_project.this.number
}

data "google_logging_project_cmek_settings" "this" {
  count = var.cmek ? 1 : 0

  project = var.project

  depends_on = [google_project_service.this]
}

resource "google_kms_key_ring" "this" {
  count = var.cmek ? 1 : 0

  name     = var.name
  location = var.region

  depends_on = [google_project_service.this]
}

resource "google_kms_crypto_key" "this" {
  #checkov:skip=CKV_GCP_82:deletion_policy prevents it where var.protect is true; prevent_destroy takes no variable
  for_each = local.encrypted

  name     = each.key
  key_ring = google_kms_key_ring.this[0].id
  # 90 days. Older versions go on decrypting what they encrypted.
  rotation_period = "7776000s"
  # A month to change one's mind: without its key the data is gone.
  destroy_scheduled_duration = "2592000s"
  deletion_policy            = var.protect ? "PREVENT" : "DELETE"
}

# The service agents come into being with their API or at its first use; a first apply may have to be run again.
resource "google_kms_crypto_key_iam_member" "service_agent" {
  for_each = local.encrypted

  crypto_key_id = google_kms_crypto_key.this[each.key].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
}
