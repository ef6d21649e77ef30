"""Reservations of series and instances while they are stored (design: storing).

Every function runs inside the caller's transaction. What is reserved grants nothing and is counted nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import AdmittedInstance, StoreTarget
from kheops.domain.resources import OriginAlbum, OriginUser, SeriesRef, SeriesState
from kheops.ids import ReportTokenPk, SeriesPk, SopInstanceUID, UserPk, ViewerTokenPk
from kheops.storage.columns import INSTANCE_COLUMNS, SERIES_COLUMNS
from kheops.storage.instance_rows import INSTANCE_RECORD, InstanceRecord, record_of

__all__ = [
    "WITHHELD",
    "Reservation",
    "expired_instances",
    "release_instance",
    "renew_leases",
    "reserve_instance",
    "reserve_series",
    "sweep_empty_reservations",
    "take_over_withheld",
    "withhold_instance",
]


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
    report: ReportTokenPk | None
    """The report token that was used, if one was."""
    lease_until: datetime
    at: datetime


WITHHELD: Final = "withheld"
"""Stands for the id of an upload where an instance is withheld; none of those is a word."""

_CAPABILITY_KEY: Final = "(SELECT pk FROM capabilities WHERE id = CAST(:capability AS text))"


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
        "report_token_pk": reservation.report,
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


def withhold_instance(tx: Connection, instance: SopInstanceUID) -> None:
    """Keep the reservation of an instance for good, for nobody.

    The store has it, and whoever sent it had lost the right by then. Without its row, the comparison of catalog and
    store would take it for data that came by another way, and show it.
    """
    tx.execute(
        text(
            "UPDATE instances SET upload_id = :withheld, lease_until = timestamptz '9999-12-31 00:00:00Z', "
            "target_pk = NULL, uploader_pk = NULL, capability_pk = NULL, viewer_token_pk = NULL, "
            "report_token_pk = NULL WHERE sop_instance_uid = :instance AND state = 'reserved'"
        ),
        {"withheld": WITHHELD, "instance": instance},
    )


def take_over_withheld(tx: Connection, record: InstanceRecord) -> bool:
    """Forget a withheld reservation, for somebody who may store the instance; ``False`` if it is another one."""
    if record.upload_id != WITHHELD:
        return False
    release_instance(tx, record.ref.sop_instance_uid, upload_id=WITHHELD)
    return True


def expired_instances(tx: Connection, at: datetime, *, limit: int) -> Sequence[InstanceRecord]:
    """Return reserved instances whose lease has run out, the oldest first."""
    rows = tx.execute(
        text(
            f"{INSTANCE_RECORD} WHERE i.state = 'reserved' AND i.lease_until < :at ORDER BY i.lease_until LIMIT :limit"
        ),
        {"at": at, "limit": limit},
    ).all()
    return [record_of(row) for row in rows]


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


def _insert(table: str, values: Mapping[str, object], extra: Mapping[str, str] | None = None) -> str:
    expressions = {f'"{name}"': f":{name}" for name in values}
    expressions.update(extra or {})
    return f"INSERT INTO {table} ({', '.join(expressions)}) VALUES ({', '.join(expressions.values())})"  # noqa: S608
