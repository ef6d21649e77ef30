# The environment of every service and job. tests/infra holds it against kheops.config and docs/settings.md.

locals {
  database_urls = {
    for name, user in google_sql_user.this : name => join("", [
      "postgresql://", urlencode(user.name), "@/", google_sql_database.this.name,
      "?cloud_sql=", google_sql_database_instance.this.connection_name, "&ip_type=private",
    ])
  }

  # The pages alone log people in, and so have the client secrets.
  issuers_with_secrets = [
    for each in var.issuers : merge(each, contains(var.confidential_issuers, each.issuer) ? {
      client_secret = local.secret_references[local.client_secret_ids[each.issuer]]
    } : {})
  ]

  # Always the newest version.
  secret_references = {
    for id, secret in google_secret_manager_secret.this : id => "sm://${secret.id}/versions/latest"
  }

  # What only the deliverer uses: the login at the submission server.
  mail_login = ["KHEOPS_MAIL_SMTP_USER"]

  settings = merge({ for name, value in var.settings : name => value if !contains(local.mail_login, name) }, {
    KHEOPS_ADMINISTRATORS = jsonencode(var.administrators)
    KHEOPS_FORWARDED_HOPS = tostring(var.forwarded_hops)
    KHEOPS_GOOGLE_PROJECT = var.project
    KHEOPS_ISSUERS        = jsonencode(var.issuers)
    KHEOPS_MAX_INSTANCES  = tostring(local.instances)
    KHEOPS_PUBLIC_URL     = "https://${var.domain}"
    KHEOPS_SESSION_KEY    = local.secret_references["session-key"]
    KHEOPS_STORE_KIND     = "google"
    KHEOPS_STORE_URL      = "https://healthcare.googleapis.com/v1/${google_healthcare_dicom_store.this.id}"
    KHEOPS_TOKEN_PEPPER   = local.secret_references["token-pepper"]
    }, var.events_enabled ? {
    KHEOPS_DELIVERY_QUEUE = "https://cloudtasks.googleapis.com/v2/${google_cloud_tasks_queue.deliveries[0].id}"
    } : {}, var.telemetry_enabled ? {
    KHEOPS_OTLP_ENDPOINT     = "https://telemetry.googleapis.com"
    OTEL_RESOURCE_ATTRIBUTES = "cloud.provider=gcp,cloud.region=${var.region}"
  } : {})

  # What one of them has besides.
  own_settings = {
    api      = {}
    dicomweb = {}
    # For whom Pub/Sub, Tasks and Scheduler make the tokens by which they call it, and as whom; and how mails are sent.
    events = merge({
      KHEOPS_EVENTS_AUDIENCE = local.events_audience
      KHEOPS_EVENTS_SENDERS  = google_service_account.caller.email
      }, { for name in local.mail_login : name => var.settings[name] if contains(keys(var.settings), name) },
      var.smtp_password_secret == null ? {} : {
        KHEOPS_MAIL_SMTP_PASSWORD = "sm://projects/${var.project}/secrets/${var.smtp_password_secret}/versions/latest"
    })
    migrate = { KHEOPS_STORE_TOPIC = google_pubsub_topic.store.id }
    web     = { KHEOPS_ISSUERS = jsonencode(local.issuers_with_secrets) }
  }

  # By service account, since each logs in to the database as itself.
  environments = {
    for name, url in local.database_urls : name => merge(
      local.settings, { KHEOPS_DATABASE_URL = url }, local.own_settings[name],
      var.telemetry_enabled ? { OTEL_SERVICE_NAME = "${var.name}-${name}" } : {},
    )
  }

  # What var.settings may give. Of the rest, those above are not for it, and those of local.local_settings are for
  # other stores and for development.
  optional_settings = toset([
    "KHEOPS_ALLOWED_ORIGINS",
    "KHEOPS_CAPABILITY_DAYS",
    "KHEOPS_COMPARE_UPLOADS",
    "KHEOPS_DIGEST_SECONDS",
    "KHEOPS_EMAIL_FROM_USERINFO",
    "KHEOPS_HELD_BYTES",
    "KHEOPS_INVITATION_DAYS",
    "KHEOPS_LEASE_SECONDS",
    "KHEOPS_LINK_DAYS",
    "KHEOPS_LOG_LEVEL",
    "KHEOPS_MAIL_FROM",
    "KHEOPS_MAIL_SMTP_HOST",
    "KHEOPS_MAIL_SMTP_PORT",
    "KHEOPS_MAIL_SMTP_TLS",
    "KHEOPS_MAIL_SMTP_USER",
    "KHEOPS_ORPHAN_DAYS",
    "KHEOPS_SECRET_OVERLAP_DAYS",
    "KHEOPS_SECRET_REFRESH_SECONDS",
    "KHEOPS_SHARED_SERIES",
    "KHEOPS_STORE_FIRST_BYTE_SECONDS",
    "KHEOPS_STORE_SILENCE_SECONDS",
    "KHEOPS_STORE_TRANSCODES",
    "KHEOPS_STREAMS_PER_PERSON",
    "KHEOPS_STREAM_WAIT_SECONDS",
    "KHEOPS_TRACE_RATIO",
  ])

  local_settings = toset([
    "KHEOPS_DATABASE_PASSWORD",   # the database is logged in to by IAM
    "KHEOPS_DATABASE_POOL",       # local.connections_per_instance counts on its default
    "KHEOPS_EVENTS_ISSUER",       # it is Google
    "KHEOPS_LOOKUP_THREADS",      # likewise
    "KHEOPS_MAIL_FOLDER",         # a container's folder is gone with it
    "KHEOPS_ORTHANC_URL",         # of another store
    "KHEOPS_OUTBOUND_ALLOWED",    # would open the metadata server to webhooks
    "KHEOPS_OUTBOUND_PLAIN_HTTP", # nothing leaves unencrypted
    "KHEOPS_STORE_PASSWORD",      # of another store
    "KHEOPS_STORE_USER",          # likewise
  ])
}
