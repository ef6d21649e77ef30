"""From reserved to confirmed, with the grant checked again in the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from zlib import crc32

from sqlalchemy import Connection

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.mutations import MutationType
from kheops.domain.policy import Denied
from kheops.domain.principals import Principal
from kheops.domain.resources import InstanceRef, SeriesState
from kheops.domain.uses import Outcome, Use
from kheops.ids import AlbumPk, SopInstanceUID
from kheops.services.admission import Digest
from kheops.storage import audit, holdings, reservations, roles, standing
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event

__all__ = ["Arrived", "Resolver", "confirm", "digest_of_stored"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """An instance that the store has."""

    ref: InstanceRef
    digest: Digest | None


def confirm(
    tx: Connection,
    *,
    principal: Principal,
    target: AlbumPk,
    arrived: Sequence[Arrived],
    use: Use | None,
    at: datetime,
) -> frozenset[SopInstanceUID]:
    """Confirm instances of one upload; return those that are now confirmed and granted.

    An instance whose reservation is gone (its lease ran out and somebody settled it as not there) is left out: its
    client sends it again. If the grant no longer holds, none is returned: the bytes are in the
    store and on record, and a series that was only reserved becomes an orphan, which its origin may take back when it
    has the right again.

    Parameters
    ----------
    tx
        A transaction of its own.
    principal
        Who stored.
    target
        The album or inbox.
    arrived
        What the store has.
    use
        Goes to the audit trail in this transaction; ``None`` where the caller writes another.
    at
        The current time.
    """
    role = roles.role_in(tx, principal.user, target)
    granted = not isinstance(policy.store_into(principal, role), Denied) and standing.stands(tx, principal, at)
    done: list[InstanceRef] = []
    new_there: list[InstanceRef] = []
    for each in sorted(arrived, key=lambda item: item.ref.series_instance_uid):
        series = _settle_row(tx, each, at)
        if series is None:
            continue
        if not granted:
            if series.record.state is SeriesState.RESERVED:
                reservations.mark_orphan(tx, series.pk, at)
            continue
        if series.record.state in {SeriesState.RESERVED, SeriesState.ORPHAN}:
            reservations.mark_confirmed(tx, series.pk, at)
        if series.record.state is not SeriesState.DELETING:
            if holdings.add_series(tx, album=target, series_pk=series.pk, by=principal.user, at=at):
                new_there.append(each.ref)
            done.append(each.ref)
    if role is not None and not role.is_inbox:
        _tell_album(tx, target, new_there, principal, at)
    if use is not None:
        outcome = use if granted else replace(use, outcome=Outcome.REFUSED, reason="grant-lost")
        audit.insert_use(tx, outcome, at)
    return frozenset(ref.sop_instance_uid for ref in done)


def _settle_row(tx: Connection, arrived: Arrived, at: datetime) -> reservations.SeriesRecord | None:
    """Turn an instance's reservation into a confirmed row; return its series, locked, or ``None`` if it has none."""
    series = reservations.lock_series(tx, arrived.ref.series_instance_uid)
    record = reservations.find_instance(tx, arrived.ref.sop_instance_uid)
    if series is None or record is None or record.ref != arrived.ref:
        return None
    if not record.is_confirmed:
        reservations.confirm_instance(tx, record, arrived.digest, at)
    return series


def _tell_album(
    tx: Connection, album: AlbumPk, imported: Sequence[InstanceRef], principal: Principal, at: datetime
) -> None:
    """Write into the album's history which series came."""
    for study in dict.fromkeys(ref.study_instance_uid for ref in imported):
        series = tuple(ref.series_instance_uid for ref in imported if ref.study_instance_uid == study)
        mutation = Mutation(MutationType.IMPORT_SERIES, study=study, series=series)
        add_event(tx, album, mutation, by=principal, at=at)


async def digest_of_stored(archive: Archive, ref: InstanceRef) -> Digest:
    """Read a stored instance once and return its digest.

    Raises
    ------
    ArchiveAbsentError
        If the store does not have it.
    ArchiveUnavailableError
        If the store does not answer, or not to the end.
    """
    stream = await archive.inspect_bytes(ref)
    size, checksum, hasher = 0, 0, sha256()
    try:
        async for chunk in stream.chunks():
            size += len(chunk)
            checksum = crc32(chunk, checksum)
            hasher.update(chunk)
    finally:
        stream.abort()
    return size, hasher.digest(), checksum


class Resolver:
    """Settles what an upload that has ended left reserved: the store says what became of it.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock) -> None:
        self._database = database
        self._archive = archive
        self._clock = clock

    async def resolve(self, instance: SopInstanceUID) -> str:
        """Confirm, orphan or release a reservation whose lease has run out; return which.

        Returns
        -------
        str
            ``confirmed``, ``orphaned``, ``released``, or ``unchanged`` where it is no longer reserved or its lease
            lives.

        Raises
        ------
        ArchiveUnavailableError
            If the store cannot say.
        """
        record = await self._database.run(partial(reservations.find_instance, instance=instance))
        if record is None or record.is_confirmed or not self._expired(record):
            return "unchanged"
        if not await self._archive.inspect_instance(record.ref):
            return await self._database.run(partial(self._release, instance=instance))
        digest = await digest_of_stored(self._archive, record.ref)
        return await self._database.run(partial(self._confirm, instance=instance, digest=digest))

    def _release(self, tx: Connection, instance: SopInstanceUID) -> str:
        record = reservations.find_instance(tx, instance)
        if record is None or record.is_confirmed or not self._expired(record):
            return "unchanged"
        reservations.release_instance(tx, instance, upload_id=record.upload_id)
        return "released"

    def _confirm(self, tx: Connection, instance: SopInstanceUID, digest: Digest) -> str:
        record = reservations.find_instance(tx, instance)
        if record is None or record.is_confirmed or not self._expired(record):
            return "unchanged"
        at = self._clock()
        principal = (
            None
            if record.uploader is None
            else standing.principal_of_upload(tx, record.uploader, capability=record.capability, viewer=record.viewer)
        )
        if principal is None or record.target is None:
            series = reservations.lock_series(tx, record.ref.series_instance_uid)
            reservations.confirm_instance(tx, record, digest, at)
            if series is not None and series.record.state is SeriesState.RESERVED:
                reservations.mark_orphan(tx, series.pk, at)
            return "orphaned"
        granted = confirm(
            tx,
            principal=principal,
            target=record.target,
            arrived=[Arrived(record.ref, digest)],
            use=None,
            at=at,
        )
        return "confirmed" if granted else "orphaned"

    def _expired(self, record: reservations.InstanceRecord) -> bool:
        return record.lease_until is not None and record.lease_until <= self._clock()
