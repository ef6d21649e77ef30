resource "google_healthcare_dataset" "this" {
  name            = var.name
  location        = var.region
  deletion_policy = var.protect ? "PREVENT" : "DELETE"

  dynamic "encryption_spec" {
    for_each = var.cmek ? [local.keys.healthcare] : []

    content {
      kms_key_name = encryption_spec.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_healthcare_dicom_store" "this" {
  name            = "images"
  dataset         = google_healthcare_dataset.this.id
  deletion_policy = var.protect ? "PREVENT" : "DELETE"

  # Whom it tells of what is stored, imported and deleted, the migrate job sets and asserts (KHEOPS_STORE_TOPIC): the
  # provider knows the older notification_config only, which tells of no deletion. It must not take it away either.
  lifecycle {
    ignore_changes = [notification_config]
  }

  # Each call that stores would fail if the store's notification could not be published.
  depends_on = [google_pubsub_topic_iam_member.store_publishes]
}
