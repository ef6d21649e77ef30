"""Series whose rows may differ from what the store holds, and bringing them in step.

Whoever marks a series writes its row anew, so that the version of the row tells whether somebody did after it was
looked at: the flag is cleared only if nobody did.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Row, text

from kheops.domain.resources import SeriesRef
from kheops.ids import SeriesInstanceUID, SeriesPk, SopInstanceUID, StudyInstanceUID
from kheops.storage.columns import INSTANCE_COLUMNS, SERIES_COLUMNS

__all__ = [
    "DirtySeries",
    "FoundInstance",
    "add_found",
    "clear_dirty",
    "drop_missing",
    "find_dirty",
    "list_dirty",
    "lock_version",
    "mark_dirty",
    "mark_share",
]


@dataclass(frozen=True, slots=True)
class DirtySeries:
    """A marked series, with the instances that were on record when it was looked at."""

    pk: SeriesPk
    ref: SeriesRef
    version: str
    confirmed: frozenset[SopInstanceUID]
    reserved: frozenset[SopInstanceUID]
    """Being stored, or withheld: not this work's to settle."""


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An instance that the store holds and the catalog does not, with the catalog's attributes by keyword."""

    uid: SopInstanceUID
    series: Mapping[str, str]
    instance: Mapping[str, str]


_SETTLED: Final = "state IN ('confirmed', 'orphan')"
_DIRTY: Final = f"""
    SELECT s.pk, s.study_instance_uid, s.series_instance_uid, CAST(s.xmin AS text) AS version,
           array_agg(i.sop_instance_uid) FILTER (WHERE i.state = 'confirmed') AS confirmed,
           array_agg(i.sop_instance_uid) FILTER (WHERE i.state <> 'confirmed') AS reserved
    FROM (SELECT pk FROM series WHERE dirty AND {_SETTLED} AND {{}} ORDER BY pk LIMIT 1) x
    JOIN series s ON s.pk = x.pk LEFT JOIN instances i ON i.series_pk = s.pk
    GROUP BY s.pk
"""  # noqa: S608 - constants only
_FIND: Final = text(_DIRTY.format("pk = :pk"))
_LIST: Final = {
    # As the partial index says it.
    by_turn: text(_DIRTY.format(f"{'' if by_turn else 'NOT '}dirty_by_turn AND pk > :after"))
    for by_turn in (False, True)
}
_MARK: Final = text("""
    UPDATE series SET dirty = true, dirty_by_turn = false
    WHERE study_instance_uid = :study AND series_instance_uid = :series
""")


def mark_dirty(tx: Connection, ref: SeriesRef) -> None:
    """Ask the reconciler to compare a series with the store, before those that only have their turn."""
    tx.execute(_MARK, {"study": ref.study_instance_uid, "series": ref.series_instance_uid})


def mark_share(tx: Connection, *, share: int, shares: int, after: SeriesPk, limit: int) -> SeriesPk | None:
    """Mark series of one share of the catalog; return the last of them, ``None`` if there was none left.

    It is their turn: whatever else is marked comes before them, and stays before them.

    Parameters
    ----------
    tx
        The transaction.
    share, shares
        Which, from 0, of how many. A series is in the same share for good.
    after
        The last series of the call before; 0 for the first.
    limit
        Series at most.
    """
    marked: int | None = tx.execute(
        text(f"""
            WITH wanted AS (
                SELECT pk FROM series WHERE pk > :after AND mod(pk, :shares) = :share AND {_SETTLED}
                ORDER BY pk LIMIT :limit
            ), marked AS (
                UPDATE series SET dirty = true, dirty_by_turn = true
                WHERE pk IN (SELECT pk FROM series WHERE pk IN (SELECT pk FROM wanted) ORDER BY pk FOR UPDATE)
                  AND NOT dirty
            )
            SELECT max(pk) FROM wanted
        """),  # noqa: S608 - constants only
        {"after": after, "share": share, "shares": shares, "limit": limit},
    ).scalar_one()
    return None if marked is None else SeriesPk(marked)


def list_dirty(tx: Connection, *, by_turn: bool, after: SeriesPk) -> DirtySeries | None:
    """Return the first marked series behind ``after``; ``None`` if there is none.

    Reserved series and those being deleted are passed over.

    Parameters
    ----------
    tx
        The transaction.
    by_turn
        Whether among those that `mark_share` alone has marked, or among the others.
    after
        The last series of the call before, for the same ``by_turn``; 0 for the first.
    """
    return _dirty(tx.execute(_LIST[by_turn], {"after": after}).one_or_none())


