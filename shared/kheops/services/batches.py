"""Complete small instances on their way: decided, sent and confirmed in batches, each on its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.archive.port import Archive, ArchiveAbsentError, HeldInstance, StoreOutcome
from kheops.clock import Clock
from kheops.dicomweb.attributes import Tag
from kheops.dicomweb.part10 import Head
from kheops.domain.policy import Admission, AdmittedInstance
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import Outcome, Use
from kheops.errors import KheopsError, TooManyRequestsError, UnavailableError
from kheops.ids import SopInstanceUID
from kheops.observability import get_logger
from kheops.services.admission import (
    Conflicting,
    Digest,
    InStore,
    OnRecord,
    Refused,
    Reserved,
    Unsettled,
    Upload,
    Verdict,
    admit,
)
from kheops.services.comparison import Comparison
from kheops.services.confirmation import Arrived, Resolver, confirm, digest_of_stored, naming
from kheops.services.refusals import RefusalLimit
from kheops.services.store_report import Failed, FailureReason, Stored, StoreReport
from kheops.storage import audit, instance_rows, reservations, series_rows
from kheops.storage.engine import Database
from kheops.storage.instance_rows import InstanceRecord

__all__ = ["Complete", "Gate", "Workshop"]

_LOG = get_logger(__name__)

_SETTLING_TRIES: Final = 12
_BUSY_WAIT_SECONDS: Final = 0.4
"""Between tries while another upload sends the same instance: about five seconds in all."""


@dataclass(frozen=True, slots=True)
class Complete:
    """A complete, readable file in memory."""

    head: Head
    body: bytes
    digest: Digest

    @property
    def ref(self) -> InstanceRef:
        """Whose bytes they are, by their own word."""
        return _ref(self.head)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What storing needs of the system."""

    database: Database
    archive: Archive
    resolver: Resolver
    refusals: RefusalLimit
    clock: Clock
    lease: timedelta


