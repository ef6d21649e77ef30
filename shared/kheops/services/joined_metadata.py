"""One DICOM JSON array made of the metadata of one or several series, as it arrives from the store.

Each instance is cut out as bytes, dropped unless the catalog has it as confirmed, and its links are made ours.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass
from typing import Final

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.array_splitter import ArraySplitter
from kheops.dicomweb.dicom_json import InstanceUIDs, rewrite_metadata
from kheops.dicomweb.resources import Bulkdata, SopInstance, is_bulkdata_path, to_path
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.ids import SopInstanceUID
from kheops.observability import get_logger
from kheops.services.joined_body import JoinedBody

__all__ = ["MetadataAnswer", "join_metadata"]

_LOG = get_logger(__name__)

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


class _Instances:
    """The `Joiner`."""

    def __init__(self, public_bulkdata_path: Callable[[InstanceRef, str], str | None], api_root: str) -> None:
        self._public_bulkdata_path = public_bulkdata_path
        self._api_root = api_root
        self._answer: MetadataAnswer
        self._splitter: ArraySplitter
        self._separator = b"["
        self._dropped_links = 0

    @property
    def content_type(self) -> str:
        return _JSON

    def begin(self, answer: MetadataAnswer) -> ArchiveStream:
        self._answer = answer
        self._splitter = ArraySplitter()
        return answer.stream

    async def take(self, chunk: bytes) -> bytes:
        raw = self._splitter.feed(chunk)
        piece = await self._rewritten(self._answer, raw) if raw else b""
        if not piece:
            return b""
        separator, self._separator = self._separator, b","
        return separator + piece

    def end(self) -> None:
        self._splitter.close()

    def close(self) -> bytes:
        if self._dropped_links:
            _LOG.warning("metadata.bulkdata_links_dropped", count=self._dropped_links)
        if self._separator == b"[":
            raise ArchiveAbsentError
        return b"]"

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
) -> ArchiveStream:
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
    return await JoinedBody.begun(answers, _Instances(archive.public_bulkdata_path, api_root))