def find_dirty(tx: Connection, series: SeriesPk) -> DirtySeries | None:
    """Return a series if it is marked, and neither reserved nor being deleted."""
    return _dirty(tx.execute(_FIND, {"pk": series}).one_or_none())


def _dirty(row: Row[tuple[object, ...]] | None) -> DirtySeries | None:
    if row is None:
        return None
    return DirtySeries(
        pk=SeriesPk(row.pk),
        ref=SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)),
        version=row.version,
        confirmed=frozenset(map(SopInstanceUID, row.confirmed or ())),
        reserved=frozenset(map(SopInstanceUID, row.reserved or ())),
    )


def lock_version(tx: Connection, series: SeriesPk) -> str | None:
    """Lock the row of a series and return its version; ``None`` if it is gone, reserved or being deleted."""
    version: str | None = tx.execute(
        text(f"SELECT CAST(xmin AS text) FROM series WHERE pk = :pk AND {_SETTLED} FOR UPDATE"),  # noqa: S608 - constants
        {"pk": series},
    ).scalar_one_or_none()
    return version


def add_found(
    tx: Connection, series: SeriesPk, found: Sequence[FoundInstance], at: datetime
) -> frozenset[SopInstanceUID]:
    """Put instances that the store holds on record as confirmed, without digest; return those that were not.

    A UID that has come on record meanwhile, here or in another series, is left. The series gets the attributes of
    the first one if it has none: it was cataloged without any.

    Parameters
    ----------
    tx
        The transaction, which holds the series's lock.
    series
        The series's key.
    found
        The instances.
    at
        The current time.
    """
    added = []
    for each in found:
        values: dict[str, object] = {
            **{INSTANCE_COLUMNS[keyword]: value for keyword, value in each.instance.items()},
            "series_pk": series,
            "sop_instance_uid": each.uid,
            "state": "confirmed",
            "created_at": at,
            "confirmed_at": at,
        }
        names = ", ".join(f'"{name}"' for name in values)
        places = ", ".join(f":{name}" for name in values)
        key = tx.execute(
            text(
                f"INSERT INTO instances ({names}) VALUES ({places}) "  # noqa: S608 - names come from our own tables
                "ON CONFLICT (sop_instance_uid) DO NOTHING RETURNING pk"
            ),
            values,
        ).scalar_one_or_none()
        if key is not None:
            added.append(each)
    if added:
        _fill(tx, series, added[0].series)
        _count(tx, series, at)
    return frozenset(each.uid for each in added)


def drop_missing(
    tx: Connection, series: SeriesPk, missing: Collection[SopInstanceUID], at: datetime
) -> frozenset[SopInstanceUID]:
    """Take confirmed instances off the record that the store does not have; return them.

    The series stays, with those who hold it, and is seen again when it has an instance again.
    """
    dropped = tx.execute(
        text(
            "DELETE FROM instances WHERE series_pk = :series AND state = 'confirmed' "
            "AND sop_instance_uid = ANY (CAST(:missing AS text[])) RETURNING sop_instance_uid"
        ),
        {"series": series, "missing": list(missing)},
    ).scalars()
    gone = frozenset(map(SopInstanceUID, dropped))
    if gone:
        _count(tx, series, at)
    return gone


def clear_dirty(tx: Connection, series: SeriesPk) -> None:
    """Take the mark off a series whose lock the transaction holds."""
    tx.execute(text("UPDATE series SET dirty = false, dirty_by_turn = false WHERE pk = :pk"), {"pk": series})


def _fill(tx: Connection, series: SeriesPk, attributes: Mapping[str, str]) -> None:
    columns = {SERIES_COLUMNS[keyword]: value for keyword, value in attributes.items() if keyword in SERIES_COLUMNS}
    if columns:
        settings = ", ".join(f"{name} = :{name}" for name in columns)
        unset = " AND ".join(f"{name} IS NULL" for name in SERIES_COLUMNS.values())
        tx.execute(text(f"UPDATE series SET {settings} WHERE pk = :pk AND {unset}"), {**columns, "pk": series})  # noqa: S608 - the same


def _count(tx: Connection, series: SeriesPk, at: datetime) -> None:
    tx.execute(
        text(
            "UPDATE series SET updated_at = :at, number_of_instances = (SELECT count(*) FROM instances i "
            "WHERE i.series_pk = series.pk AND i.state = 'confirmed') WHERE pk = :pk"
        ),
        {"pk": series, "at": at},
    )
