"""Series on their way out of the store: orphan, deleting, gone.

A row that is ``deleting`` is nobody's and stays until the store has confirmed that it holds nothing of the series any
more; only then its UIDs are free.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.ids import SeriesInstanceUID, SeriesPk, SopInstanceUID, StudyInstanceUID
from kheops.storage.reservations import WITHHELD

__all__ = ["Deleting", "begin_deleting", "find_deleting", "find_overdue", "forget_series"]


@dataclass(frozen=True, slots=True)
class Deleting:
    """A series whose deletion has begun."""

    pk: SeriesPk
    ref: SeriesRef
    instances: tuple[SopInstanceUID, ...]
    """Those on record."""

    @property
    def refs(self) -> tuple[InstanceRef, ...]:
        """The instances with all their UIDs."""
        study, series = self.ref.study_instance_uid, self.ref.series_instance_uid
        return tuple(InstanceRef(study, series, instance) for instance in self.instances)


_OVERDUE = f"""
    s.state = 'orphan' AND s.orphaned_at < :before AND NOT s.legal_hold AND s.confirmed_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk)
    AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series_pk = s.pk AND i.state = 'reserved'
        AND i.upload_id IS DISTINCT FROM '{WITHHELD}')
"""  # noqa: S608 - constants only


def find_overdue(tx: Connection, *, before: datetime, limit: int) -> Sequence[SeriesPk]:
    """Return orphans since before a time that nothing keeps, the oldest first.

    A legal hold keeps a series, and so does an upload that is adding to it; what was withheld does not. What came into
    the store by another way than through us was never confirmed, and is not ours to delete.
    """
    rows = tx.execute(
        text(f"SELECT s.pk FROM series s WHERE {_OVERDUE} ORDER BY s.orphaned_at LIMIT :limit"),  # noqa: S608 - constant
        {"before": before, "limit": limit},
    ).scalars()
    return [SeriesPk(pk) for pk in rows]


def begin_deleting(tx: Connection, series: SeriesPk, *, before: datetime, at: datetime) -> SeriesRef | None:
    """Turn an orphan to ``deleting``, unless it is none any more, or something keeps it by now: ``None``."""
    # Locked first, and asked after: whoever takes it back, adds to it or puts it on hold has the lock as well.
    tx.execute(text("SELECT pk FROM series WHERE pk = :pk FOR UPDATE"), {"pk": series})
    row = tx.execute(
        text(
            f"UPDATE series s SET state = 'deleting', updated_at = :at WHERE s.pk = :pk AND {_OVERDUE} "  # noqa: S608 - constant
            "RETURNING s.study_instance_uid, s.series_instance_uid"
        ),
        {"pk": series, "before": before, "at": at},
    ).one_or_none()
    if row is None:
        return None
    return SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid))


def find_deleting(tx: Connection, *, after: SeriesPk, limit: int) -> Sequence[Deleting]:
    """Return series that are being deleted, in the order of their keys, beginning after one."""
    rows = tx.execute(
        text(
            "SELECT s.pk, s.study_instance_uid, s.series_instance_uid, "
            "array(SELECT i.sop_instance_uid FROM instances i WHERE i.series_pk = s.pk) AS instances "
            "FROM series s WHERE s.state = 'deleting' AND s.pk > :after ORDER BY s.pk LIMIT :limit"
        ),
        {"after": after, "limit": limit},
    ).all()
    return [
        Deleting(
            pk=SeriesPk(row.pk),
            ref=SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)),
            instances=tuple(SopInstanceUID(uid) for uid in row.instances),
        )
        for row in rows
    ]


def forget_series(tx: Connection, series: SeriesPk) -> bool:
    """Delete the row of a series that the store holds no longer: its UIDs are free. ``False`` if it was gone."""
    deleted = tx.execute(text("DELETE FROM series WHERE pk = :pk AND state = 'deleting'"), {"pk": series})
    return deleted.rowcount == 1
