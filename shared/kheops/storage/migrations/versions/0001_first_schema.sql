-- People, albums, the catalog, capability tokens, browser sessions, audit, outbox.
-- UID, id and token columns are COLLATE "C": identifiers that differ in case are different, and compare fast.

CREATE TABLE users (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    iss text COLLATE "C" NOT NULL,
    sub text COLLATE "C" NOT NULL,
    email text,
    email_verified boolean NOT NULL DEFAULT false,
    name text,
    inbox_pk bigint NOT NULL,
    suspended_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT users_identity UNIQUE (iss, sub)
);
CREATE INDEX users_by_email ON users (lower(email)) WHERE email_verified;

CREATE TABLE albums (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT albums_id UNIQUE,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('inbox', 'album')),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    last_event_at timestamptz NOT NULL,
    add_user boolean NOT NULL DEFAULT false,
    download_series boolean NOT NULL DEFAULT true,
    send_series boolean NOT NULL DEFAULT true,
    delete_series boolean NOT NULL DEFAULT false,
    add_series boolean NOT NULL DEFAULT true,
    write_comments boolean NOT NULL DEFAULT true
);
ALTER TABLE users ADD CONSTRAINT users_inbox FOREIGN KEY (inbox_pk) REFERENCES albums (pk) DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE album_members (
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    is_admin boolean NOT NULL,
    is_favorite boolean NOT NULL DEFAULT false,
    notification_new_series boolean NOT NULL DEFAULT false,
    notification_new_comment boolean NOT NULL DEFAULT false,
    joined_at timestamptz NOT NULL,
    PRIMARY KEY (user_pk, album_pk)
);
CREATE INDEX album_members_by_album ON album_members (album_pk);

-- Patient and study attributes stand per series, from that series's own bytes: there is no study row to leak.
CREATE TABLE series (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    study_instance_uid text COLLATE "C" NOT NULL,
    series_instance_uid text COLLATE "C" NOT NULL CONSTRAINT series_uid UNIQUE,
    state text COLLATE "C" NOT NULL CHECK (state IN ('reserved', 'confirmed', 'orphan', 'deleting')),
    reserved_for bigint REFERENCES albums (pk) ON DELETE SET NULL,
    lease_until timestamptz,
    origin_user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    origin_album_pk bigint REFERENCES albums (pk) ON DELETE SET NULL,
    orphaned_at timestamptz,
    legal_hold boolean NOT NULL DEFAULT false,
    dirty boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    updated_at timestamptz NOT NULL,
    number_of_instances integer NOT NULL DEFAULT 0 CHECK (number_of_instances >= 0),
    study_date text, study_time text, accession_number text, referring_physician_name text,
    patient_name text, patient_id text, patient_birth_date text, patient_sex text,
    study_id text, study_description text, timezone_offset_from_utc text,
    modality text, series_description text, series_number text, body_part_examined text, laterality text,
    series_date text, series_time text,
    performed_procedure_step_start_date text, performed_procedure_step_start_time text,
    CHECK (state <> 'orphan' OR orphaned_at IS NOT NULL),
    CHECK (state <> 'reserved' OR lease_until IS NOT NULL)
);
CREATE INDEX series_by_study ON series (study_instance_uid);
CREATE INDEX series_by_lease ON series (lease_until) WHERE state = 'reserved';
CREATE INDEX series_orphans ON series (orphaned_at) WHERE state = 'orphan';
CREATE INDEX series_dirty ON series (pk) WHERE dirty;

CREATE TABLE instances (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_pk bigint NOT NULL REFERENCES series (pk) ON DELETE CASCADE,
    sop_instance_uid text COLLATE "C" NOT NULL CONSTRAINT instances_uid UNIQUE,
    state text COLLATE "C" NOT NULL CHECK (state IN ('reserved', 'confirmed')),
    upload_id text COLLATE "C",
    target_pk bigint REFERENCES albums (pk) ON DELETE SET NULL,
    uploader_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    capability_pk bigint,
    lease_until timestamptz,
    size bigint,
    sha256 bytea,
    crc32 bigint,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    sop_class_uid text COLLATE "C",
    transfer_syntax_uid text COLLATE "C",
    instance_number text, "rows" text, "columns" text, bits_allocated text, number_of_frames text,
    CHECK (state <> 'reserved' OR lease_until IS NOT NULL)
);
CREATE INDEX instances_by_series ON instances (series_pk, sop_instance_uid);
CREATE INDEX instances_by_lease ON instances (lease_until) WHERE state = 'reserved';

-- The only thing that grants pixels.
CREATE TABLE album_series (
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    series_pk bigint NOT NULL REFERENCES series (pk) ON DELETE CASCADE,
    is_favorite boolean NOT NULL DEFAULT false,
    added_at timestamptz NOT NULL,
    added_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    PRIMARY KEY (album_pk, series_pk)
);
CREATE INDEX album_series_by_series ON album_series (series_pk);

CREATE TABLE capabilities (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT capabilities_id UNIQUE,
    secret_hash bytea NOT NULL CONSTRAINT capabilities_secret UNIQUE,
    title text NOT NULL,
    scope_type text COLLATE "C" NOT NULL CHECK (scope_type IN ('user', 'album')),
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    album_pk bigint REFERENCES albums (pk) ON DELETE CASCADE,
    read_permission boolean NOT NULL,
    write_permission boolean NOT NULL,
    appropriate_permission boolean NOT NULL,
    download_permission boolean NOT NULL,
    issued_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    CHECK ((scope_type = 'album') = (album_pk IS NOT NULL))
);
CREATE INDEX capabilities_by_user ON capabilities (user_pk);
CREATE INDEX capabilities_by_album ON capabilities (album_pk);

CREATE TABLE web_sessions (
    id_hash bytea PRIMARY KEY,
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    id_token text,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX web_sessions_by_user ON web_sessions (user_pk);

CREATE TABLE events (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    at timestamptz NOT NULL,
    mutation_type text COLLATE "C" NOT NULL,
    user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    capability_pk bigint REFERENCES capabilities (pk) ON DELETE SET NULL,
    to_user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    study_instance_uid text COLLATE "C",
    series_instance_uids text[] COLLATE "C" NOT NULL DEFAULT '{}'
);
CREATE INDEX events_by_album ON events (album_pk, at DESC);

-- Rows are inserted unchained; one sealer numbers and chains committed rows.
CREATE TABLE audit (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    iss text COLLATE "C",
    sub text COLLATE "C",
    acting_party text COLLATE "C",
    token_id text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    reason text COLLATE "C",
    study_instance_uids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    series_instance_uids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    sop_instance_uids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    subject text,
    source_address text COLLATE "C",
    request_id text COLLATE "C" NOT NULL,
    uses bigint NOT NULL DEFAULT 1,
    last_at timestamptz NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_person ON audit (iss, sub, at);
CREATE INDEX audit_by_series ON audit USING gin (series_instance_uids);

CREATE TABLE audit_chain (
    number bigint PRIMARY KEY,
    audit_pk bigint NOT NULL UNIQUE REFERENCES audit (pk),
    sealed_at timestamptz NOT NULL,
    digest bytea NOT NULL
);

CREATE TABLE outbox (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    leased_until timestamptz,
    done_at timestamptz
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE done_at IS NULL;
