-- Outbox, webhooks and their deliveries, notification digests.
SELECT 1;
