# What has to be there before the rest: a bucket for Terraform's state, and a registry with the image, which Cloud Run
# wants to see when a service is made. Its own state is a file in this folder; it can be made anew by `terraform import`.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7, < 9"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

variable "project" {
  description = "The id of the project."
  type        = string
}

variable "region" {
  description = "The region of state and images; the same as of the rest."
  type        = string
}

variable "name" {
  description = "What the names of all resources begin with; the same as of the rest."
  type        = string
  default     = "kheops"
}

variable "kms_key" {
  description = "A key of Cloud KMS to encrypt state and images with, or null. The service agents of Cloud Storage and Artifact Registry must be allowed to use it."
  type        = string
  default     = null
}

resource "google_project_service" "this" {
  for_each = toset(["artifactregistry.googleapis.com", "cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com", "storage.googleapis.com"])

  service            = each.value
  disable_on_destroy = false
}

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:data access logs of Cloud Storage say who read the state (logging.tf)
  name                        = "${var.project}-${var.name}-terraform"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  # Old states are of use for a while only.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      num_newer_versions         = 20
      days_since_noncurrent_time = 90
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  description   = "The image of all services and jobs"
  kms_key_name  = var.kms_key

  # A digest is what is deployed; a tag that moved would say something else than it did.
  docker_config {
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # Releases to go back to.
  cleanup_policies {
    id     = "keep-the-last-twenty"
    action = "KEEP"

    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-after-half-a-year"
    action = "DELETE"

    condition {
      older_than = "15552000s"
    }
  }

  depends_on = [google_project_service.this]
}

output "state_bucket" {
  description = "For environments/NAME/backend.hcl."
  value       = google_storage_bucket.state.name
}

output "repository" {
  description = "Where the image is pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}
