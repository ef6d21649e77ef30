# The service that takes notifications of the store and does scheduled work. It has no public address: only Google's own
# Pub/Sub, Tasks and Scheduler reach it from outside the network, and Cloud Run checks that it is the caller's account.

locals {
  events_instances = var.events_enabled ? 3 : 0

  # Its own address, spelt out: a service cannot be told of the one that it is given.
  events_audience = "https://${var.name}-events-${local.project_number}.${var.region}.run.app"
}

resource "google_cloud_run_v2_service" "events" {
  count = var.events_enabled ? 1 : 0

  name     = "${var.name}-events"
  location = var.region

  ingress             = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  custom_audiences    = [local.events_audience]
  deletion_protection = false

  template {
    service_account                  = google_service_account.this["events"].email
    timeout                          = "600s"
    max_instance_request_concurrency = 8
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = lookup(local.keys, "run", null)

    scaling {
      min_instance_count = 0
      max_instance_count = local.events_instances
    }

    vpc_access {
      egress = local.through_vpc ? "ALL_TRAFFIC" : "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = google_compute_network.this.id
        subnetwork = google_compute_subnetwork.services.id
      }
    }

    containers {
      image       = var.image
      command     = local.command
      args        = local.arguments
      working_dir = "/app/functions/events"

      ports {
        name           = "h2c"
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 60

        http_get {
          path = "/readiness"
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 6

        http_get {
          path = "/liveness"
          port = 8080
        }
      }

      readiness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        success_threshold = 1

        http_get {
          path = "/readiness"
          port = 8080
        }
      }

      dynamic "env" {
        for_each = local.environments.events

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
    tag     = var.release
  }

  depends_on = [
    google_cloud_run_v2_job.migrate,
    google_secret_manager_secret_version.made,
    google_secret_manager_secret_iam_member.this,
    google_project_iam_member.database,
    google_healthcare_dicom_store_iam_member.this,
    google_kms_crypto_key_iam_member.service_agent,
  ]
}
