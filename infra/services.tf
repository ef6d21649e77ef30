# The three public services. Whoever comes has to come through the load balancer; who they are, KHEOPS asks itself, so
# Cloud Run's own check, which would take the caller's bearer token for one of Google's, is off.

locals {
  # functions-framework's functions, served by Granian: it speaks HTTP/2 without TLS, which lifts Cloud Run's limit of
  # 32 MiB a request. Dockerfile has the same command.
  command = ["granian"]
  arguments = [
    "--interface", "asgi", "--http", "auto", "--host", "0.0.0.0", "--port", "8080",
    "--log-level", "warning", "--no-access-log", "main:app",
  ]

  # The data plane streams whole studies.
  timeouts = { dicomweb = "3600s", api = "300s", web = "60s" }
}

resource "google_cloud_run_v2_service" "public" {
  for_each = var.services

  name     = "${var.name}-${each.key}"
  location = var.region

  ingress              = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  invoker_iam_disabled = true
  default_uri_disabled = true
  # It holds nothing.
  deletion_protection = false

  template {
    service_account                  = google_service_account.this[each.key].email
    timeout                          = local.timeouts[each.key]
    max_instance_request_concurrency = each.value.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = lookup(local.keys, "run", null)

    scaling {
      min_instance_count = each.value.min_instances
      max_instance_count = each.value.max_instances
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
      working_dir = "/app/functions/${each.key}"

      ports {
        name           = "h2c"
        container_port = 8080
      }

      resources {
        limits = { cpu = each.value.cpu, memory = each.value.memory }
        # Uploads renew their leases, and counts of the audit trail are written, between requests too.
        cpu_idle          = false
        startup_cpu_boost = true
      }

      # Granian listens once the application has opened: connected to the database, and found its schema new enough.
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

        # Needs no database: one that is away is not mended by starting this anew.
        http_get {
          path = "/liveness"
          port = 8080
        }
      }

      # An instance that has lost its database, or whose schema is behind, gets no requests until it is better.
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
        for_each = local.environments[each.key]

        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  # Without var.hold_traffic the newest revision has everything. With it the newest can be had by its tag alone.
  traffic {
    type     = contains(keys(var.hold_traffic), each.key) ? "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION" : "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    revision = lookup(var.hold_traffic, each.key, null)
    percent  = 100
    tag      = contains(keys(var.hold_traffic), each.key) ? "held" : var.release
  }

  dynamic "traffic" {
    for_each = contains(keys(var.hold_traffic), each.key) ? [var.release] : []

    content {
      type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
      percent = 0
      tag     = traffic.value
    }
  }

  depends_on = [
    # The schema before those who need it.
    google_cloud_run_v2_job.migrate,
    google_secret_manager_secret_version.made,
    google_secret_manager_secret_version.client,
    google_secret_manager_secret_iam_member.this,
    google_project_iam_member.database,
    google_healthcare_dicom_store_iam_member.this,
    google_kms_crypto_key_iam_member.service_agent,
  ]
}
