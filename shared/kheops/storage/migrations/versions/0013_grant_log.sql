-- The log of changes of grants, which leaves the database line by line, and the mark of a database that is being
-- restored. Changes are noted by triggers: no code path that changes a grant, none of a foreign key either, can forget it.

CREATE TABLE grant_changes (
    pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    change jsonb NOT NULL,
    -- Given by the sealer, once the change is committed.
    timeline text COLLATE "C",
    number bigint,
    digest bytea,
    CONSTRAINT grant_changes_number UNIQUE (timeline, number),
    CHECK ((timeline IS NULL) = (number IS NULL) AND (number IS NULL) = (digest IS NULL))
);
CREATE INDEX grant_changes_unsealed ON grant_changes (pk) WHERE number IS NULL;

-- A restored database begins a timeline of its own: the numbers that it would give were given before.
CREATE TABLE grant_timeline (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    timeline text COLLATE "C" NOT NULL,
    exported bigint NOT NULL DEFAULT 0
);
INSERT INTO grant_timeline (timeline) VALUES (
    to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISSUS"Z"') || '-'
    || left(md5(gen_random_uuid()::text), 8));

-- A row means that the database is being restored, and that nothing is served from it.
CREATE TABLE restoration (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    begun_at timestamptz NOT NULL,
    -- Where the log stood at the restored point.
    timeline text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    digest bytea,
    replayed_at timestamptz
);
CREATE TABLE restored_changes (
    timeline text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at text COLLATE "C" NOT NULL,
    change jsonb NOT NULL,
    digest bytea NOT NULL,
    is_applied boolean NOT NULL DEFAULT false,
    PRIMARY KEY (timeline, number)
);
CREATE INDEX restored_changes_last ON restored_changes
    ((change ->> 'entity'), ((change ->> 'key') COLLATE "C"), timeline DESC, number DESC);

