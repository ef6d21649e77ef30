# terraform init -backend-config=environments/example/backend.hcl
bucket = "example-project-kheops-terraform"
prefix = "example"
