"""The catalog of the benchmark: many series in one person's inbox, and one series that is somebody else's."""

from sqlalchemy import Connection, text

from kheops.storage.engine import Database

__all__ = ["FOREIGN", "add_rows"]

FOREIGN = 1_000_000
"""Number of the series that is in another person's inbox."""

_SERIES = """
    INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, confirmed_at, updated_at,
                        number_of_instances, modality)
    SELECT '1.2.' || :kib || '.' || n, '1.2.' || :kib || '.' || n || '.1', 'confirmed', now(), now(), now(), 1, 'CT'
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n
"""
_INSTANCES = """
    INSERT INTO instances (series_pk, sop_instance_uid, state, created_at, confirmed_at, number_of_frames)
    SELECT pk, series_instance_uid || '.1', 'confirmed', now(), now(), '200' FROM series
"""
_GRANTS = """
    INSERT INTO album_series (album_pk, series_pk, added_at)
    SELECT u.inbox_pk, s.pk, now()
    FROM series s JOIN users u ON (u.sub = 'owner') = (s.study_instance_uid NOT LIKE '%.' || CAST(:foreign AS text))
"""


def add_rows(database: Database, *, series: int) -> None:
    """Add the rows; the persons ``owner`` and ``other`` are there already."""

    def work(tx: Connection) -> None:
        for kib, last in ((16, series), (256, series), (200_000, 1)):
            tx.execute(text(_SERIES), {"kib": str(kib), "first": 1, "last": last})
            tx.execute(text(_SERIES), {"kib": str(kib), "first": FOREIGN, "last": FOREIGN})
        tx.execute(text(_INSTANCES))
        tx.execute(text(_GRANTS), {"foreign": str(FOREIGN)})
        tx.execute(text("ANALYZE"))

    database.run_blocking(work)
