"""Reading one STOW-RS body as it arrives (design: storing).

A part up to 4 MiB is held until its closing boundary and goes to the store in a batch. A larger one is decided from
its first 4 MiB and streamed alone. A part that is cut aborts its own request to the store; if the client has gone,
finished parts are confirmed all the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from functools import partial
from hashlib import sha256
from typing import Any, Final
from zlib import crc32

from kheops.clock import monotonic
from kheops.dicomweb.multipart import End, MultipartReader, PartBegin, PartData, PartEnd, new_boundary
from kheops.dicomweb.part10 import (
    Head,
    NotDicomError,
    OtherClassError,
    Part10Scanner,
    UnreadableDicomError,
    identify,
    read_head,
)
from kheops.dicomweb.store_body import file_id_of
from kheops.errors import BadMultipartError, KheopsError, PayloadTooLargeError
from kheops.ids import StudyInstanceUID
from kheops.observability import get_logger
from kheops.services.admission import Digest, Upload
from kheops.services.batches import Complete, Gate, Workshop
from kheops.services.byte_budget import ByteBudget, take_or_refuse
from kheops.services.store_report import Failed, FailureReason, OtherFailure, StoreReport
from kheops.services.streamed_part import StreamedPart
from kheops.storage import reservations

__all__ = ["HELD_PART_BYTES", "UPLOAD_BYTES", "UploadReader"]

_LOG = get_logger(__name__)

HELD_PART_BYTES: Final = 4 * 1024 * 1024
_BATCH_BYTES: Final = 8 * 1024 * 1024
_BATCH_INSTANCES: Final = 100
_IN_FLIGHT: Final = 3
_MOST_PARTS: Final = 50_000
"""Parts of one request; more make a report too large to hold."""
UPLOAD_BYTES: Final = 32 * 1024 * 1024
"""What one upload holds at most."""


class UploadReader:
    """Takes one request's body apart and each instance of it all the way.

    Parameters
    ----------
    workshop
        The system.
    budget
        Bytes that the whole process may hold.
    upload
        The request.
    gate
        Decides, sends and confirms.
    report
        What it comes to.
    study
        The study of the request's path, if it names one: instances of another one fail.
    is_form
        Whether the parts are the fields of a form: files whatever their media type, and named by their field.
    held_bytes
        What is held at most.
    """

    def __init__(
        self,
        *,
        workshop: Workshop,
        budget: ByteBudget,
        upload: Upload,
        gate: Gate,
        report: StoreReport,
        study: StudyInstanceUID | None,
        is_form: bool = False,
        held_bytes: int = UPLOAD_BYTES,
    ) -> None:
        self._workshop = workshop
        self._budget = budget
        self._upload = upload
        self._gate = gate
        self._report = report
        self._study = study
        self._is_form = is_form
        self._most_held = held_bytes
        self._file_id: str | None = None
        self._batch: list[Complete] = []
        self._batch_bytes = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()
        self._altered: set[str] = set()
        self._held = 0
        self._parts = 0
        self._part: bytearray | None = None
        self._streamed: StreamedPart | None = None
        self._slot = 0

    async def read(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        """Read the whole body; the report holds what each part came to.

        Raises
        ------
        ClientGoneError
            If the client left before the end; finished parts are confirmed before it is raised.
        BadMultipartError
            If the body is no multipart and held not one complete part.
        """
        renewal = asyncio.create_task(self._renew(), name="store-lease")
        try:
            await self._read_parts(body, MultipartReader(boundary))
        finally:
            try:
                await self._drop_part()
                await self._flush()
                await self._drain()
            finally:
                renewal.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewal

    async def read_single(self, body: AsyncIterator[bytes]) -> None:
        """Read a body that is one bare ``application/dicom`` file."""
        boundary = new_boundary()

        async def wrapped() -> AsyncIterator[bytes]:
            yield b"--" + boundary + b"\r\n\r\n"
            async for chunk in body:
                yield chunk
            yield b"\r\n--" + boundary + b"--\r\n"

        await self.read(wrapped(), boundary)

    async def _read_parts(self, body: AsyncIterator[bytes], reader: MultipartReader) -> None:
        try:
            async for chunk in body:
                for event in reader.feed(chunk):
                    match event:
                        case PartBegin(headers):
                            await self._begin(headers)
                        case PartData(data):
                            await self._take(data)
                        case PartEnd():
                            await self._end()
                        case End():
                            pass
            reader.close()
        except BadMultipartError:
            incomplete = self._parts
            if incomplete <= 1 and not self._batch and not self._in_flight and not self._report.stored:
                raise
            self._report.other.append(OtherFailure(incomplete, FailureReason.PROCESSING_FAILURE, self._file_id))

    async def _begin(self, headers: Mapping[str, str]) -> None:
        self._parts += 1
        self._part = None
        media_type = headers.get("content-type", "application/dicom")
        if self._is_form:
            # Browsers call a file what they like, octets mostly.
            media_type = "application/dicom"
            self._file_id = file_id_of(headers.get("content-disposition", ""))
        if self._parts > _MOST_PARTS:
            raise PayloadTooLargeError(f"A request may have {_MOST_PARTS} parts at most.")
        if media_type.partition(";")[0].strip().lower() != "application/dicom":
            self._report.other.append(OtherFailure(self._parts, FailureReason.PROCESSING_FAILURE))
            return
        await self._take_slot()
        self._part = bytearray()

    async def _take(self, data: bytes | memoryview) -> None:
        if self._streamed is not None:
            await self._streamed.take(bytes(data))
            return
        if self._part is None:
            return
        self._part += data
        if len(self._part) > HELD_PART_BYTES:
            await self._start_streaming(bytes(self._part))

    async def _end(self) -> None:
        streamed, self._streamed = self._streamed, None
        part, self._part = self._part, None
        try:
            if streamed is not None:
                await streamed.finish()
            elif part is not None:
                await self._complete(bytes(part))
        finally:
            self._give_slot()

    async def _start_streaming(self, first: bytes) -> None:
        self._part = None
        try:
            head = await asyncio.to_thread(partial(read_head, first, complete=False))
        except UnreadableDicomError as error:
            await self._unreadable(first, self._parts, error)
            return
        if not self._belongs(head):
            return
        self._tell_altered(head)
        if head.sop_instance_uid in self._seen:
            await self._flush()
            await self._drain()
        self._see(head)
        self._streamed = StreamedPart(self._workshop.archive, self._gate, head)
        try:
            await self._streamed.begin(first)
        except KheopsError:
            self._streamed = None
            self._gate.fail(head, FailureReason.OUT_OF_RESOURCES)

    async def _complete(self, body: bytes) -> None:
        part = self._parts
        try:
            head, digest = await asyncio.to_thread(_examine, body)
        except UnreadableDicomError as error:
            await self._unreadable(body, part, error)
            return
        if not self._belongs(head):
            return
        self._tell_altered(head)
        if head.sop_instance_uid in self._seen:
            # The same UID twice in one request: the first must be settled before the second is compared with it.
            await self._flush()
            await self._drain()
        self._see(head)
        if self._batch_bytes + len(body) > _BATCH_BYTES or len(self._batch) >= _BATCH_INSTANCES:
            await self._flush()
        self._batch.append(Complete(head, body, digest))
        self._batch_bytes += len(body)
        self._slot -= len(body)

    async def _unreadable(self, body: bytes, part: int, error: UnreadableDicomError) -> None:
        """Report a file that cannot be stored, or is none; by its data set's UIDs where they can be read."""
        match error:
            case NotDicomError():
                reason = FailureReason.PROCESSING_FAILURE
            case OtherClassError():
                reason = FailureReason.OTHER_CLASS
            case _:
                reason = FailureReason.CANNOT_UNDERSTAND
        try:
            head = await asyncio.to_thread(identify, body)
        except UnreadableDicomError:
            self._report.other.append(OtherFailure(part, reason, self._file_id))
        else:
            self._fail(head, reason)

    def _tell_altered(self, head: Head) -> None:
        """Log, once an upload, which attributes the catalog does not keep as its files have them."""
        new = set(head.altered) - self._altered
        if new:
            self._altered |= new
            _LOG.warning("catalog.attributes_altered", upload=self._upload.upload_id, keywords=sorted(new))

    def _belongs(self, head: Head) -> bool:
        if self._study is None or head.study_instance_uid == self._study:
            return True
        self._fail(head, FailureReason.OTHER_STUDY)
        return False

    def _see(self, head: Head) -> None:
        """Remember an instance that goes on its way, and which field of a form held it."""
        self._seen.add(head.sop_instance_uid)
        if self._file_id is not None:
            self._report.file_ids[head.sop_instance_uid] = self._file_id

    def _fail(self, head: Head, reason: FailureReason) -> None:
        """Report a part that goes nowhere, while another one of the same UID may still be on its way."""
        self._report.failed.append(
            Failed(head.sop_instance_uid, head.sop_class_uid, int(reason), file_id=self._file_id)
        )

    async def _flush(self) -> None:
        """Send the batch on its way, waiting for a free place in flight."""
        if not self._batch:
            return
        while len(self._in_flight) >= _IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        batch, size = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        task = asyncio.create_task(self._pass(self._gate.pass_batch(batch), size), name="store-batch")
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _pass(self, work: Coroutine[Any, Any, None], size: int) -> None:
        try:
            await work
        finally:
            self._held -= size
            self._budget.give_back(size)

    async def _drain(self) -> None:
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    async def _take_slot(self) -> None:
        """Take room for one held part, without waiting while holding anything that only we could give back."""
        while self._held + HELD_PART_BYTES > self._most_held:
            await self._flush()
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        if not self._budget.try_take(HELD_PART_BYTES):
            await self._flush()
            await take_or_refuse(self._budget, HELD_PART_BYTES)
        self._held += HELD_PART_BYTES
        self._slot = HELD_PART_BYTES

    def _give_slot(self) -> None:
        """Give back what the part that ended did not leave in the batch."""
        slot, self._slot = self._slot, 0
        self._held -= slot
        self._budget.give_back(slot)

    async def _drop_part(self) -> None:
        """Forget a part that was cut, and abort its request to the store."""
        streamed, self._streamed = self._streamed, None
        self._part = None
        if streamed is not None:
            await streamed.cut()
        self._give_slot()

    async def _renew(self) -> None:
        lease = self._workshop.lease
        while True:
            await asyncio.sleep(lease.total_seconds() / 3)
            until = self._workshop.clock() + lease
            try:
                await self._workshop.database.run(
                    partial(reservations.renew_leases, upload_id=self._upload.upload_id, until=until)
                )
            except Exception:  # noqa: BLE001 - the next third of the lease tries again
                _LOG.exception("store.lease_not_renewed", upload=self._upload.upload_id, at=monotonic())


def _examine(body: bytes) -> tuple[Head, Digest]:
    """Check that a file is whole, and return its head and digest."""
    scanner = Part10Scanner()
    scanner.feed(body)
    scanner.close()
    return scanner.head(), (len(body), sha256(body).digest(), crc32(body))
