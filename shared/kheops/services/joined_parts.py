"""One multipart body made of the parts of one or several answers of the store.

Parts get a head of ours: the store's own names its inner addresses (``Content-Location``) and more. The body ends
with the closing boundary only if every answer was complete.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

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
from kheops.services.store_answers import OpenedAhead, object_type

__all__ = ["JoinedParts", "join", "one"]

_STATUS: Final = 200


class JoinedParts:
    """An `ArchiveStream` of several; `join` makes it."""

    def __init__(self, answers: OpenedAhead[ArchiveStream], *, media_type: str) -> None:
        self._answers = answers
        self._media_type = media_type
        self._part_type = ""
        self._boundary = new_boundary()
        self._body = self._joined()
        self._begun: list[bytes] = []

    @property
    def status(self) -> int:
        """Always 200."""
        return _STATUS

    @property
    def content_type(self) -> str:
        """``multipart/related`` with our boundary and the media type of the first part."""
        return content_type(self._boundary, part_type=self._part_type)

    @property
    def content_length(self) -> None:
        """Not known before the end."""
        return

    @property
    def content_range(self) -> None:
        """Never a range."""
        return

    async def begin(self) -> None:
        """Read up to the first part, so that what is wrong from the start can still be answered as an error."""
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
            If one is no multipart body of the kind asked for.
        """
        while self._begun:
            yield self._begun.pop()
        async for piece in self._body:
            yield piece

    def abort(self) -> None:
        """Close all connections to the store."""
        self._answers.abort()

    async def _joined(self) -> AsyncGenerator[bytes, None]:
        while (answer := await self._answers.next()) is not None:
            try:
                reader = MultipartReader(boundary_of(answer.content_type))
            except BadMultipartError:
                raise ArchiveProtocolError("the store sent something else than a multipart body") from None
            async for chunk in answer.chunks():
                piece = self._reframed(reader, chunk)
                if piece:
                    yield piece
            try:
                reader.close()
            except BadMultipartError:
                raise ArchiveUnavailableError from None
        if not self._part_type:
            raise ArchiveAbsentError
        yield closing(self._boundary)

    def _reframed(self, reader: MultipartReader, chunk: bytes) -> bytes:
        try:
            events = reader.feed(chunk)
        except BadMultipartError:
            raise ArchiveProtocolError("the store sent a malformed multipart body") from None
        if len(events) == 1 and isinstance(events[0], PartData) and isinstance(events[0].data, bytes):
            return events[0].data
        return b"".join(map(self._bytes, events))

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


async def join(answers: AsyncGenerator[ArchiveStream, None], *, media_type: str) -> JoinedParts:
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
    joined = JoinedParts(OpenedAhead(answers), media_type=media_type)
    await joined.begin()
    return joined


async def one(opening: Callable[[], Awaitable[ArchiveStream]]) -> AsyncGenerator[ArchiveStream, None]:
    """Give the one answer that ``opening`` opens."""
    yield await opening()
