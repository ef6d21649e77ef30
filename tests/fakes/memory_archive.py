"""A DICOM store in memory, for tests of what our side does when a store misbehaves.

It has the storing, inspecting and deleting half of the port, and ways to fail at a chosen moment: an answer that
leaves an instance out (Orthanc does that), an outage, an answer that is lost on the way (the request is sent again,
as adapters do), a pause in the middle, a search that lags. What it does with a UID that it has already is a setting,
since real stores differ. It has no reading for callers: those tests run against the real servers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from enum import StrEnum

from kheops.archive.port import ArchiveAbsentError, ArchiveStream, HeldInstance, StoreOutcome
from kheops.archive.store_answer import DUPLICATE
from kheops.domain.policy import AdmittedInstance
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import ArchiveUnavailableError
from kheops.ids import SopInstanceUID


class Duplicates(StrEnum):
    """What a store does with a UID that it has."""

    KEEP = "keep"
    """It keeps the old ones and lists the new ones as stored (Orthanc, DCM4CHEE)."""
    OVERWRITE = "overwrite"
    """It replaces them (Orthanc with ``OverwriteInstances``)."""
    REFUSE = "refuse"
    """It lists them as failed, equal ones too (Google bears equal ones)."""


class MemoryStream:
    """An answer with a body in memory."""

    status = 200
    content_type = "application/dicom"
    content_range = None

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content_length = len(body)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    def abort(self) -> None:
        return


class MemoryArchive:
    """The store.

    Parameters
    ----------
    duplicates
        What it does with a UID that it has.
    """

    def __init__(self, duplicates: Duplicates = Duplicates.OVERWRITE) -> None:
        self.duplicates = duplicates
        self.files: dict[InstanceRef, bytes] = {}
        self.sent: list[SopInstanceUID] = []
        self.leave_out: set[SopInstanceUID] = set()
        """Stored and not mentioned in the answer."""
        self.swallow: set[SopInstanceUID] = set()
        """Neither stored nor mentioned."""
        self.refuse: dict[SopInstanceUID, int] = {}
        self.down = False
        self.lost_answers = 0
        """So many answers are lost, and what they answer is sent again."""
        self.unsearchable: set[SopInstanceUID] = set()
        """There, and not yet found by a search: searches lag."""
        self.undeletable: set[SopInstanceUID] = set()
        """Still there when their series is reported as deleted."""
        self.batches_under_way = 0
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        """Runs when everything is stored and the answer is not yet out."""

    def put(self, ref: InstanceRef, body: bytes) -> None:
        """Put a file into the store by another way than ours."""
        self.files[ref] = body

    async def store(self, instances: Sequence[HeldInstance]) -> StoreOutcome:
        self._check()
        self.batches_under_way += 1
        try:
            while True:
                outcome = self._take(instances)
                if not self.lost_answers:
                    break
                self.lost_answers -= 1
            if self.before_answer is not None:
                await self.before_answer()
        finally:
            self.batches_under_way -= 1
        return outcome

    def _take(self, instances: Sequence[HeldInstance]) -> StoreOutcome:
        stored: set[SopInstanceUID] = set()
        failed: dict[SopInstanceUID, int] = {}
        for instance in instances:
            uid = instance.ref.sop_instance_uid
            self.sent.append(uid)
            there = instance.ref in self.files
            if uid in self.refuse:
                failed[uid] = self.refuse[uid]
            elif there and self.duplicates is Duplicates.REFUSE:
                failed[uid] = DUPLICATE
            elif uid not in self.swallow:
                if not there or self.duplicates is Duplicates.OVERWRITE:
                    self.files[instance.ref] = instance.body
                if uid not in self.leave_out:
                    stored.add(uid)
        return StoreOutcome(frozenset(stored), failed)

    async def store_stream(self, ref: AdmittedInstance, chunks: AsyncIterator[bytes]) -> StoreOutcome:
        self._check()
        body = b"".join([chunk async for chunk in chunks])
        return await self.store([HeldInstance(ref, body)])

    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        self._check()
        return frozenset(each.sop_instance_uid for each in self.files if each.series == ref) - self.unsearchable

    async def list_series(self) -> AsyncIterator[SeriesRef]:
        self._check()
        for each in sorted({one.series for one in self.files}, key=lambda ref: ref.series_instance_uid):
            yield each

    async def count_series(self) -> int | None:
        self._check()
        return len({one.series for one in self.files})

    async def inspect_instance(self, ref: InstanceRef) -> bool:
        self._check()
        await asyncio.sleep(0)
        return ref in self.files

    async def inspect_bytes(self, ref: InstanceRef) -> ArchiveStream:
        self._check()
        if ref not in self.files:
            raise ArchiveAbsentError
        return MemoryStream(self.files[ref])

    async def delete_instance(self, ref: InstanceRef) -> None:
        self._check()
        self.files.pop(ref, None)

    async def delete_series(self, ref: SeriesRef) -> None:
        self._check()
        for each in [one for one in self.files if one.series == ref and one.sop_instance_uid not in self.undeletable]:
            del self.files[each]

    async def aclose(self) -> None:
        return

    def _check(self) -> None:
        if self.down:
            raise ArchiveUnavailableError
