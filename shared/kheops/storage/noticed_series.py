"""Series that the store has told of and that are not on record.

A notice is no word on what the store holds now: notifications come late, in any order, and again. Until a worker has
looked into the store, nothing of it is in the catalog, where it would keep a UID from being used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.resources import InstanceRef, SeriesState
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

__all__ = ["Notice", "Recorded", "find_recorded", "forget_notice", "list_notices", "notice"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the catalog has of the series of an instance."""

    state: SeriesState
    has_instance: bool
    """Whether the instance itself is on record there, confirmed, being stored or withheld."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A series that the store has told of, by the instance that it was last told of with."""

    ref: InstanceRef
    version: str
    """Of the row; another one once the series was noticed again."""


def find_recorded(tx: Connection, ref: InstanceRef) -> Recorded | None:
    """Return what is on record of an instance's series, under whatever study; ``None`` if nothing is."""
    row = tx.execute(
        text(
            "SELECT s.state, EXISTS (SELECT 1 FROM instances i WHERE i.series_pk = s.pk "
            "AND i.sop_instance_uid = :instance) AS has_instance FROM series s WHERE s.series_instance_uid = :series"
        ),
        {"series": ref.series_instance_uid, "instance": ref.sop_instance_uid},
    ).one_or_none()
    if row is None:
        return None
    return Recorded(SeriesState(row.state), row.has_instance)


def notice(tx: Connection, ref: InstanceRef, at: datetime) -> None:
    """Note that the store may hold a series, for a worker to look."""
    tx.execute(
        text(
            "INSERT INTO noticed_series (series_instance_uid, study_instance_uid, sop_instance_uid, noticed_at) "
            "VALUES (:series, :study, :instance, :at) ON CONFLICT (series_instance_uid, study_instance_uid) "
            "DO UPDATE SET sop_instance_uid = excluded.sop_instance_uid, noticed_at = excluded.noticed_at"
        ),
        {
            "series": ref.series_instance_uid,
            "study": ref.study_instance_uid,
            "instance": ref.sop_instance_uid,
            "at": at,
        },
    )


def list_notices(tx: Connection, *, after: InstanceRef | None, limit: int) -> Sequence[Notice]:
    """Return notices in the order of their UIDs, beginning behind one."""
    rows = tx.execute(
        text(
            "SELECT series_instance_uid, study_instance_uid, sop_instance_uid, CAST(xmin AS text) AS version "
            "FROM noticed_series WHERE (series_instance_uid, study_instance_uid) > (:series, :study) "
            "ORDER BY series_instance_uid, study_instance_uid LIMIT :limit"
        ),
        {
            "series": "" if after is None else after.series_instance_uid,
            "study": "" if after is None else after.study_instance_uid,
            "limit": limit,
        },
    ).all()
    return [
        Notice(
            InstanceRef(
                StudyInstanceUID(row.study_instance_uid),
                SeriesInstanceUID(row.series_instance_uid),
                SopInstanceUID(row.sop_instance_uid),
            ),
            row.version,
        )
        for row in rows
    ]


def forget_notice(tx: Connection, seen: Notice) -> None:
    """Forget a notice, unless the series was noticed again since it was looked at."""
    tx.execute(
        text(
            "DELETE FROM noticed_series WHERE series_instance_uid = :series AND study_instance_uid = :study "
            "AND CAST(xmin AS text) = :version"
        ),
        {
            "series": seen.ref.series_instance_uid,
            "study": seen.ref.study_instance_uid,
            "version": seen.version,
        },
    )
