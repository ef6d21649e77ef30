"""A multipart answer whose end HTTP does not mark, and whose close delimiter has to tell whether it is complete.

Orthanc sends series this way: no length, not chunked, over when the connection closes. A crash of the store then looks
like the end, but for the delimiter.
"""

from collections.abc import AsyncGenerator
from typing import Final

from kheops.archive.answer import Answer
from kheops.archive.port import ArchiveStream
from kheops.dicomweb.multipart import boundary_of
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, BadMultipartError

__all__ = ["BoundaryEnded", "with_known_end"]

_EPILOGUE: Final = 64
"""Bytes borne behind the close delimiter; stores send a line break."""


class BoundaryEnded:
    """An `ArchiveStream` that looks for the close delimiter; `with_known_end` makes it."""

    __slots__ = ("_answer", "_delimiter", "content_length", "content_range", "content_type", "status")

    def __init__(self, answer: Answer, boundary: bytes) -> None:
        self._answer = answer
        self._delimiter = b"--" + boundary + b"--"
        self.status = answer.status
        self.content_type = answer.content_type
        self.content_length = answer.content_length
        self.content_range = answer.content_range

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the body once; raise `ArchiveUnavailableError` if it ends without the close delimiter."""
        keep = len(self._delimiter) + _EPILOGUE
        tail = b""
        async for chunk in self._answer.chunks():
            tail = chunk[-keep:] if len(chunk) >= keep else (tail + chunk)[-keep:]
            yield chunk
        if self._delimiter not in tail:
            raise ArchiveUnavailableError

    def abort(self) -> None:
        """Close the connection unless the body has been read to its end."""
        self._answer.abort()


def with_known_end(answer: Answer) -> ArchiveStream:
    """Return ``answer``, or a stream that finds out its end where HTTP does not mark it.

    Raises
    ------
    ArchiveProtocolError
        If nothing could tell its end from a lost connection.
    """
    if answer.has_marked_end:
        return answer
    try:
        return BoundaryEnded(answer, boundary_of(answer.content_type))
    except BadMultipartError:
        answer.abort()
        raise ArchiveProtocolError("the end of the store's answer is not marked") from None
