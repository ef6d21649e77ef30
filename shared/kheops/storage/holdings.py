"""Which albums and inboxes hold which series: the only writer of the rows that grant pixels.

A series's pointers change only while its row is locked, so that the last one to go, and nobody else, makes it an
orphan. Whoever locks an album as well locks the album first, and several series in the order of their keys.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.policy import PermittedAlbum, ReadScope, StoreTarget
from kheops.domain.resources import (
    Holding,
    OriginAlbum,
    SeriesFacts,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
)
from kheops.ids import AlbumPk, SeriesInstanceUID, SeriesPk, StudyInstanceUID, UserPk
from kheops.storage.role_rows import ROLE_COLUMNS, role_of
from kheops.storage.series_rows import origin_of
from kheops.storage.visibility import HOLDS, VISIBLE_SERIES, scope_parameters

__all__ = [
    "HeldSeries",
    "Orphan",
    "Selection",
    "add_series",
    "find_held",
    "find_held_of",
    "find_orphans",
    "remove_everything",
    "remove_series",
]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request names: a study, or one series of it."""

    study: StudyInstanceUID
    series: SeriesInstanceUID | None = None


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A series that the caller reaches, with its row locked."""

    pk: SeriesPk
    facts: SeriesFacts


@dataclass(frozen=True, slots=True)
class Orphan:
    """A series that nobody holds, with its row locked; what the policy wants to know before it is taken back."""

    pk: SeriesPk
    ref: SeriesRef
    record: SeriesOnRecord


_SELECTED: Final = """
    AND s.study_instance_uid = :study
    AND (CAST(:series AS text) IS NULL OR s.series_instance_uid = CAST(:series AS text))
"""
_CHOSEN: Final = "AND s.series_instance_uid = ANY (CAST(:chosen AS text[]))"
_HELD: Final = f"""
    SELECT {ROLE_COLUMNS}, s.pk AS series_pk, s.study_instance_uid, s.series_instance_uid
    {HOLDS}
"""
_LOCKED: Final = "AND s.pk = ANY (:locked) ORDER BY s.pk"
_ORPHANS: Final = f"""
    SELECT s.pk, s.study_instance_uid, s.series_instance_uid, s.state, s.origin_user_pk, s.origin_album_pk
    FROM series s
    WHERE s.state = 'orphan' AND s.number_of_instances > 0
      AND (s.origin_user_pk = :user OR s.origin_album_pk = CAST(:album AS bigint)) {_SELECTED}
    ORDER BY s.pk FOR UPDATE OF s
