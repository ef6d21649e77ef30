output "address" {
  description = "Where people and viewers reach the system."
  value       = "https://${var.domain}"
}

output "dns_records" {
  description = "The records that the domain needs. Made already where var.dns_zone is given."
  value = [
    { name = "${var.domain}.", type = "A", data = google_compute_global_address.public.address },
    {
      name = google_certificate_manager_dns_authorization.this.dns_resource_record[0].name
      type = google_certificate_manager_dns_authorization.this.dns_resource_record[0].type
      data = google_certificate_manager_dns_authorization.this.dns_resource_record[0].data
    },
  ]
}

output "redirect_uri" {
  description = "What each issuer has to know as the redirect URI of its client."
  value       = "https://${var.domain}/callback"
}

output "revisions" {
  description = "The newest revision of each service; what var.hold_traffic takes for going back to it later."
  value       = { for name, service in google_cloud_run_v2_service.public : name => service.latest_ready_revision }
}

output "database_connections" {
  description = "What PostgreSQL is set to take, and what the services and jobs want at most while two releases run side by side."
  value       = { limit = local.max_connections, wanted = 2 * local.instances * local.connections_per_instance }
}
