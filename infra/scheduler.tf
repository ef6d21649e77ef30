# What is due again and again. Each name of kheops.composition.scheduled.ScheduledTask is here once, and each scheduled
# job of jobs.tf; tests/infra holds this against the code.

locals {
  # Short work: a call of the events service. One that is not whole is 503, and asked for again.
  tasks = var.events_enabled ? {
    clear     = var.schedule.clear
    compare   = var.schedule.compare
    deliver   = var.schedule.deliver
    digests   = var.schedule.digests
    purge     = var.schedule.purge
    reconcile = var.schedule.reconcile
    seal      = var.schedule.seal
  } : {}
}

resource "google_cloud_scheduler_job" "task" {
  for_each = local.tasks

  name             = "${var.name}-task-${each.key}"
  description      = "POST /tasks/${each.key} of the events service"
  region           = var.region
  schedule         = each.value
  time_zone        = "Etc/UTC"
  attempt_deadline = "600s"

  # What is due each minute comes again by itself; the rest has a few more tries.
  retry_config {
    retry_count          = each.value == "* * * * *" ? 0 : 5
    min_backoff_duration = "60s"
    max_backoff_duration = "1800s"
  }

  http_target {
    http_method = "POST"
    uri         = "${local.events_audience}/tasks/${each.key}"

    oidc_token {
      service_account_email = google_service_account.caller.email
      audience              = local.events_audience
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.caller_calls]
}

# Long work: a run of a job, of whose end the alert of jobs hears.
resource "google_cloud_scheduler_job" "job" {
  for_each = local.scheduled

  name             = "${var.name}-job-${each.key}"
  description      = "A run of the job ${var.name}-${each.key}"
  region           = var.region
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  # The next run makes good what this one leaves.
  retry_config {
    retry_count = 1
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.scheduled[each.key].id}:run"

    oauth_token {
      service_account_email = google_service_account.caller.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.caller_starts]
}
