# Notifications of the store: one for each instance that is stored or imported.

resource "google_pubsub_topic" "store" {
  name         = "${var.name}-store"
  kms_key_name = lookup(local.keys, "pubsub", null)

  # UIDs may count as data of patients: they stay in the region.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_pubsub_topic_iam_member" "store_publishes" {
  topic  = google_pubsub_topic.store.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:service-${local.project_number}@gcp-sa-healthcare.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "undelivered" {
  name         = "${var.name}-undelivered"
  kms_key_name = lookup(local.keys, "pubsub", null)

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.service_agent]
}

resource "google_pubsub_topic_iam_member" "undelivered" {
  topic  = google_pubsub_topic.undelivered.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_subscription" "store" {
  name  = "${var.name}-store"
  topic = google_pubsub_topic.store.id

  message_retention_duration = "604800s"
  ack_deadline_seconds       = 60

  # It stays however long nothing comes.
  expiration_policy {
    ttl = ""
  }

  dynamic "push_config" {
    for_each = google_cloud_run_v2_service.events

    content {
      push_endpoint = push_config.value.uri

      oidc_token {
        service_account_email = google_service_account.caller.email
        audience              = local.events_audience
      }
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.undelivered.id
    max_delivery_attempts = 20
  }
}

# What could not be delivered twenty times lies here for a month, for somebody to look at.
resource "google_pubsub_subscription" "undelivered" {
  name                       = "${var.name}-undelivered"
  topic                      = google_pubsub_topic.undelivered.id
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  subscription = google_pubsub_subscription.store.name
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}
