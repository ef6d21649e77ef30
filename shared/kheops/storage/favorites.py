"""Favourite series: a mark on what an album or inbox holds, so that it is the album's and goes with the series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import ReadScope
from kheops.ids import AlbumPk, SeriesInstanceUID
from kheops.storage.holdings import Selection
from kheops.storage.visibility import HOLDS, VISIBLE_SERIES, scope_parameters

__all__ = ["FAVORITE_SERIES", "Marked", "mark"]

FAVORITE_SERIES: Final = f"{VISIBLE_SERIES} AND x.is_favorite"
"""The keys of the series in the scope that are favourites there, each once; of use where the scope is one place."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What was to be marked."""

    found: Sequence[SeriesInstanceUID]
    """The selected series that are there."""
    changed: Sequence[SeriesInstanceUID]
    """Those of them that were not marked so before."""


_SELECTED: Final = f"""
    SELECT s.pk, s.series_instance_uid, x.is_favorite {HOLDS} AND x.album_pk = :place
      AND s.study_instance_uid = :study
      AND (CAST(:series AS text) IS NULL OR s.series_instance_uid = CAST(:series AS text))
    ORDER BY s.pk
"""


def mark(tx: Connection, scope: ReadScope, place: AlbumPk, selection: Selection, *, is_favorite: bool) -> Marked:
    """Mark the selected series that the scope has in an album or inbox as favourites there, or no longer.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller reads there.
    place
        The album or inbox.
    selection
        A study, of which everything is marked that is there, or one series.
    is_favorite
        Which it is to be.
    """
    rows = tx.execute(
        text(_SELECTED),
        {**scope_parameters(scope), "place": place, "study": selection.study, "series": selection.series},
    ).all()
    changing = [row for row in rows if row.is_favorite != is_favorite]
    tx.execute(
        text("UPDATE album_series SET is_favorite = :favorite WHERE album_pk = :place AND series_pk = ANY (:series)"),
        {"favorite": is_favorite, "place": place, "series": [row.pk for row in changing]},
    )
    return Marked(
        found=[SeriesInstanceUID(row.series_instance_uid) for row in rows],
        changed=[SeriesInstanceUID(row.series_instance_uid) for row in changing],
    )
