"""Series that an administrator of the installation deletes for good: found, locked, and turned to ``deleting``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.resources import SeriesRef
from kheops.ids import AlbumPk, SeriesInstanceUID, SeriesPk, StudyInstanceUID
from kheops.storage.holdings import Selection
from kheops.storage.reservations import WITHHELD

__all__ = ["Condemned", "Holder", "begin_deleting", "holders_of", "lock_selected"]


@dataclass(frozen=True, slots=True)
class Condemned:
    """A series that is to be deleted, with its row locked."""

    pk: SeriesPk
    ref: SeriesRef
    is_held: bool
    """Whether it is on legal hold."""
    is_busy: bool
    """Whether an upload is adding to it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An album or inbox that holds some of the series."""

    album: AlbumPk
    is_inbox: bool
    series: tuple[SeriesPk, ...]


_SELECTED: Final = """
    s.study_instance_uid = :study
    AND (CAST(:series AS text) IS NULL OR s.series_instance_uid = CAST(:series AS text))
    AND (CAST(:within AS bigint) IS NULL OR EXISTS (
        SELECT 1 FROM album_series w WHERE w.series_pk = s.pk AND w.album_pk = CAST(:within AS bigint)))
    AND s.state IN ('confirmed', 'orphan') AND s.confirmed_at IS NOT NULL
"""
"""What came by another way than through us was never confirmed, and is not ours to delete (docs/adr/0017)."""


def _parameters(selection: Selection, within: AlbumPk | None) -> dict[str, object]:
    return {"study": selection.study, "series": selection.series, "within": within}


def holders_of(tx: Connection, selection: Selection, *, within: AlbumPk | None) -> Sequence[Holder]:
    """Return who holds what of the selection, in the order in which albums are locked.

    Parameters
    ----------
    tx
        The transaction.
    selection
        A study or a series of it.
    within
        An album that must hold the series; ``None`` for all of the selection.
    """
    rows = tx.execute(
        text(
            "SELECT x.album_pk, a.kind = 'inbox' AS is_inbox, array_agg(s.pk ORDER BY s.pk) AS series "  # noqa: S608 - constants only
            "FROM series s JOIN album_series x ON x.series_pk = s.pk JOIN albums a ON a.pk = x.album_pk "
            f"WHERE {_SELECTED} GROUP BY x.album_pk, a.kind ORDER BY x.album_pk"
        ),
        _parameters(selection, within),
    ).all()
    return [Holder(AlbumPk(row.album_pk), row.is_inbox, tuple(SeriesPk(pk) for pk in row.series)) for row in rows]


def lock_selected(tx: Connection, selection: Selection, *, within: AlbumPk | None) -> Sequence[Condemned]:
    """Lock the series of the selection and return them, in the order of their keys."""
    locked = tx.execute(
        text(f"SELECT s.pk FROM series s WHERE {_SELECTED} ORDER BY s.pk FOR UPDATE OF s"),  # noqa: S608 - constant
        _parameters(selection, within),
    ).scalars()
    # Read again under the lock: what they waited for may have changed them.
    rows = tx.execute(
        text(
            "SELECT s.pk, s.study_instance_uid, s.series_instance_uid, s.legal_hold, EXISTS ("  # noqa: S608 - constants only
            "SELECT 1 FROM instances i WHERE i.series_pk = s.pk AND i.state = 'reserved' "
            f"AND i.upload_id IS DISTINCT FROM '{WITHHELD}') AS is_busy "
            f"FROM series s WHERE s.pk = ANY (:locked) AND {_SELECTED} ORDER BY s.pk"
        ),
        {**_parameters(selection, within), "locked": list(locked)},
    ).all()
    return [
        Condemned(
            SeriesPk(row.pk),
            SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)),
            is_held=row.legal_hold,
            is_busy=row.is_busy,
        )
        for row in rows
    ]


def begin_deleting(tx: Connection, series: Sequence[SeriesPk], at: datetime) -> None:
    """Turn locked series that nothing holds any more to ``deleting``; the purge does the rest."""
    tx.execute(
        text(
            "UPDATE series s SET state = 'deleting', updated_at = :at WHERE s.pk = ANY (:pks) AND NOT s.legal_hold "
            "AND NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk)"
        ),
        {"pks": list(series), "at": at},
    )
