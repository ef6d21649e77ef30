"""One multipart body made of the parts of one or several answers of the store.

Parts get a head of ours: the store's own names its inner addresses (``Content-Location``) and more. The body ends
with the closing boundary only if every answer was complete.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.multipart import (
    PART_TAIL,
    Event,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
    closing,
    content_type,
    new_boundary,
    part_head,
)
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, BadMultipartError
from kheops.services.joined_body import JoinedBody
from kheops.services.store_answers import object_type

__all__ = ["join", "one"]


class _Parts:
    """The `Joiner`."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type
        self._part_type = ""
        self._boundary = new_boundary()
        self._reader: MultipartReader

    @property
    def content_type(self) -> str:
        """``multipart/related`` with our boundary and the media type of the first part."""
        return content_type(self._boundary, part_type=self._part_type)

    def begin(self, answer: ArchiveStream) -> ArchiveStream:
        try:
            self._reader = MultipartReader(boundary_of(answer.content_type))
        except BadMultipartError:
            raise ArchiveProtocolError("the store sent something else than a multipart body") from None
        return answer

    async def take(self, chunk: bytes) -> bytes:
        try:
            events = self._reader.feed(chunk)
        except BadMultipartError:
            raise ArchiveProtocolError("the store sent a malformed multipart body") from None
        if len(events) == 1 and isinstance(events[0], PartData) and isinstance(events[0].data, bytes):
            return events[0].data
        return b"".join(map(self._bytes, events))

    def end(self) -> None:
        try:
            self._reader.close()
        except BadMultipartError:
            raise ArchiveUnavailableError from None

    def close(self) -> bytes:
        if not self._part_type:
            raise ArchiveAbsentError
        return closing(self._boundary)

    def _bytes(self, event: Event) -> bytes | memoryview:
        match event:
            case PartData(data):
                return data
            case PartBegin(headers):
                part_type = object_type(headers.get("content-type", ""), asked=self._media_type)
                self._part_type = self._part_type or part_type.partition(";")[0]
                return part_head(self._boundary, part_type=part_type)
            case PartEnd():
                return PART_TAIL
            case _:
                return b""


async def join(answers: AsyncGenerator[ArchiveStream, None], *, media_type: str) -> ArchiveStream:
    """Return the parts of all ``answers`` as one body, whose first part has begun to arrive.

    Parameters
    ----------
    answers
        Opens the store's multipart answers, one by one; the next one is opened while one is read.
    media_type
        What was asked for, of each part.

    Raises
    ------
    ArchiveAbsentError
        If there is no part at all.
    ArchiveUnavailableError, ArchiveProtocolError, NotAcceptableError
        As opening the first answer does, or if it is not what was asked for.
    """
    return await JoinedBody.begun(answers, _Parts(media_type))


async def one(opening: Callable[[], Awaitable[ArchiveStream]]) -> AsyncGenerator[ArchiveStream, None]:
    """Give the one answer that ``opening`` opens."""
    yield await opening()
