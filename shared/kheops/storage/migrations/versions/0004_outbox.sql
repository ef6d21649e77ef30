-- Outbox, webhooks and their deliveries, notification digests.

ALTER TABLE outbox
    ADD COLUMN failed_at timestamptz,
    -- Tasks that wait under the same key are one task; what comes later is added to it.
    ADD COLUMN merge_key text COLLATE "C";
DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (due_at) WHERE done_at IS NULL AND failed_at IS NULL;
CREATE UNIQUE INDEX outbox_waiting ON outbox (merge_key)
    WHERE done_at IS NULL AND failed_at IS NULL AND attempts = 0 AND merge_key IS NOT NULL;
CREATE INDEX outbox_ended ON outbox ((coalesce(done_at, failed_at))) WHERE done_at IS NOT NULL OR failed_at IS NOT NULL;

CREATE TABLE webhooks (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT webhooks_id UNIQUE,
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    name text NOT NULL,
    url text COLLATE "C" NOT NULL,
    -- A key that signs what goes out, so it cannot be a hash; it is sealed under a key of the settings.
    secret bytea,
    enabled boolean NOT NULL,
    events text[] COLLATE "C" NOT NULL CHECK (events <> '{}'),
    created_at timestamptz NOT NULL
);
CREATE INDEX webhooks_by_album ON webhooks (album_pk, pk);
CREATE INDEX webhooks_by_user ON webhooks (user_pk);

-- One delivery of one event to one webhook; KHEOPS calls it a trigger. It is the log that people read: what it tells of
-- stands here by reference only, never a body.
CREATE TABLE webhook_deliveries (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT webhook_deliveries_id UNIQUE,
    webhook_pk bigint NOT NULL REFERENCES webhooks (pk) ON DELETE CASCADE,
    event text COLLATE "C" NOT NULL,
    is_manual boolean NOT NULL,
    created_at timestamptz NOT NULL,
    user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    study_instance_uid text COLLATE "C",
    series_instance_uids text[] COLLATE "C" NOT NULL DEFAULT '{}'
);
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_pk, pk DESC);
CREATE INDEX webhook_deliveries_by_user ON webhook_deliveries (user_pk);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (created_at);

CREATE TABLE webhook_attempts (
    delivery_pk bigint NOT NULL REFERENCES webhook_deliveries (pk) ON DELETE CASCADE,
    attempt integer NOT NULL,
    status integer NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (delivery_pk, attempt)
);

-- Up to when somebody was told of what is new; who wants to hear of nothing has no row.
CREATE TABLE notification_digests (
    user_pk bigint PRIMARY KEY REFERENCES users (pk) ON DELETE CASCADE,
    covered_until timestamptz NOT NULL
);
CREATE INDEX album_series_by_time ON album_series (album_pk, added_at);
