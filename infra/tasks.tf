# Deliveries of webhooks and mails, one task each, once the events service delivers them. Until then the deliver job
# does.

resource "google_cloud_tasks_queue" "deliveries" {
  count = var.events_enabled ? 1 : 0

  name     = "${var.name}-deliveries"
  location = var.region

  rate_limits {
    max_concurrent_dispatches = 20
    max_dispatches_per_second = 50
  }

  # The outbox in the database says when to give up; the queue only must not do so earlier.
  retry_config {
    max_attempts  = 100
    min_backoff   = "10s"
    max_backoff   = "3600s"
    max_doublings = 8
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_tasks_queue_iam_member" "events_enqueues" {
  count = var.events_enabled ? 1 : 0

  name     = google_cloud_tasks_queue.deliveries[0].name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.this["events"].member
}
