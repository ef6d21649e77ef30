# The queue that has the events service called when something of the outbox is due: within a second, where the sweep of
# the scheduler (scheduler.tf) comes once a minute. A task says nothing but that; what is to be sent is in the database.

resource "google_cloud_tasks_queue" "deliveries" {
  count = var.events_enabled ? 1 : 0

  name     = "${var.name}-deliveries"
  location = var.region

  # Whoever adds a task chooses neither the address that is called nor the account: the queue has both.
  http_target {
    http_method = "POST"

    uri_override {
      scheme                    = "HTTPS"
      host                      = trimprefix(local.events_audience, "https://")
      uri_override_enforce_mode = "ALWAYS"

      path_override {
        path = "/tasks/deliver"
      }
    }

    oidc_token {
      service_account_email = google_service_account.caller.email
      audience              = local.events_audience
    }
  }

  rate_limits {
    max_concurrent_dispatches = 4
    max_dispatches_per_second = 5
  }

  # The outbox says when there is another attempt, and the sweep finds what is left.
  retry_config {
    max_attempts  = 5
    min_backoff   = "5s"
    max_backoff   = "60s"
    max_doublings = 3
  }

  depends_on = [google_project_service.this]
}

# What a request changes, a webhook or a mail may tell of: all that write to the outbox may add a task.
resource "google_cloud_tasks_queue_iam_member" "wakes" {
  for_each = var.events_enabled ? toset(local.waking) : []

  name     = google_cloud_tasks_queue.deliveries[0].name
  location = var.region
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.this[each.value].member
}
