# Cloud Armor before the load balancer's services. It sees only the first kilobytes of a body, and the bytes of an
# image look like anything, so uploads are exempt from the rules about contents.

locals {
  uploads = "(request.method == 'POST' && request.path.matches('^/api/(link/[^/]+/)?studies'))"
}

resource "google_compute_security_policy" "this" {
  #checkov:skip=CKV_GCP_73:rule 1000 is this one, but for uploads, which the check does not read
  name = var.name
  type = "CLOUD_ARMOR"

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

  advanced_options_config {
    json_parsing = "DISABLED"
    log_level    = "NORMAL"
  }

  rule {
    description = "Exploits that are abroad, Log4Shell (CVE-2021-44228) among them"
    action      = "deny(403)"
    priority    = 1000

    match {
      expr {
        expression = "!${local.uploads} && evaluatePreconfiguredWaf('cve-canary', {'sensitivity': 1})"
      }
    }
  }

  rule {
    description = "Scanners that say who they are"
    action      = "deny(403)"
    priority    = 1100

    match {
      expr {
        expression = "!${local.uploads} && evaluatePreconfiguredWaf('scannerdetection-v33-stable', {'sensitivity': 1})"
      }
    }
  }

  rule {
    description = "Malformed requests and smuggling"
    action      = "deny(403)"
    priority    = 1200
    # To be looked at in the log for a while before it refuses: viewers and PACS send odd things.
    preview = true

    match {
      expr {
        expression = "!${local.uploads} && evaluatePreconfiguredWaf('protocolattack-v33-stable', {'sensitivity': 1})"
      }
    }
  }

  rule {
    description = "Too many requests from one address"
    action      = "throttle"
    priority    = 2000

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    description = "Everybody else"
    action      = "allow"
    priority    = 2147483647

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.this]
}
