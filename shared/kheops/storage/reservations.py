"""The states of series and instances while they are stored (design: storing).

Every function runs inside the caller's transaction. What changes a series holds its row's lock; a new series takes
the lock of its study's UID first, so that two people who start the same study at once meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.policy import AdmittedInstance, ReadScope, StoreTarget
from kheops.domain.resources import (
    InstanceRef,
    Origin,
    OriginAlbum,
    OriginUser,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
)
from kheops.ids import (
    AlbumPk,
    SeriesInstanceUID,
    SeriesPk,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)
from kheops.storage.columns import INSTANCE_COLUMNS, SERIES_COLUMNS
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = [
    "InstanceRecord",
    "Reservation",
    "SeriesRecord",
    "catalog_orphan",
    "confirm_instance",
    "expire_instances",
    "expired_instances",
    "find_instance",
    "is_held_by",
    "lock_album",
    "lock_series",
    "lock_study",
    "mark_confirmed",
    "mark_orphan",
    "release_instance",
    "renew_leases",
    "reserve_instance",
    "reserve_series",
    "set_digest",
    "study_is_open",
    "study_on_record",
    "sweep_empty_reservations",
]


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series's row, locked by the transaction that read it."""

    pk: SeriesPk
    record: SeriesOnRecord


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance's row."""

    ref: InstanceRef
    series: SeriesPk
    is_confirmed: bool
    upload_id: str | None
    target: AlbumPk | None
    uploader: UserPk | None
    capability: int | None
    viewer: ViewerTokenPk | None
    lease_until: datetime | None
    size: int | None
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Who reserves, for where, and until when."""

    upload_id: str
    target: StoreTarget
    uploader: UserPk
    capability: str | None
    """The public id of the capability token that was used, or that the viewer token comes from."""
    viewer: ViewerTokenPk | None
    """The viewer token that was used, if one was."""
    lease_until: datetime
    at: datetime


_INSTANCE: Final = """
    SELECT i.sop_instance_uid, i.series_pk, i.state = 'confirmed' AS is_confirmed, i.upload_id, i.target_pk,
           i.uploader_pk, i.capability_pk, i.viewer_token_pk, i.lease_until, i.size, i.sha256, s.study_instance_uid,
           s.series_instance_uid
    FROM instances i JOIN series s ON s.pk = i.series_pk
