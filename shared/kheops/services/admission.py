"""Whether a part of an upload may go on, and its reservation (design: storing, storing again, who may add)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from sqlalchemy import Connection

from kheops.dicomweb.attributes import Tag
from kheops.dicomweb.part10 import Head
from kheops.domain import policy
from kheops.domain.policy import Admission, AdmittedInstance, Denied, Source, StoreTarget
from kheops.domain.principals import (
    AlbumCapability,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
    groups_of,
    parent_of,
)
from kheops.domain.resources import InstanceRef, OriginAlbum, StoreFacts
from kheops.services.comparison import Comparison
from kheops.storage import instance_rows, reservations, roles, series_rows, standing
from kheops.storage.catalog_contents import reach_of_series
from kheops.storage.instance_rows import InstanceRecord
from kheops.storage.reservations import Reservation
from kheops.storage.series_rows import SeriesRecord

__all__ = [
    "Conflicting",
    "Digest",
    "InStore",
    "OnRecord",
    "Refused",
    "Reserved",
    "Unsettled",
    "Upload",
    "Verdict",
    "admit",
    "store_facts",
]

Digest = tuple[int, bytes, int]
"""Size in bytes, SHA-256 and CRC-32 of a received file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One STOW request: who stores, and for where."""

    upload_id: str
    principal: Principal
    target: StoreTarget


@dataclass(frozen=True, slots=True)
class Reserved:
    """The instance may be sent to the store; its row is reserved for this upload."""

    instance: AdmittedInstance


@dataclass(frozen=True, slots=True)
class OnRecord:
    """The instance is confirmed already: compare the bytes, and never send them."""

    record: InstanceRecord
    admission: Admission


@dataclass(frozen=True, slots=True)
class Refused:
    """Answered 0x0124 and no more."""

    reason: policy.Reason


@dataclass(frozen=True, slots=True)
class Conflicting:
    """The instance contradicts the study or series on record: 0x0106 with the attributes."""

    attributes: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class InStore:
    """The instance is reserved for this upload, and the store holds one of its UID that is not on record."""

    instance: AdmittedInstance


class Unsettled(Enum):
    """What must be found out before the decision can be made."""

    SERIES_IN_STORE = auto()
    """Ask the store whether it holds the series; it is not on record."""
    LEFT_BY_ANOTHER = auto()
    """An upload that has ended left the instance reserved: resolve that first."""
    BUSY = auto()
    """Another upload is sending this very instance now."""
    ELSEWHERE = auto()
    """The UID is on record in another series of the caller's: 0x0111."""


Verdict = Reserved | InStore | OnRecord | Refused | Conflicting | Unsettled


def admit(
    tx: Connection,
    upload: Upload,
    head: Head,
    digest: Digest | None,
    *,
    store_is_empty: bool,
    at: datetime,
    lease: timedelta,
    comparison: Comparison | None = None,
) -> Verdict:
    """Decide about one instance, and reserve it where it may be sent.

    Parameters
    ----------
    tx
        A transaction of its own.
    upload
        The request.
    head
        What was parsed from the bytes.
    digest
        Of the bytes, where they are all there already.
    store_is_empty
        Whether the store was asked and holds no instance of the series.
    at, lease
        The current time, and how long a reservation lives.
    comparison
        Finds what contradicts the study or series on record; ``None`` where that is borne. What is on record already
        is not compared: the same bytes succeed again.
    """
    ref = InstanceRef(head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid)
    if not standing.stands(tx, upload.principal, at):
        # An upload may take hours, and is nobody's once its person is suspended or its token revoked.
        return Refused(policy.Reason.NO_GRANT)
    series = series_rows.lock_series(tx, ref.series_instance_uid)
    if series is None:
        series_rows.lock_study(tx, ref.study_instance_uid)
        series = series_rows.lock_series(tx, ref.series_instance_uid)
    admission = policy.admit(upload.principal, upload.target, ref.series, store_facts(tx, upload, ref, series))
    if isinstance(admission, Denied):
        return Refused(admission.reason)
    instance = policy.admit_instance(admission, ref)
    assert not isinstance(instance, Denied)
    existing = instance_rows.find_instance(tx, ref.sop_instance_uid)
    if existing is not None and not (
        existing.ref.series == ref.series and reservations.take_over_withheld(tx, existing)
    ):
        return _met(tx, upload, ref, existing, admission, at)
    reservation = Reservation(
        upload_id=upload.upload_id,
        target=upload.target,
        uploader=upload.principal.user,
        capability=_capability(upload.principal),
        viewer=upload.principal.viewer if isinstance(upload.principal, ViewerToken) else None,
        report=upload.principal.report if isinstance(upload.principal, ReportToken) else None,
        lease_until=at + lease,
        at=at,
    )
    if series is None and not store_is_empty:
        return Unsettled.SERIES_IN_STORE
    if comparison is not None and (attributes := comparison.conflicts(tx, head)):
        return Conflicting(attributes)
    if series is None:
        pk = reservations.reserve_series(tx, ref.series, {**head.patient_study, **head.series}, reservation)
        if pk is None:
            # Under the study's lock only another study's upload can have taken the UID.
            return Refused(policy.Reason.SERIES_ELSEWHERE)
    else:
        pk = series.pk
    if not reservations.reserve_instance(tx, pk, instance, head.instance, digest, reservation):
        return Unsettled.BUSY
    return Reserved(instance)


def _met(  # noqa: PLR0917 - each is of a different type
    tx: Connection, upload: Upload, ref: InstanceRef, existing: InstanceRecord, admission: Admission, at: datetime
) -> Verdict:
    """Decide about an instance whose UID is on record."""
    if existing.ref.series != ref.series:
        other = series_rows.lock_series(tx, existing.ref.series_instance_uid)
        facts = store_facts(tx, upload, existing.ref, other)
        elsewhere = policy.admit(upload.principal, upload.target, existing.ref.series, facts)
        if isinstance(elsewhere, Denied):
            return Refused(policy.Reason.SERIES_ELSEWHERE)
        return Unsettled.ELSEWHERE
    if existing.is_confirmed:
        return OnRecord(existing, admission)
    if existing.lease_until is not None and existing.lease_until <= at:
        return Unsettled.LEFT_BY_ANOTHER
    return Unsettled.BUSY


def store_facts(tx: Connection, upload: Upload, ref: InstanceRef, series: SeriesRecord | None) -> StoreFacts:
    """Return what the decision about adding ``ref`` depends on, from a series whose row is locked."""
    principal = upload.principal
    scope = policy.read_scope(principal, Source())
    readable = None if isinstance(scope, Denied) else scope
    if series is None:
        on_record = series_rows.study_on_record(tx, ref.study_instance_uid)
        return StoreFacts(
            series=None,
            study_on_record=on_record,
            study_open=on_record
            and series_rows.study_is_open(tx, ref.study_instance_uid, target=upload.target, scope=readable),
            origin_role=None,
        )
    origin = series.record.origin
    return StoreFacts(
        series=series.record,
        study_on_record=True,
        study_open=False,
        origin_role=roles.role_in(tx, principal.user, origin.album, groups=groups_of(principal))
        if isinstance(origin, OriginAlbum)
        else None,
        target_holds=series_rows.is_held_by(tx, series.pk, upload.target.album),
        reach=None if readable is None else reach_of_series(tx, readable, ref.series),
    )


def _capability(principal: Principal) -> str | None:
    parent = parent_of(principal)
    return parent.capability if isinstance(parent, UserCapability | AlbumCapability) else None
