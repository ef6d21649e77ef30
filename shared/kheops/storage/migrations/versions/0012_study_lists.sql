-- What study lists group by stands beside each pointer, so that they need not look every series up.
ALTER TABLE album_series
    ADD COLUMN study_instance_uid text COLLATE "C",
    ADD COLUMN modality text,
    ADD COLUMN is_shown boolean NOT NULL DEFAULT false;

-- Two triggers are the only writers of these three columns, so that they are what the series is, whoever writes.
CREATE FUNCTION copy_series_to_pointer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- FOR SHARE: a series that changes meanwhile changes after this pointer can be seen, and brings it in step.
    SELECT s.study_instance_uid, s.modality, s.state = 'confirmed' AND s.number_of_instances > 0
    INTO NEW.study_instance_uid, NEW.modality, NEW.is_shown
    FROM series s WHERE s.pk = NEW.series_pk FOR SHARE;
    -- Without a series it is for the foreign key to refuse.
    NEW.is_shown := coalesce(NEW.is_shown, false);
    RETURN NEW;
END
$$;
CREATE TRIGGER album_series_copied BEFORE INSERT ON album_series
    FOR EACH ROW EXECUTE FUNCTION copy_series_to_pointer();

CREATE FUNCTION copy_series_to_pointers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE album_series x
    SET study_instance_uid = NEW.study_instance_uid, modality = NEW.modality,
        is_shown = NEW.state = 'confirmed' AND NEW.number_of_instances > 0
    WHERE x.series_pk = NEW.pk;
    RETURN NULL;
END
$$;
CREATE TRIGGER series_copied AFTER UPDATE OF state, number_of_instances, modality, study_instance_uid ON series
    FOR EACH ROW WHEN (
        (OLD.state = 'confirmed' AND OLD.number_of_instances > 0)
            <> (NEW.state = 'confirmed' AND NEW.number_of_instances > 0)
        OR OLD.modality IS DISTINCT FROM NEW.modality
        OR OLD.study_instance_uid <> NEW.study_instance_uid)
    EXECUTE FUNCTION copy_series_to_pointers();

UPDATE album_series x
SET study_instance_uid = s.study_instance_uid, modality = s.modality,
    is_shown = s.state = 'confirmed' AND s.number_of_instances > 0
FROM series s WHERE s.pk = x.series_pk;

CREATE INDEX album_series_shown ON album_series (album_pk, series_pk) INCLUDE (study_instance_uid, modality)
    WHERE is_shown;

-- From a series to its albums by the index alone: a page's 25 studies are cheaper to look up than to pick out of all.
DROP INDEX album_series_by_series;
CREATE INDEX album_series_by_series ON album_series (series_pk, album_pk);
