resource "google_monitoring_notification_channel" "email" {
  display_name = "${var.name}: alerts"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.this]
}

# The one check from outside: name, certificate, load balancer, service, database and schema.
resource "google_monitoring_uptime_check_config" "this" {
  display_name = "${var.name}: readiness"
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = "/api/readiness"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = var.domain }
  }

  depends_on = [google_project_service.this]
}

locals {
  # Events of our own log (docs/operations.md) that somebody has to look at.
  watched_events = {
    not-opened   = { event = "process.not_opened", says = "A service could not open: settings, database or schema." }
    failed       = { event = "request.failed", says = "A request failed by a fault of ours." }
    differs      = { event = "catalog.differs_from_store", says = "A series in the store is not what the catalog has." }
    purge-left   = { event = "purge.left", says = "An orphan could not be deleted from the store." }
    token-absent = { event = "archive.token_unavailable", says = "The service account's token could not be had." }
  }

  alerts = {
    errors = {
      says     = "More than one answer in a hundred of the services is a 5xx over five minutes."
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      of       = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\""
      above    = 0.01
      lasts    = "300s"
      severity = "ERROR"
    }
    slow = {
      says     = "The control plane takes longer than two seconds for one request in twenty."
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_latencies\" AND resource.labels.service_name = \"${var.name}-api\""
      above    = 2000
      lasts    = "600s"
      aligner  = "ALIGN_PERCENTILE_95"
      severity = "WARNING"
    }
    full = {
      says     = "A service has all the instances that it may have; callers wait. Raise max_instances in var.services."
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/container/instance_count\" AND resource.labels.service_name = \"${var.name}-dicomweb\""
      above    = var.services.dicomweb.max_instances - 0.5
      lasts    = "600s"
      aligner  = "ALIGN_MAX"
      severity = "WARNING"
    }
    jobs = {
      says     = "A job has failed: migrations, reconcile, deliveries, purge, or the check of the audit chain."
      filter   = "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      above    = 0
      lasts    = "0s"
      aligner  = "ALIGN_DELTA"
      severity = "ERROR"
    }
    database-processor = {
      says     = "The database's processors are nine tenths busy."
      filter   = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/cpu/utilization\""
      above    = 0.9
      lasts    = "600s"
      aligner  = "ALIGN_MEAN"
      severity = "WARNING"
    }
    database-disk = {
      says     = "The database's disk is nine tenths full."
      filter   = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/disk/utilization\""
      above    = 0.9
      lasts    = "600s"
      aligner  = "ALIGN_MEAN"
      severity = "ERROR"
    }
    database-connections = {
      says     = "Four fifths of the database's connections are taken."
      filter   = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/postgresql/num_backends\""
      above    = 0.8 * local.max_connections
      lasts    = "300s"
      aligner  = "ALIGN_MAX"
      severity = "WARNING"
    }
    undelivered = {
      says     = "A notification of the store was given up after twenty attempts."
      filter   = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.labels.subscription_id = \"${var.name}-undelivered\""
      above    = 0
      lasts    = "0s"
      aligner  = "ALIGN_MAX"
      severity = "WARNING"
    }
    logs-lost = {
      says     = "Logs could not be written into the audit bucket."
      filter   = "resource.type = \"logging_sink\" AND metric.type = \"logging.googleapis.com/exports/error_count\""
      above    = 0
      lasts    = "0s"
      aligner  = "ALIGN_DELTA"
      severity = "ERROR"
    }
  }
}

resource "google_logging_metric" "event" {
  for_each = local.watched_events

  name        = "${var.name}/${each.key}"
  description = each.value.says
  filter      = "${local.ours} AND jsonPayload.event = \"${each.value.event}\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "event" {
  for_each = local.watched_events

  display_name          = "${var.name}: ${each.value.event}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = each.value.event

    condition_threshold {
      filter          = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.event[each.key].name}\" AND resource.type = one_of(\"cloud_run_revision\", \"cloud_run_job\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content   = "${each.value.says} See docs/operations.md."
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = each.key

    condition_threshold {
      filter             = each.value.filter
      denominator_filter = lookup(each.value, "of", null)
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.above
      duration           = each.value.lasts

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = lookup(each.value, "aligner", "ALIGN_DELTA")
        cross_series_reducer = lookup(each.value, "aligner", "ALIGN_DELTA") == "ALIGN_DELTA" ? "REDUCE_SUM" : "REDUCE_MAX"
      }

      dynamic "denominator_aggregations" {
        for_each = lookup(each.value, "of", null) == null ? [] : [each.value.of]

        content {
          alignment_period     = "300s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
        }
      }
    }
  }

  documentation {
    content   = each.value.says
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "unreachable" {
  display_name          = "${var.name}: unreachable"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "readiness fails from more than one region"

    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.this.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    content   = "https://${var.domain}/api/readiness does not answer 200. See docs/operations.md."
    mime_type = "text/markdown"
  }
}

locals {
  charts = [
    { title = "Requests a second, by service", filter = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "Answers with 5xx a second", filter = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "95th percentile of milliseconds a request", filter = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_latencies\"", aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX", by = ["resource.label.service_name"] },
    { title = "Instances", filter = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/container/instance_count\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "Connections of the database", filter = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/postgresql/num_backends\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = [] },
    { title = "Processors of the database", filter = "resource.type = \"cloudsql_database\" AND metric.type = \"cloudsql.googleapis.com/database/cpu/utilization\"", aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX", by = [] },
    { title = "Runs of jobs, by outcome", filter = "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.result"] },
    { title = "Notifications of the store that wait", filter = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.label.subscription_id"] },
  ]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 12
      tiles = [for number, chart in local.charts : {
        xPos   = 6 * (number % 2)
        yPos   = 4 * floor(number / 2)
        width  = 6
        height = 4
        widget = {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = {
                    alignmentPeriod    = "60s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                    groupByFields      = chart.by
                  }
                }
              }
            }]
          }
        }
      }]
    }
  })

  depends_on = [google_project_service.this]
}
