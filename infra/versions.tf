terraform {
  # Write-only arguments, by which secrets stay out of the state, came with 1.11.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7, < 9"
    }
  }

  # Bucket and prefix come from a file: terraform init -backend-config=environments/NAME/backend.hcl
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region

  # Budgets and the like are billed to a project of their caller's otherwise, which a person's login has not.
  user_project_override = true
  billing_project       = var.project

  default_labels = {
    application = var.name
  }
}

data "google_project" "this" {
  project_id = var.project
}
