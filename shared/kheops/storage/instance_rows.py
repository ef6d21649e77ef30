"""Rows of instances: reserved or confirmed, with the digest of their bytes.

Every function runs inside the caller's transaction, which holds the lock of the series's row where it changes one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.resources import InstanceRef
from kheops.ids import (
    AlbumPk,
    ReportTokenPk,
    SeriesInstanceUID,
    SeriesPk,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)

__all__ = [
    "INSTANCE_RECORD",
    "InstanceRecord",
    "confirm_instance",
    "find_instance",
    "record_of",
    "set_digest",
]


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
    report: ReportTokenPk | None
    lease_until: datetime | None
    size: int | None
    sha256: bytes | None


INSTANCE_RECORD: Final = """
    SELECT i.sop_instance_uid, i.series_pk, i.state = 'confirmed' AS is_confirmed, i.upload_id, i.target_pk,
           i.uploader_pk, i.capability_pk, i.viewer_token_pk, i.report_token_pk, i.lease_until, i.size, i.sha256,
           s.study_instance_uid, s.series_instance_uid
    FROM instances i JOIN series s ON s.pk = i.series_pk
"""
"""Selects what `record_of` takes; conditions and order follow."""


def find_instance(tx: Connection, instance: SopInstanceUID) -> InstanceRecord | None:
    """Lock the row of an instance and return it; ``None`` if it is not on record."""
    row = tx.execute(
        text(f"{INSTANCE_RECORD} WHERE i.sop_instance_uid = :instance FOR UPDATE OF i"), {"instance": instance}
    ).one_or_none()
    return None if row is None else record_of(row)


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


def set_digest(tx: Connection, instance: SopInstanceUID, digest: tuple[int, bytes, int]) -> None:
    """Record the digest of an instance that had none."""
    tx.execute(
        text(
            "UPDATE instances SET size = :size, sha256 = :sha256, crc32 = :crc32 "
            "WHERE sop_instance_uid = :instance AND sha256 IS NULL"
        ),
        {"size": digest[0], "sha256": digest[1], "crc32": digest[2], "instance": instance},
    )


def record_of(row: Row[Any]) -> InstanceRecord:
    """Return the record of a row of `INSTANCE_RECORD`."""
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
        report=None if row.report_token_pk is None else ReportTokenPk(row.report_token_pk),
        lease_until=row.lease_until,
        size=row.size,
        sha256=None if row.sha256 is None else bytes(row.sha256),
    )
