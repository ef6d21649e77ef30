"""One large instance on its way: decided from its head, hashed and passed on as it arrives."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Final
from zlib import crc32

from kheops.archive.port import Archive, StoreOutcome
from kheops.dicomweb.part10 import Head, Part10Scanner, UnreadableDicomError
from kheops.domain.policy import AdmittedInstance
from kheops.domain.resources import InstanceRef
from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.services.admission import InStore, OnRecord, Reserved, Verdict
from kheops.services.batches import Gate
from kheops.services.store_report import FailureReason

__all__ = ["StreamedPart"]

_LOG = get_logger(__name__)

_WAITING_CHUNKS: Final = 8
"""Chunks of at most 64 KiB between the client and the store."""


class _BrokenOffError(Exception):
    """Goes through the adapter to abort the request to the store."""


class StreamedPart:
    """A part that is too large to be held.

    Parameters
    ----------
    archive
        The store.
    gate
        Decides and confirms.
    head
        What was parsed from the first bytes.
    """

    def __init__(self, archive: Archive, gate: Gate, head: Head) -> None:
        self._archive = archive
        self._gate = gate
        self._head = head
        self._scanner = Part10Scanner()
        self._hasher = sha256()
        self._crc = 0
        self._size = 0
        self._unreadable = False
        self._verdict: Verdict | None = None
        self._queue: asyncio.Queue[bytes | _BrokenOffError | None] = asyncio.Queue(_WAITING_CHUNKS)
        self._sending: asyncio.Task[StoreOutcome] | None = None

    async def begin(self, first: bytes) -> None:
        """Decide, and start to send where that is allowed.

        Raises
        ------
        UnavailableError
            If it cannot be decided now.
        """
        (self._verdict,) = await self._gate.decide([(self._head, None)])
        if isinstance(self._verdict, Reserved):
            self._sending = asyncio.create_task(self._send(self._verdict.instance), name="store-stream")
        await self.take(first)

    async def take(self, chunk: bytes) -> None:
        """Take the next bytes; waits while the store is slower than the client."""
        # Off the event loop: a file of nothing but small elements costs far more to walk than its bytes say.
        await asyncio.to_thread(self._examine, chunk)
        if self._unreadable:
            await self._put(_BrokenOffError())
        else:
            await self._put(chunk)

    def _examine(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._hasher.update(chunk)
        self._crc = crc32(chunk, self._crc)
        if not self._unreadable:
            try:
                self._scanner.feed(chunk)
            except UnreadableDicomError:
                self._unreadable = True

    async def finish(self) -> None:
        """Settle the part: its closing boundary was seen."""
        if not self._unreadable:
            try:
                self._scanner.close()
            except UnreadableDicomError:
                self._unreadable = True
        if self._sending is None:
            await self._finish_unsent()
            return
        await self._put(_BrokenOffError() if self._unreadable else None)
        try:
            outcome = await self._sending
        except _BrokenOffError:
            await self._forget(FailureReason.CANNOT_UNDERSTAND)
        except KheopsError as error:
            # The store may still finish what it took: the lease runs out later than its longest silence.
            _LOG.warning("store.stream_failed", error=type(error).__name__)
            self._gate.fail(self._head, FailureReason.OUT_OF_RESOURCES)
        else:
            await self._settle(outcome)

    async def cut(self) -> None:
        """Forget the part: the client left in the middle of it."""
        if self._sending is None:
            return
        await self._put(_BrokenOffError())
        await asyncio.wait([self._sending])
        if not self._sending.cancelled() and self._sending.exception() is None:
            # The store answered before it had everything; whatever it kept is settled when the lease has run out.
            return
        await self._forget(FailureReason.OUT_OF_RESOURCES)

    async def _finish_unsent(self) -> None:
        assert self._verdict is not None
        if self._unreadable and isinstance(self._verdict, InStore):
            await self._gate.release(self._head, FailureReason.CANNOT_UNDERSTAND)
            return
        if self._unreadable and isinstance(self._verdict, OnRecord):
            self._gate.fail(self._head, FailureReason.CANNOT_UNDERSTAND)
            return
        try:
            await self._gate.settle(self._head, self._digest(), self._verdict)
        except KheopsError:
            self._gate.fail(self._head, FailureReason.OUT_OF_RESOURCES)

    async def _settle(self, outcome: StoreOutcome) -> None:
        uid = self._head.sop_instance_uid
        try:
            if uid in outcome.stored or (uid not in outcome.failed and await self._is_stored()):
                await self._gate.confirm([(self._head, self._digest())])
            elif uid in outcome.failed:
                reason = await self._gate.failure(self._ref, self._digest(), outcome.failed[uid])
                if reason is None:
                    await self._gate.confirm([(self._head, self._digest())])
                else:
                    await self._gate.release(self._head, reason)
            else:
                await self._gate.release(self._head, FailureReason.OUT_OF_RESOURCES)
        except KheopsError:
            self._gate.fail(self._head, FailureReason.OUT_OF_RESOURCES)

    async def _forget(self, reason: FailureReason) -> None:
        """Release the reservation of a request that we broke off, unless the store kept it all the same."""
        try:
            if await self._is_stored():
                self._gate.fail(self._head, reason)
            else:
                await self._gate.release(self._head, reason)
        except KheopsError:
            self._gate.fail(self._head, reason)

    async def _is_stored(self) -> bool:
        return await self._archive.inspect_instance(self._ref)

    @property
    def _ref(self) -> InstanceRef:
        head = self._head
        return InstanceRef(head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid)

    async def _send(self, instance: AdmittedInstance) -> StoreOutcome:
        return await self._archive.store_stream(instance, self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, _BrokenOffError):
                raise item
            yield item

    async def _put(self, item: bytes | _BrokenOffError | None) -> None:
        """Hand an item to the sender, unless it has ended; never waits for one that has."""
        sending = self._sending
        if sending is None or sending.done():
            return
        if not self._queue.full():
            self._queue.put_nowait(item)
            return
        putting = asyncio.ensure_future(self._queue.put(item))
        await asyncio.wait({putting, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()

    def _digest(self) -> tuple[int, bytes, int]:
        return self._size, self._hasher.digest(), self._crc