"""


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
            origin=_origin(row),
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


def reserve_series(
    tx: Connection, ref: SeriesRef, attributes: Mapping[str, str], reservation: Reservation
) -> SeriesPk | None:
    """Reserve a series that is not on record; ``None`` if a concurrent request put it there first."""
    columns = {SERIES_COLUMNS[keyword]: value for keyword, value in attributes.items() if keyword in SERIES_COLUMNS}
    origin = reservation.target.origin
    values: dict[str, object] = {
        **columns,
        "study_instance_uid": ref.study_instance_uid,
        "series_instance_uid": ref.series_instance_uid,
        "state": SeriesState.RESERVED.value,
        "reserved_for": reservation.target.album,
        "lease_until": reservation.lease_until,
        "origin_user_pk": origin.user if isinstance(origin, OriginUser) else None,
        "origin_album_pk": origin.album if isinstance(origin, OriginAlbum) else None,
        "created_at": reservation.at,
        "updated_at": reservation.at,
    }
    key = tx.execute(
        text(_insert("series", values) + " ON CONFLICT (series_instance_uid) DO NOTHING RETURNING pk"), values
    ).scalar_one_or_none()
    return None if key is None else SeriesPk(key)


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


def find_instance(tx: Connection, instance: SopInstanceUID) -> InstanceRecord | None:
    """Lock the row of an instance and return it; ``None`` if it is not on record."""
    row = tx.execute(
        text(f"{_INSTANCE} WHERE i.sop_instance_uid = :instance FOR UPDATE OF i"), {"instance": instance}
    ).one_or_none()
    return None if row is None else _record(row)


def reserve_instance(  # noqa: PLR0917 - each is a different type
    tx: Connection,
    series: SeriesPk,
    instance: AdmittedInstance,
    attributes: Mapping[str, str],
    digest: tuple[int, bytes, int] | None,
    reservation: Reservation,
) -> bool:
    """Reserve an instance; ``False`` if its UID is on record already.

    Parameters
    ----------
    tx
        The transaction, which holds the series's lock.
    series
        The series's key.
    instance
        The admitted instance.
    attributes
        Instance attributes by keyword.
    digest
        Size in bytes, SHA-256 and CRC-32, where the bytes are known before they are sent.
    reservation
        Who reserves.
    """
    columns = {
        INSTANCE_COLUMNS[keyword]: value for keyword, value in attributes.items() if keyword in INSTANCE_COLUMNS
    }
    size, sha256, crc32 = digest if digest is not None else (None, None, None)
    values: dict[str, object] = {
        **columns,
        "series_pk": series,
        "sop_instance_uid": instance.sop_instance_uid,
        "state": "reserved",
        "upload_id": reservation.upload_id,
        "target_pk": reservation.target.album,
        "uploader_pk": reservation.uploader,
        "viewer_token_pk": reservation.viewer,
        "lease_until": reservation.lease_until,
        "size": size,
        "sha256": sha256,
        "crc32": crc32,
        "created_at": reservation.at,
    }
    statement = _insert("instances", values, extra={"capability_pk": _CAPABILITY_KEY})
    key = tx.execute(
        text(statement + " ON CONFLICT (sop_instance_uid) DO NOTHING RETURNING pk"),
        {**values, "capability": reservation.capability},
    ).scalar_one_or_none()
    tx.execute(
        text("UPDATE series SET lease_until = greatest(lease_until, :until) WHERE pk = :pk AND state = 'reserved'"),
        {"until": reservation.lease_until, "pk": series},
    )
    return key is not None


def renew_leases(tx: Connection, upload_id: str, until: datetime) -> None:
    """Move the ends of an upload's leases."""
    tx.execute(
        text("UPDATE instances SET lease_until = :until WHERE upload_id = :upload AND state = 'reserved'"),
        {"until": until, "upload": upload_id},
    )
    tx.execute(
        text(
            "UPDATE series SET lease_until = greatest(lease_until, :until) WHERE state = 'reserved' AND pk IN "
            "(SELECT series_pk FROM instances WHERE upload_id = :upload AND state = 'reserved')"
        ),
        {"until": until, "upload": upload_id},
    )


def expire_instances(tx: Connection, instances: Sequence[SopInstanceUID], upload_id: str, at: datetime) -> None:
    """Let the leases of some instances of an upload end now."""
    tx.execute(
        text(
            "UPDATE instances SET lease_until = :at WHERE upload_id = :upload AND state = 'reserved' "
            "AND sop_instance_uid = ANY(CAST(:instances AS text[]))"
        ),
        {"at": at, "upload": upload_id, "instances": list(instances)},
    )


def is_held_by(tx: Connection, series: SeriesPk, album: AlbumPk) -> bool:
    """Return whether an album or inbox holds a series."""
    held: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM album_series WHERE series_pk = :series AND album_pk = :album)"),
        {"series": series, "album": album},
    ).scalar_one()
    return held


def confirm_instance(
    tx: Connection, record: InstanceRecord, digest: tuple[int, bytes, int] | None, at: datetime
) -> bool:
    """Turn a reserved instance into a confirmed one; ``False`` if it is no longer reserved."""
    size, sha256, crc32 = digest if digest is not None else (None, None, None)
    changed = tx.execute(
        text(
            "UPDATE instances SET state = 'confirmed', confirmed_at = :at, lease_until = NULL, upload_id = NULL, "
            "size = coalesce(CAST(:size AS bigint), size), sha256 = coalesce(CAST(:sha256 AS bytea), sha256), "
            "crc32 = coalesce(CAST(:crc32 AS bigint), crc32) "
            "WHERE sop_instance_uid = :instance AND state = 'reserved' AND series_pk = :series"
        ),
        {
            "at": at,
            "size": size,
            "sha256": sha256,
            "crc32": crc32,
            "instance": record.ref.sop_instance_uid,
            "series": record.series,
        },
    ).rowcount
    if changed == 0:
        return False
    tx.execute(
        text("UPDATE series SET number_of_instances = number_of_instances + 1, updated_at = :at WHERE pk = :series"),
        {"at": at, "series": record.series},
    )
    return True


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


