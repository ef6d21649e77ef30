"""From reserved to confirmed, with the grant checked again in the same transaction."""

from collections import Counter
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
from kheops.domain.principals import Principal, groups_of
from kheops.domain.resources import AlbumRole, InstanceRef, SeriesState
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.domain.webhooks import ImportSource
from kheops.ids import AlbumPk, SeriesPk, SopInstanceUID
from kheops.services.admission import Digest, Upload, store_facts
from kheops.services.webhook_events import tell_new_series
from kheops.storage import audit, holdings, instance_rows, reservations, roles, series_rows, standing
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.instance_rows import InstanceRecord

__all__ = ["Arrived", "Resolver", "confirm", "digest_of_stored", "naming"]


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
    upload_id: str | None,
    arrived: Sequence[Arrived],
    use: Use,
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
    upload_id
        Whose reservations they are.
    arrived
        What the store has.
    use
        Goes to the audit trail in this transaction, with the UIDs of what was granted and of what was not.
    at
        The current time.
    """
    role = roles.role_in(tx, principal.user, target, groups=groups_of(principal))
    in_album = role is not None and not role.is_inbox
    if in_album:
        # Whoever locks an album as well locks it first: see `kheops.storage.holdings`.
        series_rows.lock_album(tx, target)
    upload = _upload_in_force(tx, principal, role, at)
    done: list[InstanceRef] = []
    new_there: list[InstanceRef] = []
    new_instances: Counter[SeriesPk] = Counter()
    for each in sorted(arrived, key=lambda item: item.ref.series_instance_uid):
        series = series_rows.lock_series(tx, each.ref.series_instance_uid)
        record = instance_rows.find_instance(tx, each.ref.sop_instance_uid)
        if series is None or record is None or not _is_ours(record, each, upload_id):
            continue
        if upload is None or not _still_admitted(tx, upload, each.ref, series):
            _keep_from_everybody(tx, series, record, each, at)
            continue
        if not record.is_confirmed:
            instance_rows.confirm_instance(tx, record, each.digest, at)
            new_instances[series.pk] += 1
        if series.record.state in {SeriesState.RESERVED, SeriesState.ORPHAN}:
            series_rows.mark_confirmed(tx, series.pk, at)
        if holdings.add_series(tx, album=target, series_pk=series.pk, by=principal.user, at=at):
            new_there.append(each.ref)
        done.append(each.ref)
    if in_album:
        _tell_album(tx, target, new_there, principal, at)
    # Last, with every row of a series locked already.
    tell_new_series(tx, new_instances, target=target, by=principal, source=ImportSource.UPLOAD, at=at)
    _record_use(tx, use, done, [each.ref for each in arrived if each.ref not in done], at)
    return frozenset(ref.sop_instance_uid for ref in done)


def _is_ours(record: InstanceRecord, arrived: Arrived, upload_id: str | None) -> bool:
    """Return whether a row is the arrived instance's: its own reservation, or confirmed with the same bytes."""
    if record.ref != arrived.ref:
        return False
    if not record.is_confirmed:
        return record.upload_id == upload_id
    return arrived.digest is None or record.sha256 is None or record.sha256 == arrived.digest[1]


def _record_use(
    tx: Connection, use: Use, done: Sequence[InstanceRef], kept: Sequence[InstanceRef], at: datetime
) -> None:
    """Write into the audit trail what was granted and what was not."""
    for refs, outcome, reason in ((done, use.outcome, use.reason), (kept, Outcome.REFUSED, "grant-lost")):
        if refs:
            audit.insert_use(tx, replace(naming(use, refs), outcome=outcome, reason=reason), at)


def naming(use: Use, refs: Sequence[InstanceRef]) -> Use:
    """Return ``use`` with the UIDs of instances."""
    return replace(
        use,
        studies=tuple(dict.fromkeys(ref.study_instance_uid for ref in refs)),
        series=tuple(dict.fromkeys(ref.series_instance_uid for ref in refs)),
        instances=tuple(ref.sop_instance_uid for ref in refs),
    )


def _upload_in_force(tx: Connection, principal: Principal, role: AlbumRole | None, at: datetime) -> Upload | None:
    """Return the upload as it may go on now; ``None`` if the token or the right to store there has gone."""
    into = policy.store_into(principal, role)
    if isinstance(into, Denied) or not standing.stands(tx, principal, at):
        return None
    return Upload(upload_id="", principal=principal, target=into)


def _still_admitted(tx: Connection, upload: Upload, ref: InstanceRef, series: series_rows.SeriesRecord) -> bool:
    facts = store_facts(tx, upload, ref, series)
    return not isinstance(policy.admit(upload.principal, upload.target, ref.series, facts), Denied)


def _keep_from_everybody(
    tx: Connection,
    series: series_rows.SeriesRecord,
    record: InstanceRecord,
    arrived: Arrived,
    at: datetime,
) -> None:
    """Settle an instance whose uploader has lost the right: nobody sees it.

    In a series that nobody has it is put on record, so that the series's origin may take both back. In one that
    somebody reads it is withheld, until somebody who may stores it again.
    """
    if record.is_confirmed:
        return
    if series.record.state is SeriesState.CONFIRMED:
        reservations.withhold_instance(tx, arrived.ref.sop_instance_uid)
        return
    instance_rows.confirm_instance(tx, record, arrived.digest, at)
    if series.record.state is SeriesState.RESERVED:
        series_rows.mark_orphan(tx, series.pk, at)


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


def _reconciled(principal: Principal) -> Use:
    """Return the use of settling what an upload of ``principal`` left."""
    return Use(
        user=User(principal.iss, principal.sub, principal.token_id),
        kind=UseKind.RECONCILE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="reconcile",
    )


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
        record = await self._database.run(partial(instance_rows.find_instance, instance=instance))
        if record is None or record.is_confirmed or not self._expired(record):
            return "unchanged"
        if not await self._archive.inspect_instance(record.ref):
            return await self._database.run(partial(self._release, instance=instance))
        digest = await digest_of_stored(self._archive, record.ref)
        return await self._database.run(partial(self._confirm, record=record, digest=digest))

    def _release(self, tx: Connection, instance: SopInstanceUID) -> str:
        record = instance_rows.find_instance(tx, instance)
        if record is None or record.is_confirmed or not self._expired(record):
            return "unchanged"
        reservations.release_instance(tx, instance, upload_id=record.upload_id)
        return "released"

    def _confirm(self, tx: Connection, record: InstanceRecord, digest: Digest) -> str:
        at = self._clock()
        # The series before the instance, as everybody locks them.
        series = series_rows.lock_series(tx, record.ref.series_instance_uid)
        record_now = instance_rows.find_instance(tx, record.ref.sop_instance_uid)
        if series is None or record_now is None or record_now.is_confirmed or not self._expired(record_now):
            return "unchanged"
        principal = (
            None
            if record_now.uploader is None
            else standing.principal_of_upload(
                tx,
                record_now.uploader,
                capability=record_now.capability,
                viewer=record_now.viewer,
                report=record_now.report,
            )
        )
        arrived = Arrived(record_now.ref, digest)
        if principal is None or record_now.target is None:
            _keep_from_everybody(tx, series, record_now, arrived, at)
            return "orphaned"
        confirmed = confirm(
            tx,
            principal=principal,
            target=record_now.target,
            upload_id=record_now.upload_id,
            arrived=[arrived],
            use=_reconciled(principal),
            at=at,
        )
        return "confirmed" if confirmed else "orphaned"

    def _expired(self, record: InstanceRecord) -> bool:
        return record.lease_until is not None and record.lease_until <= self._clock()
