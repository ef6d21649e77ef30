-- Comments on albums and on studies, favourite series, and names that sound alike.

-- Trusted since PostgreSQL 13: whoever may create in the database may create it.
CREATE EXTENSION IF NOT EXISTS fuzzystrmatch;

CREATE TABLE comments (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    album_pk bigint REFERENCES albums (pk) ON DELETE CASCADE,
    study_instance_uid text COLLATE "C",
    at timestamptz NOT NULL,
    user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    -- Apart from to_user_pk: a private comment must not become public when the person whom it was for is erased.
    is_private boolean NOT NULL,
    to_user_pk bigint REFERENCES users (pk) ON DELETE SET NULL,
    comment text NOT NULL CHECK (comment <> ''),
    CHECK ((album_pk IS NULL) <> (study_instance_uid IS NULL)),
    CHECK (is_private OR to_user_pk IS NULL)
);
CREATE INDEX comments_by_album ON comments (album_pk, at DESC) WHERE album_pk IS NOT NULL;
CREATE INDEX comments_by_study ON comments (study_instance_uid, at DESC) WHERE study_instance_uid IS NOT NULL;
CREATE INDEX comments_by_user ON comments (user_pk);
CREATE INDEX comments_by_to_user ON comments (to_user_pk);

-- A study has no row to refer to. When its last series goes, its UID is free, and whoever uses it next must not find
-- what others said of the one before.
CREATE FUNCTION delete_comments_of_gone_studies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM comments c USING (SELECT DISTINCT study_instance_uid FROM gone) g
    WHERE c.study_instance_uid = g.study_instance_uid
      AND NOT EXISTS (SELECT 1 FROM series s WHERE s.study_instance_uid = g.study_instance_uid);
    RETURN NULL;
END
$$;
CREATE TRIGGER series_gone AFTER DELETE ON series REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION delete_comments_of_gone_studies();

CREATE INDEX album_series_favorites ON album_series (album_pk, series_pk) WHERE is_favorite;
