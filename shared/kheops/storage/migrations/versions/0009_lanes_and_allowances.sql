-- Lanes of the outbox, allowances, and when somebody began to want digests.

-- Tasks of one lane are sent few at a time, so that one album's slow webhooks keep no other waiting; empty for none.
ALTER TABLE outbox ADD COLUMN lane text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX outbox_lanes ON outbox (kind, lane, due_at, pk) WHERE done_at IS NULL AND failed_at IS NULL;
DROP INDEX outbox_due;

-- What may be done so often in a time: one row for each time it was. It refers to nothing, so that what was used is not
-- had back by deleting an album or a webhook; rows go when their time is over.
CREATE TABLE allowance_uses (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    allowance text COLLATE "C" NOT NULL,
    whose text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX allowance_uses_of ON allowance_uses (allowance, whose, at);
CREATE INDEX allowance_uses_by_time ON allowance_uses (at);

-- What came before it is no news.
ALTER TABLE notification_digests ADD COLUMN begun_at timestamptz;
