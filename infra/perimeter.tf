# VPC Service Controls. People and viewers come through the load balancer, which no perimeter concerns; whoever runs
# Terraform or looks at the console needs an access level.

locals {
  perimeter = var.vpc_service_controls == null ? [] : [{
    resources     = ["projects/${local.project_number}"]
    access_levels = var.vpc_service_controls.access_levels
    restricted_services = [
      "artifactregistry.googleapis.com",
      "cloudkms.googleapis.com",
      "healthcare.googleapis.com",
      "logging.googleapis.com",
      "pubsub.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "sqladmin.googleapis.com",
      "storage.googleapis.com",
      "telemetry.googleapis.com",
    ]
  }]
}

resource "google_access_context_manager_service_perimeter" "this" {
  count = length(local.perimeter)

  parent                    = "accessPolicies/${var.vpc_service_controls.access_policy}"
  name                      = "accessPolicies/${var.vpc_service_controls.access_policy}/servicePerimeters/${replace(var.name, "-", "_")}"
  title                     = var.name
  use_explicit_dry_run_spec = var.vpc_service_controls.dry_run

  dynamic "status" {
    for_each = var.vpc_service_controls.dry_run ? [] : local.perimeter

    content {
      resources           = status.value.resources
      access_levels       = status.value.access_levels
      restricted_services = status.value.restricted_services
    }
  }

  dynamic "spec" {
    for_each = var.vpc_service_controls.dry_run ? local.perimeter : []

    content {
      resources           = spec.value.resources
      access_levels       = spec.value.access_levels
      restricted_services = spec.value.restricted_services
    }
  }

  depends_on = [google_project_service.this]
}
