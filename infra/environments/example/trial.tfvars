# An installation to try things in, and to destroy again: small, and nothing in it refuses to go.
# terraform apply -var-file=environments/example/terraform.tfvars -var-file=environments/example/trial.tfvars
name          = "kheops-trial"
domain        = "trial.images.example.org"
protect       = false
lock_logs     = false
cmek          = false
budget        = null
database_tier = { tier = "db-custom-1-3840", availability = "ZONAL", disk_gb = 10 }

services = {
  dicomweb = { min_instances = 0, max_instances = 2, cpu = "1", memory = "1Gi", concurrency = 80 }
  api      = { min_instances = 0, max_instances = 1, cpu = "1", memory = "512Mi", concurrency = 80 }
  web      = { min_instances = 0, max_instances = 1, cpu = "1", memory = "512Mi", concurrency = 80 }
}

schedule = { import = "10 2 * * 0", audit_verify = "50 3 * * 0" }
