"""What checks `infra/` where Google and the registry of Terraform are out of reach, and what generates parts of it."""