class Gate:
    """Decides, sends and confirms for one upload, and writes its report.

    Parameters
    ----------
    workshop
        The system.
    upload
        The request.
    use
        The use of the request, for the audit trail.
    report
        Where the outcome of each instance goes.
    comparison
        Finds what contradicts the study or series on record; ``None`` where that is borne.
    """

    def __init__(
        self, workshop: Workshop, upload: Upload, use: Use, report: StoreReport, comparison: Comparison | None = None
    ) -> None:
        self._at = workshop
        self._upload = upload
        self._use = use
        self._report = report
        self._comparison = comparison
        self._not_in_store: set[SeriesRef] = set()
        self._in_store: dict[SeriesRef, frozenset[SopInstanceUID]] = {}

    async def pass_batch(self, batch: Sequence[Complete]) -> None:
        """Take a batch all the way; every instance of it ends up in the report, whatever fails."""
        left = {item.ref.sop_instance_uid: item for item in batch}
        try:
            verdicts = await self.decide([(item.head, item.digest) for item in batch])
            sending = []
            for item, verdict in zip(batch, verdicts, strict=True):
                if isinstance(verdict, Reserved):
                    sending.append((item, verdict.instance))
                else:
                    await self.settle(item.head, item.digest, verdict)
                    left.pop(item.ref.sop_instance_uid, None)
            if sending:
                await self._send(sending, left)
        except (UnavailableError, TooManyRequestsError):
            self._give_up(left, FailureReason.OUT_OF_RESOURCES)
        except KheopsError as error:
            _LOG.error("store.batch_failed", error=type(error).__name__)
            self._give_up(left, FailureReason.PROCESSING_FAILURE)
        except Exception:  # noqa: BLE001 - one batch's fault must not lose what the others came to
            _LOG.exception("store.batch_failed")
            self._give_up(left, FailureReason.PROCESSING_FAILURE)

    async def decide(self, items: Sequence[tuple[Head, Digest | None]]) -> list[Verdict]:
        """Return a settled verdict for each instance; `Unsettled.BUSY` is left where it stays so for five seconds.

        Raises
        ------
        TooManyRequestsError
            If this person was refused too often of late.
        UnavailableError
            If the database or the store does not answer.
        """
        self._at.refusals.check(self._upload.principal.user)
        verdicts: list[Verdict | None] = [None] * len(items)
        open_items = list(range(len(items)))
        for attempt in range(_SETTLING_TRIES):
            asked = [items[index] for index in open_items]
            answers = await self._at.database.run(partial(self._admit_all, items=asked))
            busy = []
            again = []
            for index, verdict in zip(open_items, answers, strict=True):
                verdicts[index] = verdict
                if verdict is Unsettled.BUSY:
                    busy.append(index)
                elif verdict in {Unsettled.SERIES_IN_STORE, Unsettled.LEFT_BY_ANOTHER}:
                    again.append(index)
            await self._find_out({_ref(items[index][0]): verdicts[index] for index in again})
            open_items = again + busy
            if not open_items:
                break
            if not again and attempt < _SETTLING_TRIES - 1:
                await asyncio.sleep(_BUSY_WAIT_SECONDS)
        settled = [verdict if verdict is not None else Unsettled.BUSY for verdict in verdicts]
        return [await self._look_into_store(verdict) for verdict in settled]

    async def _look_into_store(self, verdict: Verdict) -> Verdict:
        """Find out whether the store holds an admitted instance that the catalog has not.

        A store may keep the old bytes of a UID and list the new ones as stored (Orthanc does).
        """
        if not isinstance(verdict, Reserved) or verdict.instance.series in self._not_in_store:
            return verdict
        series = verdict.instance.series
        if series not in self._in_store:
            self._in_store[series] = await self._at.archive.inspect_series(series)
        held = verdict.instance.sop_instance_uid in self._in_store[series]
        return InStore(verdict.instance) if held else verdict

    async def settle(self, head: Head, digest: Digest, verdict: Verdict) -> None:
        """Report an instance that is not sent: refused, contradicting, on record, or busy."""
        match verdict:
            case Refused(reason):
                self._at.refusals.add(self._upload.principal.user, head.series_instance_uid)
                refused = replace(naming(self._use, [_ref(head)]), outcome=Outcome.REFUSED, reason=reason.value)
                await self._at.database.run(partial(audit.insert_use, use=refused, at=self._at.clock()))
                self.fail(head, FailureReason.NOT_AUTHORIZED)
            case Conflicting(attributes):
                self.fail(head, FailureReason.INVALID_ATTRIBUTE_VALUE, conflicts=attributes)
            case OnRecord(record, admission):
                await self._compare(head, digest, record, admission)
            case InStore(instance):
                await self._compare_in_store(head, digest, instance)
            case Unsettled.ELSEWHERE:
                self.fail(head, FailureReason.DUPLICATE_SOP_INSTANCE)
            case _:
                self.fail(head, FailureReason.OUT_OF_RESOURCES)

    async def confirm(self, arrived: Sequence[tuple[Head, Digest]]) -> None:
        """Confirm instances that the store has, and report them."""
        refs = [_ref(head) for head, _ in arrived]
        confirmed = await self._at.database.run(
            partial(
                confirm,
                principal=self._upload.principal,
                target=self._upload.target.album,
                upload_id=self._upload.upload_id,
                arrived=[Arrived(ref, digest) for ref, (_, digest) in zip(refs, arrived, strict=True)],
                use=self._use,
                at=self._at.clock(),
            )
        )
        for head, _ in arrived:
            if head.sop_instance_uid in confirmed:
                self._report.stored.append(Stored(_ref(head), head.sop_class_uid))
            else:
                self.fail(head, FailureReason.OUT_OF_RESOURCES)

    async def release(self, head: Head, reason: int) -> None:
        """Forget the reservation of an instance that the store does not have, and report the failure."""
        await self._at.database.run(
            partial(
                reservations.release_instance,
                instance=head.sop_instance_uid,
                upload_id=self._upload.upload_id,
            )
        )
        self.fail(head, reason)

    def fail(self, head: Head, reason: int, *, conflicts: tuple[Tag, ...] = ()) -> None:
        """Report the failure of an instance that was on its way."""
        uid = head.sop_instance_uid
        self._report.failed.append(
            Failed(uid, head.sop_class_uid, int(reason), conflicts, self._report.file_ids.get(uid))
        )

    async def _send(
        self, sending: Sequence[tuple[Complete, AdmittedInstance]], left: dict[SopInstanceUID, Complete]
    ) -> None:
        outcome = await self._at.archive.store([HeldInstance(instance, item.body) for item, instance in sending])
        stored = []
        for item, instance in sending:
            reason = await self._became(item, instance, outcome)
            if reason is None:
                stored.append((item.head, item.digest))
            else:
                await self.release(item.head, reason)
                left.pop(item.ref.sop_instance_uid, None)
        if stored:
            await self.confirm(stored)
            for head, _ in stored:
                left.pop(head.sop_instance_uid, None)

    async def _became(self, item: Complete, instance: AdmittedInstance, outcome: StoreOutcome) -> int | None:
        """Return the failure reason of an instance that was sent, or ``None`` if the store has it.

        A store may leave instances out of its answer (Orthanc does): they are looked up by a direct read, sent alone
        once, and then reported as failed.
        """
        uid = item.ref.sop_instance_uid
        if uid in outcome.stored:
            return None
        if uid in outcome.failed:
            return await self.failure(item.ref, item.digest, outcome.failed[uid])
        if await self._at.archive.inspect_instance(item.ref):
            return None
        alone = await self._at.archive.store([HeldInstance(instance, item.body)])
        if uid in alone.stored or (uid not in alone.failed and await self._at.archive.inspect_instance(item.ref)):
            return None
        return await self.failure(item.ref, item.digest, alone.failed.get(uid, FailureReason.PROCESSING_FAILURE))

    async def failure(self, ref: InstanceRef, digest: Digest, reason: int) -> int | None:
        """Return the reason for which the store failed an instance, or ``None`` if it has these very bytes.

        A request that is sent again because its answer was lost meets what the first one stored, and some stores
        refuse that as a duplicate: to forget the reservation then would leave the data without anybody who has it.
        """
        if reason != FailureReason.DUPLICATE_SOP_INSTANCE:
            return reason
        try:
            stored = await digest_of_stored(self._at.archive, ref)
        except ArchiveAbsentError:
            return reason
        return None if stored == digest else reason

    async def _compare(self, head: Head, digest: Digest, record: InstanceRecord, admission: Admission) -> None:
        known = record.sha256
        if known is None:
            stored = await digest_of_stored(self._at.archive, record.ref)
            await self._at.database.run(
                partial(instance_rows.set_digest, instance=record.ref.sop_instance_uid, digest=stored)
            )
            known = stored[1]
        if known != digest[1]:
            self.fail(head, FailureReason.DUPLICATE_SOP_INSTANCE)
            return
        if admission is not Admission.ADD or not await self._held_by_target(record):
            await self.confirm([(head, digest)])
            return
        self._report.stored.append(Stored(record.ref, head.sop_class_uid))

    async def _compare_in_store(self, head: Head, digest: Digest, instance: AdmittedInstance) -> None:
        """Settle an instance that the store holds and the catalog did not: it is never sent, so never replaced."""
        stored = await digest_of_stored(self._at.archive, instance)
        if stored[1] == digest[1]:
            await self.confirm([(head, digest)])
        else:
            await self.release(head, FailureReason.DUPLICATE_SOP_INSTANCE)

    async def _held_by_target(self, record: InstanceRecord) -> bool:
        return await self._at.database.run(
            partial(series_rows.is_held_by, series=record.series, album=self._upload.target.album)
        )

    async def _find_out(self, open_refs: dict[InstanceRef, Verdict | None]) -> None:
        for ref, verdict in open_refs.items():
            if verdict is Unsettled.LEFT_BY_ANOTHER:
                await self._at.resolver.resolve(ref.sop_instance_uid)
            elif ref.series not in self._not_in_store:
                if await self._at.archive.inspect_series(ref.series):
                    await self._at.database.run(
                        partial(series_rows.catalog_orphan, ref=ref.series, at=self._at.clock())
                    )
                else:
                    self._not_in_store.add(ref.series)

    def _admit_all(self, tx: Connection, items: Sequence[tuple[Head, Digest | None]]) -> list[Verdict]:
        at = self._at.clock()
        verdicts: dict[int, Verdict] = {}
        # Rows are locked in one order by everybody, else two parallel uploads of a study wait for each other.
        for index in sorted(range(len(items)), key=lambda each: items[each][0].series_instance_uid):
            head, digest = items[index]
            verdicts[index] = admit(
                tx,
                self._upload,
                head,
                digest,
                store_is_empty=_ref(head).series in self._not_in_store,
                at=at,
                lease=self._at.lease,
                comparison=self._comparison,
            )
        return [verdicts[index] for index in range(len(items))]

    def _give_up(self, left: dict[SopInstanceUID, Complete], reason: FailureReason) -> None:
        """Report instances of which nothing is known.

        Their leases run out by themselves, later than the store's longest silence: a store that took the request may
        still finish it, and what is settled before that would be settled wrongly.
        """
        for item in left.values():
            self.fail(item.head, reason)


def _ref(head: Head) -> InstanceRef:
    return InstanceRef(head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid)
