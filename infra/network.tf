# The services reach the database by a private address, through Direct VPC egress: no connector, no public address.

locals {
  through_vpc = var.vpc_service_controls != null
}

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "services" {
  name    = "${var.name}-services"
  network = google_compute_network.this.id
  region  = var.region
  # Direct VPC egress takes up to two addresses for each instance, and a release doubles the instances.
  ip_cidr_range            = "10.10.0.0/22"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_global_address" "services_access" {
  name          = "${var.name}-services-access"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.this.id
}

resource "google_service_networking_connection" "this" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services_access.name]
  # Google refuses to end the peering while a deleted instance's address is still held.
  deletion_policy = "ABANDON"
}

# The network holds nothing that listens. This says so even if somebody adds a rule by accident.
resource "google_compute_firewall" "nothing_comes_in" {
  name          = "${var.name}-nothing-comes-in"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

# Under VPC Service Controls all traffic goes through the network: Google's APIs by restricted.googleapis.com, and
# issuers, webhooks and mail servers by NAT.

resource "google_compute_router" "this" {
  count = local.through_vpc ? 1 : 0

  name    = var.name
  network = google_compute_network.this.id
  region  = var.region
}

resource "google_compute_router_nat" "this" {
  count = local.through_vpc ? 1 : 0

  name                               = var.name
  router                             = google_compute_router.this[0].name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

resource "google_dns_managed_zone" "google_apis" {
  count = local.through_vpc ? 1 : 0

  name        = "${var.name}-google-apis"
  dns_name    = "googleapis.com."
  description = "Google's APIs by the addresses that VPC Service Controls watch."
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "restricted" {
  count = local.through_vpc ? 1 : 0

  managed_zone = google_dns_managed_zone.google_apis[0].name
  name         = "restricted.googleapis.com."
  type         = "A"
  ttl          = 300
  # https://cloud.google.com/vpc-service-controls/docs/set-up-private-connectivity
  rrdatas = ["199.36.153.4", "199.36.153.5", "199.36.153.6", "199.36.153.7"]
}

resource "google_dns_record_set" "all_google_apis" {
  count = local.through_vpc ? 1 : 0

  managed_zone = google_dns_managed_zone.google_apis[0].name
  name         = "*.googleapis.com."
  type         = "CNAME"
  ttl          = 300
  rrdatas      = ["restricted.googleapis.com."]
}
