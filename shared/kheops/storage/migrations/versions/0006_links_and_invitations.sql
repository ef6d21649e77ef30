-- Links with passcodes, and invitations by e-mail address.

CREATE TABLE links (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT links_id UNIQUE,
    secret_hash bytea NOT NULL CONSTRAINT links_secret UNIQUE,
    title text NOT NULL,
    user_pk bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    -- Without an album, link_series says what it shows.
    album_pk bigint REFERENCES albums (pk) ON DELETE CASCADE,
    download_permission boolean NOT NULL,
    passcode_hash text COLLATE "C",
    -- Tries that were wrong or never came to their end: all of them, and those since the last right one or wait.
    wrong_passcodes integer NOT NULL DEFAULT 0,
    wrong_in_a_row integer NOT NULL DEFAULT 0,
    blocked_until timestamptz,
    max_uses integer CHECK (max_uses > 0),
    uses integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    CHECK (max_uses IS NULL OR uses <= max_uses)
);
CREATE INDEX links_by_user ON links (user_pk);
CREATE INDEX links_by_album ON links (album_pk) WHERE album_pk IS NOT NULL;

-- Narrows what a link shows of what its creator reaches, and grants nothing.
CREATE TABLE link_series (
    link_pk bigint NOT NULL REFERENCES links (pk) ON DELETE CASCADE,
    series_pk bigint NOT NULL REFERENCES series (pk) ON DELETE CASCADE,
    PRIMARY KEY (link_pk, series_pk)
);
CREATE INDEX link_series_by_series ON link_series (series_pk);

-- Somebody has opened a link: a token of its own for a short time.
CREATE TABLE link_visits (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret_hash bytea NOT NULL CONSTRAINT link_visits_secret UNIQUE,
    link_pk bigint NOT NULL REFERENCES links (pk) ON DELETE CASCADE,
    opened_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX link_visits_by_link ON link_visits (link_pk, expires_at);
CREATE INDEX link_visits_by_end ON link_visits (expires_at);

CREATE TABLE invitations (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL CONSTRAINT invitations_id UNIQUE,
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    email text COLLATE "C" NOT NULL CHECK (email = lower(email)),
    invited_by bigint NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    revoked_at timestamptz,
    revoked_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
CREATE INDEX invitations_by_album ON invitations (album_pk, pk DESC);
CREATE INDEX invitations_by_inviter ON invitations (invited_by);
CREATE INDEX invitations_open ON invitations (email) WHERE accepted_at IS NULL AND revoked_at IS NULL;