CREATE FUNCTION note_grant_change(entity text, key jsonb, state jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO grant_changes (at, change)
    VALUES (clock_timestamp(), jsonb_build_object('entity', entity, 'key', key, 'state', state))
$$;

CREATE FUNCTION note_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM note_grant_change('person', jsonb_build_array(OLD.iss, OLD.sub), NULL);
    ELSE
        PERFORM note_grant_change('person', jsonb_build_array(NEW.iss, NEW.sub),
            jsonb_build_object('suspended', NEW.suspended_at IS NOT NULL));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_noted AFTER INSERT OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION note_person();
-- An address is only told to have changed: whoever has it by now may be somebody else.
CREATE TRIGGER users_change_noted AFTER UPDATE OF suspended_at, email, email_verified ON users FOR EACH ROW
    WHEN ((OLD.suspended_at IS NULL) <> (NEW.suspended_at IS NULL) OR OLD.email IS DISTINCT FROM NEW.email
        OR OLD.email_verified <> NEW.email_verified)
    EXECUTE FUNCTION note_person();

CREATE FUNCTION note_album() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM note_grant_change('album', jsonb_build_array(OLD.id), NULL);
    ELSE
        PERFORM note_grant_change('album', jsonb_build_array(NEW.id), jsonb_build_object(
            'add_user', NEW.add_user, 'download_series', NEW.download_series, 'send_series', NEW.send_series,
            'delete_series', NEW.delete_series, 'add_series', NEW.add_series, 'write_comments', NEW.write_comments));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER albums_noted AFTER INSERT ON albums FOR EACH ROW WHEN (NEW.kind = 'album')
    EXECUTE FUNCTION note_album();
CREATE TRIGGER albums_end_noted AFTER DELETE ON albums FOR EACH ROW WHEN (OLD.kind = 'album')
    EXECUTE FUNCTION note_album();
CREATE TRIGGER albums_change_noted
    AFTER UPDATE OF add_user, download_series, send_series, delete_series, add_series, write_comments ON albums
    FOR EACH ROW WHEN (NEW.kind = 'album' AND
        (OLD.add_user, OLD.download_series, OLD.send_series, OLD.delete_series, OLD.add_series, OLD.write_comments)
        <> (NEW.add_user, NEW.download_series, NEW.send_series, NEW.delete_series, NEW.add_series, NEW.write_comments))
    EXECUTE FUNCTION note_album();

-- Of what goes with its album, its person or its series, nothing is noted but the end of these.
CREATE FUNCTION note_member() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    member record;
BEGIN
    IF TG_OP = 'DELETE' THEN member := OLD; ELSE member := NEW; END IF;
    PERFORM note_grant_change('member', jsonb_build_array(a.id, u.iss, u.sub),
        CASE WHEN TG_OP <> 'DELETE' THEN jsonb_build_object('administrator', member.is_admin) END)
    FROM albums a, users u WHERE a.pk = member.album_pk AND u.pk = member.user_pk AND a.kind = 'album';
    RETURN NULL;
END
$$;
CREATE TRIGGER album_members_noted AFTER INSERT OR DELETE ON album_members FOR EACH ROW EXECUTE FUNCTION note_member();
CREATE TRIGGER album_members_change_noted AFTER UPDATE OF is_admin ON album_members FOR EACH ROW
    WHEN (OLD.is_admin <> NEW.is_admin) EXECUTE FUNCTION note_member();

CREATE FUNCTION note_group() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    member record;
BEGIN
    IF TG_OP = 'DELETE' THEN member := OLD; ELSE member := NEW; END IF;
    PERFORM note_grant_change('group', jsonb_build_array(a.id, member.iss, member.value),
        CASE WHEN TG_OP <> 'DELETE' THEN '{}'::jsonb END)
    FROM albums a WHERE a.pk = member.album_pk;
    RETURN NULL;
END
$$;
CREATE TRIGGER album_groups_noted AFTER INSERT OR DELETE ON album_groups FOR EACH ROW EXECUTE FUNCTION note_group();

-- By statement: a thousand series are put into an album at once.
CREATE FUNCTION note_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO grant_changes (at, change)
    SELECT clock_timestamp(), jsonb_build_object('entity', 'held', 'key',
        CASE WHEN a.kind = 'album' THEN jsonb_build_array('album', a.id, s.series_instance_uid)
             ELSE jsonb_build_array('inbox', u.iss, u.sub, s.series_instance_uid) END,
        'state', CASE WHEN TG_OP = 'INSERT' THEN '{}'::jsonb END)
    FROM changed c JOIN albums a ON a.pk = c.album_pk JOIN series s ON s.pk = c.series_pk
    LEFT JOIN users u ON u.inbox_pk = a.pk WHERE a.kind = 'album' OR u.pk IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER album_series_noted AFTER INSERT ON album_series REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_held();
CREATE TRIGGER album_series_end_noted AFTER DELETE ON album_series REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_held();

CREATE FUNCTION note_series() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM note_grant_change('series', jsonb_build_array(OLD.series_instance_uid), NULL);
    ELSE
        PERFORM note_grant_change('series', jsonb_build_array(NEW.series_instance_uid), jsonb_build_object(
            'study', NEW.study_instance_uid, 'is_deleting', NEW.state = 'deleting', 'legal_hold', NEW.legal_hold,
            'origin', CASE
                WHEN NEW.origin_album_pk IS NOT NULL
                    THEN (SELECT jsonb_build_array('album', a.id) FROM albums a WHERE a.pk = NEW.origin_album_pk)
                ELSE (SELECT jsonb_build_array('inbox', u.iss, u.sub) FROM users u WHERE u.pk = NEW.origin_user_pk)
            END));
    END IF;
    RETURN NULL;
END
$$;
-- What is only reserved grants nothing, and a search of the store tells what became of it.
CREATE TRIGGER series_noted AFTER INSERT ON series FOR EACH ROW WHEN (NEW.state <> 'reserved')
    EXECUTE FUNCTION note_series();
CREATE TRIGGER series_end_noted AFTER DELETE ON series FOR EACH ROW WHEN (OLD.state <> 'reserved')
    EXECUTE FUNCTION note_series();
CREATE TRIGGER series_change_noted AFTER UPDATE OF state, legal_hold, origin_user_pk, origin_album_pk ON series
    FOR EACH ROW WHEN (NEW.state <> 'reserved' AND (
        OLD.state = 'reserved' OR (OLD.state = 'deleting') <> (NEW.state = 'deleting')
        OR OLD.legal_hold <> NEW.legal_hold
        OR OLD.origin_user_pk IS DISTINCT FROM NEW.origin_user_pk
        OR OLD.origin_album_pk IS DISTINCT FROM NEW.origin_album_pk))
    EXECUTE FUNCTION note_series();

-- Of destinations outside, only that they were changed: a former one must not be heard of again.
CREATE FUNCTION note_report_provider() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_grant_change('report-provider', jsonb_build_array(OLD.client_id), NULL);
    RETURN NULL;
END
$$;
CREATE TRIGGER report_providers_end_noted AFTER DELETE ON report_providers FOR EACH ROW
    EXECUTE FUNCTION note_report_provider();
CREATE TRIGGER report_providers_change_noted AFTER UPDATE OF url, removed_at ON report_providers FOR EACH ROW
    WHEN (OLD.url <> NEW.url OR (OLD.removed_at IS NULL) <> (NEW.removed_at IS NULL))
    EXECUTE FUNCTION note_report_provider();

CREATE FUNCTION note_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_grant_change('webhook', jsonb_build_array(OLD.id), CASE WHEN TG_OP <> 'DELETE' THEN '{}'::jsonb END);
    RETURN NULL;
END
$$;
CREATE TRIGGER webhooks_end_noted AFTER DELETE ON webhooks FOR EACH ROW EXECUTE FUNCTION note_webhook();
CREATE TRIGGER webhooks_change_noted AFTER UPDATE OF url, secret, enabled, events ON webhooks FOR EACH ROW
    WHEN (OLD.url <> NEW.url OR OLD.secret IS DISTINCT FROM NEW.secret OR OLD.enabled <> NEW.enabled
        OR OLD.events <> NEW.events)
    EXECUTE FUNCTION note_webhook();
