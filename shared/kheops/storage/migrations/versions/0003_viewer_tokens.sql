-- Viewer tokens, and which of them an upload under way acts by.

CREATE TABLE viewer_tokens (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret_hash bytea NOT NULL CONSTRAINT viewer_tokens_secret UNIQUE,
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    capability_pk bigint REFERENCES capabilities (pk) ON DELETE CASCADE,
    -- Of web_sessions, and no foreign key: a session that is cleared away after its time takes no token along.
    session_hash bytea,
    acting_party text COLLATE "C",
    study_instance_uid text COLLATE "C" NOT NULL,
    source_inbox boolean NOT NULL,
    source_album_pk bigint REFERENCES albums (pk) ON DELETE CASCADE,
    read_permission boolean NOT NULL,
    write_permission boolean NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (NOT source_inbox OR source_album_pk IS NULL),
    CHECK (capability_pk IS NULL OR session_hash IS NULL),
    CHECK (read_permission OR write_permission)
);
CREATE INDEX viewer_tokens_by_user ON viewer_tokens (user_pk, capability_pk);
CREATE INDEX viewer_tokens_by_capability ON viewer_tokens (capability_pk) WHERE capability_pk IS NOT NULL;
CREATE INDEX viewer_tokens_by_session ON viewer_tokens (session_hash) WHERE session_hash IS NOT NULL;
CREATE INDEX viewer_tokens_by_album ON viewer_tokens (source_album_pk) WHERE source_album_pk IS NOT NULL;
CREATE INDEX viewer_tokens_by_end ON viewer_tokens (expires_at);

ALTER TABLE instances ADD COLUMN viewer_token_pk bigint;
