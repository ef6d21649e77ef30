"""Rows of series: their locks, their states, and whose they are.

Every function runs inside the caller's transaction. What changes a series holds its row's lock; a new series takes
the lock of its study's UID first, so that two people who start the same study at once meet.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from kheops.domain.policy import ReadScope, StoreTarget
from kheops.domain.resources import Origin, OriginAlbum, OriginUser, SeriesOnRecord, SeriesRef, SeriesState
from kheops.ids import AlbumPk, SeriesInstanceUID, SeriesPk, StudyInstanceUID, UserPk
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = [
    "SeriesRecord",
    "catalog_orphan",
    "is_held_by",
    "lock_album",
    "lock_series",
    "lock_study",
    "mark_confirmed",
    "mark_orphan",
    "origin_of",
    "study_is_open",
    "study_on_record",
]


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series's row, locked by the transaction that read it."""

    pk: SeriesPk
    record: SeriesOnRecord


def lock_study(tx: Connection, study: StudyInstanceUID) -> None:
    """Make whoever creates a series of this study wait until this transaction ends."""
    tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('study' || :study, 0))"), {"study": study})


def lock_series(tx: Connection, series: SeriesInstanceUID) -> SeriesRecord | None:
    """Lock the row of a series and return it; ``None`` if it is not on record."""
    row = tx.execute(
        text(
            "SELECT pk, study_instance_uid, state, origin_user_pk, origin_album_pk, reserved_for FROM series "
            "WHERE series_instance_uid = :series FOR UPDATE"
        ),
        {"series": series},
    ).one_or_none()
    if row is None:
        return None
    return SeriesRecord(
        SeriesPk(row.pk),
        SeriesOnRecord(
            study_instance_uid=StudyInstanceUID(row.study_instance_uid),
            state=SeriesState(row.state),
            origin=origin_of(row),
            reserved_for=None if row.reserved_for is None else AlbumPk(row.reserved_for),
        ),
    )


def lock_album(tx: Connection, album: AlbumPk) -> None:
    """Make whoever changes the album wait until this transaction ends."""
    tx.execute(text("SELECT 1 FROM albums WHERE pk = :album FOR NO KEY UPDATE"), {"album": album})


def study_on_record(tx: Connection, study: StudyInstanceUID) -> bool:
    """Return whether the catalog has any series of the study, in any state."""
    found: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM series WHERE study_instance_uid = :study)"), {"study": study}
    ).scalar_one()
    return found


def study_is_open(tx: Connection, study: StudyInstanceUID, *, target: StoreTarget, scope: ReadScope | None) -> bool:
    """Return whether the caller has a part in the study.

    They have if they read a series of it (``scope``, where the token may read at all), if the target's origin created
    one, or if one is reserved for the target.
    """
    user = target.origin.user if isinstance(target.origin, OriginUser) else None
    album = target.origin.album if isinstance(target.origin, OriginAlbum) else None
    own: bool = tx.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM series WHERE study_instance_uid = :study AND ("
            "origin_user_pk = CAST(:user AS bigint) OR origin_album_pk = CAST(:album AS bigint) "
            "OR (state = 'reserved' AND reserved_for = :target)))"
        ),
        {"study": study, "user": user, "album": album, "target": target.album},
    ).scalar_one()
    if own or scope is None:
        return own
    readable: bool = tx.execute(
        text(f"SELECT EXISTS ({VISIBLE_SERIES} AND s.study_instance_uid = :study)"),
        {**scope_parameters(scope), "study": study},
    ).scalar_one()
    return readable


def is_held_by(tx: Connection, series: SeriesPk, album: AlbumPk) -> bool:
    """Return whether an album or inbox holds a series."""
    held: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM album_series WHERE series_pk = :series AND album_pk = :album)"),
        {"series": series, "album": album},
    ).scalar_one()
    return held


def catalog_orphan(tx: Connection, ref: SeriesRef, at: datetime) -> None:
    """Put a series that the store holds without our doing on record as nobody's."""
    tx.execute(
        text(
            "INSERT INTO series (study_instance_uid, series_instance_uid, state, orphaned_at, dirty, created_at, "
            "updated_at) VALUES (:study, :series, 'orphan', :at, true, :at, :at) "
            "ON CONFLICT (series_instance_uid) DO NOTHING"
        ),
        {"study": ref.study_instance_uid, "series": ref.series_instance_uid, "at": at},
    )


def mark_confirmed(tx: Connection, series: SeriesPk, at: datetime) -> None:
    """Let a series be seen by those who hold it."""
    tx.execute(
        text(
            "UPDATE series SET state = 'confirmed', confirmed_at = coalesce(confirmed_at, :at), orphaned_at = NULL, "
            "reserved_for = NULL, lease_until = NULL, updated_at = :at WHERE pk = :series"
        ),
        {"at": at, "series": series},
    )


def mark_orphan(tx: Connection, series: SeriesPk, at: datetime) -> None:
    """Let a series be nobody's, until its origin takes it back."""
    tx.execute(
        text(
            "UPDATE series SET state = 'orphan', orphaned_at = :at, confirmed_at = coalesce(confirmed_at, :at), "
            "reserved_for = NULL, lease_until = NULL, updated_at = :at WHERE pk = :series"
        ),
        {"at": at, "series": series},
    )


def origin_of(row: Row[Any]) -> Origin | None:
    """Return whose upload created a series, from a row with ``origin_user_pk`` and ``origin_album_pk``."""
    if row.origin_user_pk is not None:
        return OriginUser(UserPk(row.origin_user_pk))
    if row.origin_album_pk is not None:
        return OriginAlbum(AlbumPk(row.origin_album_pk))
    return None
