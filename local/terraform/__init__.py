"""What checks `infra/` where neither Terraform's registry nor Google can be reached, and what generates parts of it."""
