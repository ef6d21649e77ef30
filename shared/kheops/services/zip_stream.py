"""The bytes of a download: entries from the store, one behind the other, then the DICOMDIR and the central directory.

Of each instance its own answer of the store is passed on; the next few are opened meanwhile. An archive that cannot
be completed is not ended: it has no central directory, and no reader takes it for whole.
"""

import asyncio
import uuid
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.dicomdir import Dicomdir, DirectoryInstance, DirectoryPatient, DirectoryStudy
from kheops.dicomweb.zip_archive import DeflatedEntry, EntryMismatchError, StoredEntry, ZipArchive
from kheops.domain.export_policy import export_series
from kheops.domain.policy import Denied, ReadableSeries, ReadScope, read_instance
from kheops.domain.principals import Principal
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, NotFoundError
from kheops.ids import SopInstanceUID
from kheops.services.series_instances import mark_dirty
from kheops.storage import catalog_contents
from kheops.storage.catalog_export import ExportedInstance, ExportedSeries, instances_to_export
from kheops.storage.engine import Database

__all__ = ["Exported", "ZipStream"]

_AHEAD: Final = 4
"""Instances that are being opened while one is passed on; each may hold what its connection has buffered."""
_ACCEPT: Final = "application/dicom; transfer-syntax=*"
_FILE: Final = "DICOM"
_PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Exported:
    """A series that the caller may download."""

    ref: ReadableSeries
    record: ExportedSeries


@dataclass(frozen=True, slots=True)
class _Opened:
    """An instance of the store, with its place in the archive; no answer where the store has lost it."""

    series: Exported
    instance: ExportedInstance
    file_id: tuple[str, ...]
    answer: ArchiveStream | None