"""  # noqa: S608 - constants only


def add_series(tx: Connection, *, album: AlbumPk, series_pk: SeriesPk, by: UserPk | None, at: datetime) -> bool:
    """Let an album or inbox hold a series; an orphan is somebody's again.

    The row of the series is locked until the transaction ends. The right to do it was decided by the caller.

    Parameters
    ----------
    tx
        The transaction.
    album
        The album or inbox.
    series_pk
        The series.
    by
        Who adds it; ``None`` for an import.
    at
        The current time.

    Returns
    -------
    bool
        Whether it is new there. ``False`` also for a series that is being deleted: nothing can be done with it.
    """
    state = tx.execute(text("SELECT state FROM series WHERE pk = :pk FOR UPDATE"), {"pk": series_pk}).scalar_one()
    if state == SeriesState.DELETING:
        return False
    added = tx.execute(
        text(
            "INSERT INTO album_series (album_pk, series_pk, added_at, added_by) VALUES (:album, :series, :at, :by) "
            "ON CONFLICT (album_pk, series_pk) DO NOTHING"
        ),
        {"album": album, "series": series_pk, "at": at, "by": by},
    )
    if state == SeriesState.ORPHAN:
        tx.execute(
            text("UPDATE series SET state = 'confirmed', orphaned_at = NULL, updated_at = :at WHERE pk = :pk"),
            {"at": at, "pk": series_pk},
        )
    return added.rowcount == 1


def remove_series(tx: Connection, *, album: AlbumPk, series: Sequence[SeriesPk], at: datetime) -> list[SeriesPk]:
    """Take series out of an album or inbox; those that nothing holds any longer become orphans.

    Returns
    -------
    list of SeriesPk
        Those that were there.
    """
    _lock(tx, series)
    removed = tx.execute(
        text("DELETE FROM album_series WHERE album_pk = :album AND series_pk = ANY (:series) RETURNING series_pk"),
        {"album": album, "series": list(series)},
    ).scalars()
    keys = [SeriesPk(key) for key in removed]
    _orphan(tx, keys, at)
    return keys


def remove_everything(tx: Connection, album: PermittedAlbum, at: datetime) -> list[SeriesInstanceUID]:
    """Take every series out of an album, which is locked against new ones; return their UIDs."""
    rows = tx.execute(
        text(
            "SELECT s.pk, s.series_instance_uid FROM album_series x JOIN series s ON s.pk = x.series_pk "
            "WHERE x.album_pk = :album ORDER BY s.pk FOR UPDATE OF s"
        ),
        {"album": album},
    ).all()
    tx.execute(text("DELETE FROM album_series WHERE album_pk = :album"), {"album": album})
    _orphan(tx, [SeriesPk(row.pk) for row in rows], at)
    return [SeriesInstanceUID(row.series_instance_uid) for row in rows]


def find_held(tx: Connection, scope: ReadScope, selection: Selection) -> list[HeldSeries]:
    """Return the selected series that the scope reaches, locked, in the order of their keys.

    Only rows that the scope reaches are locked: nobody waits for, or is seen waiting for, what they may not know of.
    """
    return _held(tx, scope, _SELECTED, {"study": selection.study, "series": selection.series})


def find_held_of(tx: Connection, scope: ReadScope, refs: Sequence[SeriesRef]) -> list[HeldSeries]:
    """Do as `find_held` for several series; one that is named under another study than its own is not found."""
    wanted = frozenset(refs)
    held = _held(tx, scope, _CHOSEN, {"chosen": [ref.series_instance_uid for ref in refs]})
    return [each for each in held if each.facts.ref in wanted]


def _held(tx: Connection, scope: ReadScope, condition: str, chosen: Mapping[str, object]) -> list[HeldSeries]:
    # ``condition`` is one of the two constants above.
    parameters = {**scope_parameters(scope), **chosen}
    found = tx.execute(text(f"{VISIBLE_SERIES} {condition} ORDER BY s.pk"), parameters).scalars().all()
    if not found:
        return []
    _lock(tx, [SeriesPk(key) for key in found])
    # Read again under the lock: a pointer may have gone in between.
    rows = tx.execute(text(f"{_HELD} {condition} {_LOCKED}"), {**parameters, "locked": list(found)}).all()
    holdings: dict[tuple[SeriesPk, SeriesRef], list[Holding]] = defaultdict(list)
    for row in rows:
        holdings[SeriesPk(row.series_pk), _ref(row)].append(role_of(row))
    return [HeldSeries(pk, SeriesFacts(ref, tuple(held))) for (pk, ref), held in holdings.items()]


def find_orphans(tx: Connection, target: StoreTarget, user: UserPk, selection: Selection) -> list[Orphan]:
    """Return the selected orphans that were uploaded by ``user`` or into the target, locked.

    Others are not found, and not locked: whether they are there is nobody's to know.
    """
    album = target.origin.album if isinstance(target.origin, OriginAlbum) else None
    rows = tx.execute(
        text(_ORPHANS), {"user": user, "album": album, "study": selection.study, "series": selection.series}
    ).all()
    return [
        Orphan(
            SeriesPk(row.pk),
            _ref(row),
            SeriesOnRecord(
                study_instance_uid=StudyInstanceUID(row.study_instance_uid),
                state=SeriesState(row.state),
                origin=origin_of(row),
                reserved_for=None,
            ),
        )
        for row in rows
    ]


def _lock(tx: Connection, series: Sequence[SeriesPk]) -> None:
    tx.execute(text("SELECT pk FROM series WHERE pk = ANY (:pks) ORDER BY pk FOR UPDATE"), {"pks": list(series)})


def _orphan(tx: Connection, series: Sequence[SeriesPk], at: datetime) -> None:
    tx.execute(
        text(
            "UPDATE series s SET state = 'orphan', orphaned_at = :at, updated_at = :at WHERE s.pk = ANY (:pks) "
            "AND s.state = 'confirmed' AND NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk)"
        ),
        {"at": at, "pks": list(series)},
    )


def _ref(row: Row[Any]) -> SeriesRef:
    return SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid))
