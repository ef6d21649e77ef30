-- Report providers of albums, what they were given, and the assertions that they have used.

CREATE TABLE report_providers (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id text COLLATE "C" NOT NULL CONSTRAINT report_providers_client UNIQUE,
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    name text NOT NULL,
    url text NOT NULL,
    created_at timestamptz NOT NULL,
    -- Kept when removed: the album's history goes on naming it.
    removed_at timestamptz
);
CREATE INDEX report_providers_by_album ON report_providers (album_pk, created_at);

-- One row for each report that somebody asked for: first its code, then its token. Both only as keyed hashes.
CREATE TABLE report_tokens (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider_pk bigint NOT NULL REFERENCES report_providers (pk) ON DELETE CASCADE,
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    capability_pk bigint REFERENCES capabilities (pk) ON DELETE CASCADE,
    acting_party text COLLATE "C",
    study_instance_uids text[] COLLATE "C" NOT NULL CHECK (cardinality(study_instance_uids) > 0),
    read_permission boolean NOT NULL,
    write_permission boolean NOT NULL,
    redirect_uri text NOT NULL,
    code_hash bytea CONSTRAINT report_tokens_code UNIQUE,
    code_challenge text COLLATE "C",
    code_used_at timestamptz,
    secret_hash bytea CONSTRAINT report_tokens_secret UNIQUE,
    issued_at timestamptz NOT NULL,
    -- Of the code until it is used, then of the token.
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (read_permission OR write_permission),
    CHECK (code_hash IS NOT NULL OR secret_hash IS NOT NULL)
);
CREATE INDEX report_tokens_by_provider ON report_tokens (provider_pk);
CREATE INDEX report_tokens_by_user ON report_tokens (user_pk);
CREATE INDEX report_tokens_by_capability ON report_tokens (capability_pk) WHERE capability_pk IS NOT NULL;
CREATE INDEX report_tokens_by_end ON report_tokens (expires_at);

CREATE TABLE report_assertions (
    provider_pk bigint NOT NULL REFERENCES report_providers (pk) ON DELETE CASCADE,
    jti_hash bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (provider_pk, jti_hash)
);
CREATE INDEX report_assertions_by_end ON report_assertions (expires_at);

ALTER TABLE events ADD COLUMN report_provider_pk bigint REFERENCES report_providers (pk) ON DELETE SET NULL;
ALTER TABLE instances ADD COLUMN report_token_pk bigint;