class ZipStream:
    """An archive as a body that is given once; looks like an answer of the store.

    Parameters
    ----------
    series
        What is downloaded, by patient and study.
    principal, scope
        Who downloads; whether they still may is looked up anew for each series.
    database, archive
        Where the catalog and the objects are.
    moment
        Dates the entries.
    """

    status = 200
    content_type = "application/zip"
    content_length: int | None = None
    content_range: str | None = None

    def __init__(
        self,
        series: Sequence[Exported],
        *,
        principal: Principal,
        scope: ReadScope,
        database: Database,
        archive: Archive,
        moment: datetime,
    ) -> None:
        self._series = series
        self._principal = principal
        self._scope = scope
        self._database = database
        self._archive = archive
        self._zip = ZipArchive(moment)
        self._directory = Dicomdir(SopInstanceUID(f"2.25.{uuid.uuid4().int}"))
        self._patient: DirectoryPatient | None = None
        self._study: DirectoryStudy | None = None
        self._in_directory: Exported | None = None
        self._ahead: deque[asyncio.Task[_Opened]] = deque()
        self._current: ArchiveStream | None = None
        self._aborted = False
        self._body = self._bytes()
        self._begun: list[bytes] = []

    async def begin(self) -> None:
        """Open the first instance, so that what fails at once fails before the first byte.

        Raises
        ------
        ArchiveUnavailableError, ArchiveProtocolError, NotAcceptableError
            As the archive does.
        NotFoundError
            If the store has none of it any more.
        """
        try:
            self._begun.append(await anext(self._body))
        except BaseException:
            self.abort()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once.

        Raises
        ------
        ArchiveUnavailableError, ArchiveProtocolError
            If an object cannot be had whole, or is not the one on record.
        NotFoundError
            If the caller may no longer download the series that is next.
        """
        while self._begun:
            yield self._begun.pop()
        async for piece in self._body:
            yield piece

    def abort(self) -> None:
        """Close all connections to the store."""
        self._aborted = True
        if self._current is not None:
            self._current.abort()
        while self._ahead:
            task = self._ahead.popleft()
            task.cancel()
            task.add_done_callback(_close)

    async def _bytes(self) -> AsyncGenerator[bytes, None]:
        empty = True
        async for opened in self._in_order():
            if opened.answer is None:
                continue
            empty = False
            self._current = opened.answer
            async for piece in self._entry(opened, opened.answer):
                yield piece
            self._enter(opened)
        if empty:
            raise NotFoundError
        directory = self._directory.finish()
        entry = self._zip.stored("DICOMDIR", size=len(directory), crc32=zlib.crc32(directory))
        yield entry.begin()
        for start in range(0, len(directory), _PIECE):
            yield entry.feed(directory[start : start + _PIECE])
        entry.end()
        for piece in self._zip.end():
            for start in range(0, len(piece), _PIECE):
                yield piece[start : start + _PIECE]

    async def _entry(self, opened: _Opened, answer: ArchiveStream) -> AsyncGenerator[bytes, None]:
        instance, name = opened.instance, "/".join(opened.file_id)
        entry: StoredEntry | DeflatedEntry
        # A store that lays its own patient over what it returns gives other bytes than it was sent.
        if instance.size is not None and instance.crc32 is not None and answer.content_length == instance.size:
            entry = self._zip.stored(name, size=instance.size, crc32=instance.crc32)
        else:
            entry = self._zip.deflated(name)
        yield entry.begin()
        try:
            async for chunk in answer.chunks():
                piece = entry.feed(chunk)
                if piece:
                    yield piece
            tail = entry.end()
        except EntryMismatchError:
            await mark_dirty(self._database, opened.series.ref)
            raise ArchiveProtocolError("the store sent other bytes than are on record") from None
        if tail:
            yield tail

    def _enter(self, opened: _Opened) -> None:
        record, instance = opened.series.record, opened.instance
        if record.patient != self._patient:
            self._patient, self._study = record.patient, None
            self._directory.add_patient(record.patient)
        if record.study != self._study:
            self._study = record.study
            self._directory.add_study(record.study)
        if self._in_directory is not opened.series:
            self._in_directory = opened.series
            self._directory.add_series(record.series)
        if instance.sop_class_uid is None or instance.transfer_syntax_uid is None:
            # Not known of what came by another way; the file is there, and the directory does not lie about it.
            return
        self._directory.add_instance(
            DirectoryInstance(
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                instance_number=instance.instance_number,
                file_id=opened.file_id,
            )
        )

    async def _in_order(self) -> AsyncGenerator[_Opened, None]:
        """Give the instances in order, with the next few on their way."""
        async for series, instance, file_id in self._wanted():
            self._ahead.append(asyncio.create_task(self._open(series, instance, file_id), name="open-for-zip"))
            if len(self._ahead) > _AHEAD:
                yield await self._next()
        while self._ahead:
            yield await self._next()

    async def _next(self) -> _Opened:
        # It stays in the queue until it is done, so that `abort` finds it.
        try:
            opened = await self._ahead[0]
        except asyncio.CancelledError:
            if not self._aborted:
                raise
            raise ArchiveUnavailableError from None
        if self._aborted:
            if opened.answer is not None:
                opened.answer.abort()
            raise ArchiveUnavailableError
        del self._ahead[0]
        return opened

    async def _wanted(self) -> AsyncGenerator[tuple[Exported, ExportedInstance, tuple[str, ...]], None]:
        for number, series in enumerate(self._series, 1):
            await self._still_granted(series)
            found = await self._database.run(partial(instances_to_export, ref=series.ref))
            for count, instance in enumerate(found, 1):
                yield series, instance, (_FILE, f"SE{number:06}", f"IM{count:06}")

    async def _still_granted(self, series: Exported) -> None:
        facts = await self._database.run(
            partial(catalog_contents.reach_of_series, scope=self._scope, ref=series.record.facts.ref)
        )
        if isinstance(export_series(self._principal, facts), Denied):
            raise NotFoundError

    async def _open(self, series: Exported, instance: ExportedInstance, file_id: tuple[str, ...]) -> _Opened:
        match read_instance(self._principal, series.record.facts, instance.sop_instance_uid):
            case Denied():
                return _Opened(series, instance, file_id, None)
            case ref:
                pass
        try:
            answer = await self._archive.open_instance(ref, accept=_ACCEPT)
        except ArchiveAbsentError:
            await mark_dirty(self._database, series.ref)
            return _Opened(series, instance, file_id, None)
        return _Opened(series, instance, file_id, answer)


def _close(task: asyncio.Task[_Opened]) -> None:
    """Close what was opened for nobody, and take note of the error that nobody waits for."""
    if task.cancelled() or task.exception() is not None:
        return
    answer = task.result().answer
    if answer is not None:
        answer.abort()