def release_instance(tx: Connection, instance: SopInstanceUID, *, upload_id: str | None) -> None:
    """Forget a reservation, and that of its series if nothing else is in it.

    Parameters
    ----------
    tx
        The transaction.
    instance
        The instance.
    upload_id
        Only if it is this upload's reservation; ``None`` for whosesoever.
    """
    series = tx.execute(
        text(
            "DELETE FROM instances WHERE sop_instance_uid = :instance AND state = 'reserved' "
            "AND (CAST(:upload AS text) IS NULL OR upload_id = :upload) RETURNING series_pk"
        ),
        {"instance": instance, "upload": upload_id},
    ).scalar_one_or_none()
    if series is not None:
        tx.execute(text("SELECT 1 FROM series WHERE pk = :pk FOR UPDATE"), {"pk": series})
        tx.execute(
            text(
                "DELETE FROM series s WHERE s.pk = :pk AND s.state = 'reserved' "
                "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series_pk = s.pk)"
            ),
            {"pk": series},
        )


def set_digest(tx: Connection, instance: SopInstanceUID, digest: tuple[int, bytes, int]) -> None:
    """Record the digest of an instance that had none."""
    tx.execute(
        text(
            "UPDATE instances SET size = :size, sha256 = :sha256, crc32 = :crc32 "
            "WHERE sop_instance_uid = :instance AND sha256 IS NULL"
        ),
        {"size": digest[0], "sha256": digest[1], "crc32": digest[2], "instance": instance},
    )


def expired_instances(tx: Connection, at: datetime, *, limit: int) -> Sequence[InstanceRecord]:
    """Return reserved instances whose lease has run out, the oldest first."""
    rows = tx.execute(
        text(f"{_INSTANCE} WHERE i.state = 'reserved' AND i.lease_until < :at ORDER BY i.lease_until LIMIT :limit"),
        {"at": at, "limit": limit},
    ).all()
    return [_record(row) for row in rows]


def sweep_empty_reservations(tx: Connection, at: datetime) -> int:
    """Forget reserved series whose lease has run out and that have no instance; return how many."""
    swept: int = tx.execute(
        text(
            "DELETE FROM series s WHERE s.state = 'reserved' AND s.lease_until < :at "
            "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series_pk = s.pk)"
        ),
        {"at": at},
    ).rowcount
    return swept


_CAPABILITY_KEY: Final = "(SELECT pk FROM capabilities WHERE id = CAST(:capability AS text))"


def _insert(table: str, values: Mapping[str, object], extra: Mapping[str, str] | None = None) -> str:
    expressions = {f'"{name}"': f":{name}" for name in values}
    expressions.update(extra or {})
    return f"INSERT INTO {table} ({', '.join(expressions)}) VALUES ({', '.join(expressions.values())})"  # noqa: S608


def _origin(row: Row[Any]) -> Origin | None:
    if row.origin_user_pk is not None:
        return OriginUser(UserPk(row.origin_user_pk))
    if row.origin_album_pk is not None:
        return OriginAlbum(AlbumPk(row.origin_album_pk))
    return None


def _record(row: Row[Any]) -> InstanceRecord:
    return InstanceRecord(
        ref=InstanceRef(
            StudyInstanceUID(row.study_instance_uid),
            SeriesInstanceUID(row.series_instance_uid),
            SopInstanceUID(row.sop_instance_uid),
        ),
        series=SeriesPk(row.series_pk),
        is_confirmed=row.is_confirmed,
        upload_id=row.upload_id,
        target=None if row.target_pk is None else AlbumPk(row.target_pk),
        uploader=None if row.uploader_pk is None else UserPk(row.uploader_pk),
        capability=row.capability_pk,
        viewer=None if row.viewer_token_pk is None else ViewerTokenPk(row.viewer_token_pk),
        lease_until=row.lease_until,
        size=row.size,
        sha256=None if row.sha256 is None else bytes(row.sha256),
    )
