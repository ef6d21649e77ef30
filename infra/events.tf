# The service that takes notifications of the store. It has no public address: only Google's own Pub/Sub and Tasks
# reach it from outside the network, and Cloud Run checks that it is the caller's account.

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
        name           = "http1"
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

        tcp_socket {
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 6

        tcp_socket {
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

  depends_on = [google_cloud_run_v2_job.migrate]
}
