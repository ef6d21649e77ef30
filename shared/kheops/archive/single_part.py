"""A multipart answer of one part, given on as that part alone.

Stores differ in what they offer: some give a file or bulk data as a single body, others only as a multipart body of
one part. The reader above sees the bytes of the object in both cases.
"""

from collections.abc import AsyncIterator
from typing import Final

from kheops.archive.answer import Answer
from kheops.archive.boundary_ended import with_known_end
from kheops.archive.port import ArchiveStream
from kheops.dicomweb.multipart import End, Event, MultipartReader, PartBegin, PartData, boundary_of
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, BadMultipartError, NotAcceptableError

__all__ = ["SinglePart", "unwrap"]

_HEAD_LIMIT: Final = 64 * 1024
"""Bytes before the part's data; a part's header is some hundred."""
_LOOK_AHEAD: Final = 64 * 1024
"""Bytes of a part that are read before it is given on, where no length tells whether another part follows: the first
part of encapsulated pixel data is its small offset table."""
_DEFAULT_TYPE: Final = "application/octet-stream"
_SEVERAL: Final = "the store sent several parts where one was asked for"


class SinglePart:
    """An `ArchiveStream` of the only part of a multipart answer; `unwrap` makes it."""

    __slots__ = ("_answer", "_arrived", "_multipart", "_reader", "content_length", "content_range", "content_type")

    def __init__(
        self,
        answer: Answer,
        multipart: AsyncIterator[bytes],
        reader: MultipartReader,
        *,
        arrived: list[bytes],
        content_type: str,
        content_length: int | None,
    ) -> None:
        self._answer = answer
        self._multipart = multipart
        self._reader = reader
        self._arrived = arrived
        self.content_type = content_type
        self.content_length = content_length
        self.content_range: str | None = None

    @property
    def status(self) -> int:
        """200: a range of a multipart body is none of the part."""
        return 200

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the part's data once.

        Raises
        ------
        ArchiveUnavailableError
            If the answer ends before the part is complete.
        ArchiveProtocolError
            If a second part follows and the lengths in the answer did not tell so before.
        """
        for piece in self._arrived:
            yield piece
        try:
            async for chunk in self._multipart:
                for event in self._reader.feed(chunk):
                    if isinstance(event, PartData):
                        yield bytes(event.data)
                    elif isinstance(event, PartBegin):
                        self.abort()
                        raise ArchiveProtocolError(_SEVERAL)
            self._reader.close()
        except BadMultipartError:
            self.abort()
            raise ArchiveUnavailableError from None

    def abort(self) -> None:
        """Close the connection unless the answer has been read to its end."""
        self._answer.abort()


async def unwrap(answer: Answer) -> ArchiveStream:
    """Return the only part of ``answer``; or ``answer`` itself, where it is not multipart.

    Raises
    ------
    NotAcceptableError
        If the answer has several parts, as far as its lengths or its first 64 KiB tell: bulk data of encapsulated
        pixel data has one part a fragment.
    ArchiveProtocolError
        If it is no multipart body.
    ArchiveUnavailableError
        If it ends before the part begins.
    """
    if not answer.content_type.lower().startswith("multipart/"):
        return with_known_end(answer)
    try:
        return await _first_part(answer)
    except BadMultipartError:
        answer.abort()
        raise ArchiveProtocolError("the store sent a malformed multipart body") from None
    except BaseException:
        answer.abort()
        raise


async def _first_part(answer: Answer) -> SinglePart:
    boundary = boundary_of(answer.content_type)
    reader = MultipartReader(boundary)
    multipart = answer.chunks()
    head = await _head(multipart)
    begin, arrived, ended = _sort(answer, reader.feed(head))
    if begin is None:
        raise ArchiveProtocolError("the store sent a multipart body without a part")
    length = _part_length(answer, begin, head, boundary)
    while length is None and not ended and sum(map(len, arrived)) < _LOOK_AHEAD:
        chunk = await anext(multipart, b"")
        if not chunk:
            break
        another, more, ended = _sort(answer, reader.feed(chunk))
        if another is not None:
            raise NotAcceptableError(_available(answer))
        arrived += more
    if ended:
        length = sum(map(len, arrived))
    return SinglePart(
        answer,
        multipart,
        reader,
        arrived=arrived,
        content_type=begin.headers.get("content-type", _DEFAULT_TYPE),
        content_length=length,
    )


def _sort(answer: Answer, events: list[Event]) -> tuple[PartBegin | None, list[bytes], bool]:
    """Return the part that begins, the data, and whether the body is complete; several parts are refused."""
    begins = [event for event in events if isinstance(event, PartBegin)]
    if len(begins) > 1:
        raise NotAcceptableError(_available(answer))
    data = [bytes(event.data) for event in events if isinstance(event, PartData)]
    return (begins[0] if begins else None), data, any(isinstance(event, End) for event in events)


async def _head(multipart: AsyncIterator[bytes]) -> bytes:
    """Return what has arrived once the first part's header is complete."""
    head = b""
    async for chunk in multipart:
        head += chunk
        if b"\r\n\r\n" in head or len(head) > _HEAD_LIMIT:
            return head
    return head


def _part_length(answer: Answer, begin: PartBegin, head: bytes, boundary: bytes) -> int | None:
    """Return the part's length if the answer's own shows that nothing follows it, ``None`` if it tells nothing."""
    declared = begin.headers.get("content-length", "")
    if answer.content_length is None or not (declared.isascii() and declared.isdecimal()):
        return None
    length = int(declared[:19])
    behind = answer.content_length - (head.index(b"\r\n\r\n") + 4) - length
    close = len(b"\r\n--") + len(boundary) + len(b"--")
    if behind in {close, close + 2}:
        return length
    if behind > close + 2:
        raise NotAcceptableError(_available(answer))
    return None


def _available(answer: Answer) -> list[str]:
    return [answer.content_type.partition("; boundary=")[0]]
