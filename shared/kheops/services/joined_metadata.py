"""One DICOM JSON array made of the metadata of one or several series, as it arrives from the store.

Each instance is cut out as bytes, dropped unless the catalog has it as confirmed, and its links are made ours.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Final

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.array_splitter import ArraySplitter
from kheops.dicomweb.dicom_json import InstanceUIDs, rewrite_metadata
from kheops.dicomweb.resources import Bulkdata, SopInstance, is_bulkdata_path, to_path
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.ids import SopInstanceUID
from kheops.observability import get_logger
from kheops.services.store_answers import OpenedAhead

__all__ = ["JoinedMetadata", "MetadataAnswer", "join_metadata"]

_LOG = get_logger(__name__)

_STATUS: Final = 200
_JSON: Final = "application/dicom+json"
_LONG: Final = 256 * 1024
"""Bytes; rewriting more than that at once keeps others waiting, and goes to a thread."""


@dataclass(frozen=True, slots=True)
class MetadataAnswer:
    """An answer of the store with the metadata of a series, or of one of its instances."""

    stream: ArchiveStream
    series: SeriesRef
    confirmed: Collection[SopInstanceUID]
    """The instances that may be passed on."""

    def abort(self) -> None:
        """Close the connection to the store."""
        self.stream.abort()


class JoinedMetadata:
    """An `ArchiveStream` of several; `join_metadata` makes it."""

    def __init__(
        self,
        answers: OpenedAhead[MetadataAnswer],
        *,
        public_bulkdata_path: Callable[[InstanceRef, str], str | None],
        api_root: str,
    ) -> None:
        self._answers = answers
        self._public_bulkdata_path = public_bulkdata_path
        self._api_root = api_root
        self._body = self._joined()
        self._begun: list[bytes] = []
        self._dropped_links = 0

    @property
    def status(self) -> int:
        """Always 200."""
        return _STATUS

    @property
    def content_type(self) -> str:
        """DICOM JSON."""
        return _JSON

    @property
    def content_length(self) -> None:
        """Not known before the end."""
        return

    @property
    def content_range(self) -> None:
        """Never a range."""
        return

    async def begin(self) -> None:
        """Read up to the first instance, so that what is wrong from the start can still be answered as an error."""
        try:
            self._begun.append(await anext(self._body))
        except BaseException:
            self.abort()
            raise

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once.

        Raises
        ------
        ArchiveUnavailableError
            If an answer ends before it is complete, or the next one cannot be had.
        ArchiveProtocolError
            If one is no DICOM JSON, or cut short within itself.
        """
        while self._begun:
            yield self._begun.pop()
        async for piece in self._body:
            yield piece

    def abort(self) -> None:
        """Close all connections to the store."""
        self._answers.abort()

    async def _joined(self) -> AsyncGenerator[bytes, None]:
        separator = b"["
        while (answer := await self._answers.next()) is not None:
            splitter = ArraySplitter()
            async for chunk in answer.stream.chunks():
                raw = splitter.feed(chunk)
                if not raw:
                    continue
                piece = await self._rewritten(answer, raw)
                if piece:
                    yield separator + piece
                    separator = b","
            splitter.close()
        if self._dropped_links:
            _LOG.warning("metadata.bulkdata_links_dropped", count=self._dropped_links)
        if separator == b"[":
            raise ArchiveAbsentError
        yield b"]"

    async def _rewritten(self, answer: MetadataAnswer, raw: list[bytes]) -> bytes:
        if sum(map(len, raw)) < _LONG:
            return self._rewrite(answer, raw)
        return await asyncio.to_thread(self._rewrite, answer, raw)

    def _rewrite(self, answer: MetadataAnswer, raw: list[bytes]) -> bytes:
        def public_uri(uids: InstanceUIDs, uri: str) -> str | None:
            return self._public_uri(answer.series, uids.sop_instance_uid, uri)

        def keep(uid: SopInstanceUID) -> bool:
            return uid in answer.confirmed

        rewritten = (rewrite_metadata(each, keep=keep, public_uri=public_uri) for each in raw)
        return b",".join(each for each in rewritten if each is not None)

    def _public_uri(self, series: SeriesRef, uid: SopInstanceUID, uri: str) -> str | None:
        # The series is the one that was decided on, not what the object says of itself.
        ref = InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)
        path = self._public_bulkdata_path(ref, uri)
        if path is None or not is_bulkdata_path(path):
            self._dropped_links += 1
            return None
        instance = SopInstance(ref.study_instance_uid, ref.series_instance_uid, uid)
        return self._api_root + to_path(Bulkdata(instance, path))


async def join_metadata(
    answers: AsyncGenerator[MetadataAnswer, None], *, archive: Archive, api_root: str
) -> JoinedMetadata:
    """Return the metadata of all ``answers`` as one array, whose first instance has arrived.

    Parameters
    ----------
    answers
        Opens the store's answers one by one; the next one is opened while one is read.
    archive
        Tells which links of the store may be passed on.
    api_root
        Where ours start.

    Raises
    ------
    ArchiveAbsentError
        If there is no instance at all.
    ArchiveUnavailableError, ArchiveProtocolError
        As opening the first answer does, or if it is not what was asked for.
    """
    joined = JoinedMetadata(OpenedAhead(answers), public_bulkdata_path=archive.public_bulkdata_path, api_root=api_root)
    await joined.begin()
    return joined
