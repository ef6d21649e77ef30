resource "google_cloud_scheduler_job" "this" {
  for_each = local.scheduled

  name             = "${var.name}-${each.key}"
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
