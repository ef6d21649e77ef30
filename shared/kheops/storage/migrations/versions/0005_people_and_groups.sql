-- Suspension and erasure of people, groups as album members, legal hold.

-- A group is what an issuer says of people in a claim: nobody is listed here, and whoever presents it is a member.
CREATE TABLE album_groups (
    album_pk bigint NOT NULL REFERENCES albums (pk) ON DELETE CASCADE,
    iss text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL CHECK (value <> ''),
    added_at timestamptz NOT NULL,
    added_by bigint REFERENCES users (pk) ON DELETE SET NULL,
    PRIMARY KEY (album_pk, iss, value)
);
CREATE INDEX album_groups_by_group ON album_groups (iss, value, album_pk);

-- What a session's ID token and a viewer token's parent presented.
ALTER TABLE web_sessions ADD COLUMN group_values text[] COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE viewer_tokens ADD COLUMN group_values text[] COLLATE "C" NOT NULL DEFAULT '{}';
ALTER TABLE viewer_tokens ADD COLUMN groups_until timestamptz;

ALTER TABLE users ADD COLUMN suspended_reason text;

-- Who was erased, by a digest only: tokens from before do not bring them back.
CREATE TABLE erasures (
    identity bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

ALTER TABLE series ADD COLUMN legal_hold_reason text;
ALTER TABLE series ADD COLUMN legal_hold_at timestamptz;
CREATE INDEX series_on_legal_hold ON series (legal_hold_at) WHERE legal_hold;
CREATE INDEX series_deleting ON series (pk) WHERE state = 'deleting';
CREATE INDEX series_orphans_of_user ON series (origin_user_pk) WHERE state = 'orphan';
CREATE INDEX series_orphans_of_album ON series (origin_album_pk) WHERE state = 'orphan';
