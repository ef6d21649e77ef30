-- Series that the store has told of and that are not on record, until a worker has looked for each in the store.
CREATE TABLE noticed_series (
    series_instance_uid text COLLATE "C" NOT NULL,
    study_instance_uid text COLLATE "C" NOT NULL,
    sop_instance_uid text COLLATE "C" NOT NULL,
    noticed_at timestamptz NOT NULL,
    PRIMARY KEY (series_instance_uid, study_instance_uid)
);
