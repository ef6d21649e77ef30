# terraform apply -var-file=environments/example/terraform.tfvars
project     = "example-project"
region      = "europe-west4"
domain      = "images.example.org"
image       = "europe-west4-docker.pkg.dev/example-project/kheops/kheops@sha256:0000000000000000000000000000000000000000000000000000000000000000"
release     = "v0-1-0"
alert_email = "it@example.org"

issuers = [{
  issuer           = "https://login.example.org/realms/hospital"
  audiences        = ["kheops"]
  access_token_typ = "at+jwt"
  client_id        = "kheops-web"
  email_domains    = ["example.org"]
  label            = "Example Hospital"
}]
# Its secret is given by TF_VAR_client_secrets='{"https://login.example.org/realms/hospital":"..."}'.
confidential_issuers = ["https://login.example.org/realms/hospital"]

administrators = [{
  issuer = "https://login.example.org/realms/hospital"
  claim  = "groups"
  value  = "kheops-administrators"
}]

dns_zone = "example-org"
cmek     = true
budget   = { billing_account = "000000-000000-000000", amount = 1000, currency = "EUR" }
