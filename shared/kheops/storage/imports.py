"""Series that nobody has ever held, and albums and inboxes that are to get them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.resources import SeriesRef
from kheops.ids import AlbumId, AlbumPk, SeriesPk
from kheops.storage.columns import SERIES_COLUMNS

__all__ = ["Unclaimed", "find_album_key", "find_unclaimed", "is_on_record"]


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """A series that came by another way and that nobody holds or held."""

    pk: SeriesPk
    instances: int
    attributes: Mapping[str, str]
    """By keyword, those that it has."""


_UNCLAIMED: Final = f"""
    SELECT s.pk, s.number_of_instances, {", ".join(f"s.{name}" for name in SERIES_COLUMNS.values())} FROM series s
    WHERE s.study_instance_uid = :study AND s.series_instance_uid = :series AND s.state = 'orphan'
      AND s.confirmed_at IS NULL AND s.orphaned_at = s.created_at
      AND s.origin_user_pk IS NULL AND s.origin_album_pk IS NULL
      AND NOT EXISTS (SELECT 1 FROM album_series x WHERE x.series_pk = s.pk)
    FOR UPDATE OF s
"""  # noqa: S608 - constants only


def is_on_record(tx: Connection, ref: SeriesRef) -> bool:
    """Return whether the catalog has a series of this UID, under whatever study and in whatever state."""
    found: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM series WHERE series_instance_uid = :series)"),
        {"series": ref.series_instance_uid},
    ).scalar_one()
    return found


def find_unclaimed(tx: Connection, ref: SeriesRef) -> Unclaimed | None:
    """Lock a series that nobody holds, and nobody ever held, and return it; ``None`` if it is none.

    One that was somebody's and is an orphan again is none: who gave it away must not get it back by an import.
    """
    row = tx.execute(
        text(_UNCLAIMED), {"study": ref.study_instance_uid, "series": ref.series_instance_uid}
    ).one_or_none()
    if row is None:
        return None
    columns = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    attributes = {keyword: columns[name] for keyword, name in SERIES_COLUMNS.items() if columns[name] is not None}
    return Unclaimed(SeriesPk(row.pk), row.number_of_instances, attributes)


def find_album_key(tx: Connection, album: AlbumId) -> AlbumPk | None:
    """Return the key of an album, no inbox; ``None`` if there is none of this id."""
    key = tx.execute(
        text("SELECT pk FROM albums WHERE id = :album AND kind = 'album'"), {"album": album}
    ).scalar_one_or_none()
    return None if key is None else AlbumPk(key)
