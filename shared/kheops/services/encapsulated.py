"""What an object holds as it is: the document of an encapsulated PDF, the bit stream of a video.

It is taken from the stored file itself, since stores differ in whether and how they give it otherwise.
"""

from collections.abc import AsyncGenerator, AsyncIterator

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.data_set import UnreadableDicomError
from kheops.dicomweb.value_reader import ValueReader
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, KheopsError

__all__ = ["Encapsulated", "open_encapsulated"]

_UNREADABLE = "the store sent a file that does not hold what its class says"


class Encapsulated:
    """An `ArchiveStream` of one value of a stored file; `open_encapsulated` makes it."""

    status = 200
    content_range: str | None = None

    def __init__(
        self, source: ArchiveStream, pieces: AsyncGenerator[bytes, None], reader: ValueReader, content_type: str
    ) -> None:
        self._source = source
        self._pieces = pieces
        self._first = b""
        self.content_type = content_type
        self.content_length = reader.length

    def begin(self, first: bytes) -> None:
        """Take the first piece of the value, which has arrived already."""
        self._first = first

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the value once.

        Raises
        ------
        ArchiveUnavailableError
            If the store's answer ends before it is complete.
        ArchiveProtocolError
            If the file is malformed.
        """
        if self._first:
            yield self._first
        async for piece in self._pieces:
            yield piece

    def abort(self) -> None:
        """Close the connection to the store."""
        self._source.abort()


async def open_encapsulated(source: ArchiveStream, *, element: int, content_type: str) -> Encapsulated:
    """Return the value of an element of a stored file, which has begun to arrive.

    Parameters
    ----------
    source
        The PS3.10 file as a single body.
    element
        The element.
    content_type
        What the value is.

    Raises
    ------
    ArchiveUnavailableError
        If the store's answer ends before it is complete.
    ArchiveProtocolError
        If the file is malformed or has no such element.
    """
    reader = ValueReader(element)
    pieces = _pieces(source, reader)
    try:
        first = await anext(pieces, b"")
    except BaseException:
        source.abort()
        raise
    opened = Encapsulated(source, pieces, reader, content_type)
    opened.begin(first)
    return opened


async def _pieces(source: ArchiveStream, reader: ValueReader) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in source.chunks():
            piece = reader.feed(chunk)
            if piece:
                yield piece
            if reader.ended:
                # The rest of the file is padding and small attributes; a connection costs less than reading it.
                source.abort()
                return
    except UnreadableDicomError:
        raise ArchiveProtocolError(_UNREADABLE) from None
    error: KheopsError = ArchiveUnavailableError() if reader.begun else ArchiveProtocolError(_UNREADABLE)
    raise error
