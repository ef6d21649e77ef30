# What has to be said: the project, where, the address, the image, and who may log in.

variable "project" {
  description = "The id of the project that everything is made in. It exists, and has a billing account."
  type        = string
}

variable "region" {
  description = "The region of everything: services, database, DICOM store, keys and logs. Images never leave it. It has to be one that the Healthcare API offers."
  type        = string
}

variable "domain" {
  description = "The host name that people and viewers reach the system at, such as images.example.org."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.domain))
    error_message = "A host name in lower case, without scheme and port."
  }
}

variable "image" {
  description = "The one image of all services and jobs, by digest: a tag could name something else tomorrow."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest: REGION-docker.pkg.dev/PROJECT/kheops/kheops@sha256:..."
  }
}

variable "release" {
  description = "A name for what the image holds, such as v1-4-0. It becomes a tag of the new revisions."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.release))
    error_message = "Lower-case letters, digits and hyphens, 32 at most, a letter first."
  }
}

variable "issuers" {
  description = "The trusted issuers of OpenID Connect, as docs/settings.md lists their fields, but for client_secret. The first is the default one."
  type        = any

  validation {
    condition     = length(var.issuers) > 0 && !strcontains(jsonencode(var.issuers), "\"client_secret\"")
    error_message = "At least one issuer; client secrets go into client_secrets, which no state and no plan keeps."
  }
}

variable "client_secrets" {
  description = "Client secrets by issuer, for those that are confidential clients. They go to Secret Manager and are kept in no plan and no state. Raise client_secrets_version when they change."
  type        = map(string)
  default     = {}
  ephemeral   = true
  sensitive   = true
}

variable "confidential_issuers" {
  description = "The issuers that have an entry in client_secrets."
  type        = set(string)
  default     = []
}

variable "client_secrets_version" {
  description = "Raise it by one to store what is in client_secrets now."
  type        = number
  default     = 1
}

variable "alert_email" {
  description = "Who gets alerts and warnings of the budget."
  type        = string
}

# What may be said.

variable "administrators" {
  description = "Who administers the installation: rules of issuer, claim and value, as docs/settings.md has them."
  type        = list(object({ issuer = string, claim = string, value = string }))
  default     = []
}

variable "settings" {
  description = "Further settings of the services, by the name of their variable, such as KHEOPS_LINK_DAYS. Those that Terraform sets itself, or that are for local use, are refused."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.settings), local.optional_settings)) == 0
    error_message = "Only settings of local.optional_settings in settings.tf may be given here."
  }
}

variable "name" {
  description = "What the names of all resources begin with."
  type        = string
  default     = "kheops"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, 15 at most, a letter first."
  }
}

variable "dns_zone" {
  description = "The name of a Cloud DNS managed zone of this project that var.domain is in. With it the records are made; without it make them by hand from the output dns_records."
  type        = string
  default     = null
}

variable "protect" {
  description = "Whether what holds data refuses to be destroyed: database, DICOM store, keys, secrets, log bucket. Only for installations to throw away is it false."
  type        = bool
  default     = true
}

variable "database_tier" {
  description = "The machine of Cloud SQL, and whether it stands in two zones (REGIONAL) or one (ZONAL)."
  type = object({
    tier         = optional(string, "db-custom-2-7680")
    availability = optional(string, "REGIONAL")
    disk_gb      = optional(number, 20)
  })
  default = {}
}

variable "services" {
  description = "The size of each public service: instances at least and at most, processors and memory of one, and requests that one takes at a time."
  type = map(object({
    min_instances = number
    max_instances = number
    cpu           = string
    memory        = string
    concurrency   = number
  }))
  default = {
    dicomweb = { min_instances = 1, max_instances = 10, cpu = "2", memory = "2Gi", concurrency = 80 }
    api      = { min_instances = 0, max_instances = 4, cpu = "1", memory = "1Gi", concurrency = 80 }
    web      = { min_instances = 0, max_instances = 4, cpu = "1", memory = "1Gi", concurrency = 80 }
  }

  validation {
    condition     = toset(keys(var.services)) == toset(["api", "dicomweb", "web"])
    error_message = "Name all three: dicomweb, api, web."
  }
}

variable "hold_traffic" {
  description = "Revisions that keep all traffic, by service, instead of the newest: for rolling back at once, and for trying a new revision first. Empty in normal operation."
  type        = map(string)
  default     = {}
}

variable "forwarded_hops" {
  description = "Entries that Google's front ends add to X-Forwarded-For. Look at the audit trail after the first login: it has to name your own address."
  type        = number
  default     = 2
}

variable "requests_per_minute" {
  description = "Requests that one address may make in a minute before Cloud Armor answers 429. A viewer on a large series asks for a thousand frames; a hospital may stand behind one address."
  type        = number
  default     = 6000
}

variable "secrets_version" {
  description = "Raise it by one to make a new token pepper and session key. The version before verifies on for KHEOPS_SECRET_OVERLAP_DAYS."
  type        = number
  default     = 1
}

variable "schedule" {
  description = "When scheduled work is done, in the form of cron, UTC. audit_verify and import are jobs, of which a run costs a minute of one processor at least; the others are calls of the events service."
  type = object({
    audit_verify = optional(string, "50 3 * * *")
    clear        = optional(string, "*/10 * * * *")
    compare      = optional(string, "40 1 * * *")
    deliver      = optional(string, "* * * * *")
    digests      = optional(string, "*/5 * * * *")
    import       = optional(string, "10 2 * * *")
    purge        = optional(string, "20 3 * * *")
    reconcile    = optional(string, "* * * * *")
    seal         = optional(string, "* * * * *")
  })
  default = {}
}

variable "events_enabled" {
  description = "Whether the service runs that takes notifications of the store and does scheduled work. Without it jobs do that work each five minutes, and notifications wait in a subscription for a week."
  type        = bool
  default     = true
}

variable "telemetry_enabled" {
  description = "Whether traces and metrics go to Google Cloud's Telemetry API; both are billed by what is sent."
  type        = bool
  default     = false
}

variable "smtp_password_secret" {
  description = "The id of a secret of this project with the password of the submission server, if mails are sent by one that asks for it. You make it, since only you know it."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days for which the audit logs of Google Cloud and our own logs are kept."
  type        = number
  default     = 400
}

variable "lock_logs" {
  description = "Whether the log bucket is locked: nobody can then shorten its retention, and it cannot be deleted before it is empty. Cannot be undone."
  type        = bool
  default     = true
}

variable "data_access_logs" {
  description = "Whether Google Cloud records each read and write of the Healthcare API, Secret Manager and Cloud SQL. Our own audit trail names the person; these name the service account."
  type        = bool
  default     = true
}

variable "cmek" {
  description = "Whether data is encrypted under a key of your own (Cloud KMS). The DICOM dataset takes it when it is made, and never later."
  type        = bool
  default     = false
}

variable "vpc_service_controls" {
  description = "A perimeter around the project: the number of your organization's access policy, and whether it is only tried (dry_run) first. All traffic of the services then goes through the VPC. Null for none."
  type = object({
    access_policy = string
    dry_run       = optional(bool, true)
    access_levels = optional(list(string), [])
  })
  default = null
}

variable "budget" {
  description = "A budget with warnings at half, nine tenths and all of it: the billing account, the amount a month, its currency. Null for none."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  default = null
}
