"""A multipart answer of the store with one object, passed on as it is wherever its head may be seen.

This is the hot path: frames and instances. The head of the part is looked at in the first chunk; where it holds
nothing but what we would write ourselves, the bytes go on untouched, else the part is framed anew.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.multipart import boundary_of, content_type
from kheops.errors import ArchiveProtocolError, BadMultipartError
from kheops.services.joined_parts import join, one
from kheops.services.store_answers import object_type

__all__ = ["Begun", "pass_on"]

_HARMLESS: Final = frozenset({b"content-type", b"content-length", b"mime-version"})
"""Fields of a part's head that tell nothing of the store."""


class Begun:
    """An answer of which the first chunk has been read already."""

    __slots__ = ("_first", "_inner", "_rest", "content_length", "content_range", "content_type", "status")

    def __init__(self, inner: ArchiveStream, first: bytes, rest: AsyncIterator[bytes], content_type: str) -> None:
        self._inner = inner
        self._first = first
        self._rest = rest
        self.status = inner.status
        self.content_type = content_type
        self.content_length = inner.content_length
        self.content_range = inner.content_range

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once; raises as the store's own stream does."""
        yield self._first
        async for chunk in self._rest:
            yield chunk

    def abort(self) -> None:
        """Close the connection to the store."""
        self._inner.abort()


async def pass_on(answer: ArchiveStream, *, media_type: str) -> ArchiveStream:
    """Return the answer as the caller may have it, its first chunk having arrived.

    Parameters
    ----------
    answer
        A multipart answer for one object.
    media_type
        What was asked for.

    Raises
    ------
    ArchiveUnavailableError
        If the answer ends before its part begins.
    ArchiveProtocolError
        If it is no multipart body, or DICOM was asked for and something else was sent.
    ArchiveAbsentError
        If it has no part.
    """
    try:
        boundary = boundary_of(answer.content_type)
        rest = answer.chunks()
        first = await anext(rest, b"")
        part_type = _harmless_type(first, boundary)
        if part_type is not None and part_type.lower() == object_type(part_type, asked=media_type):
            essence = part_type.partition(";")[0].strip().lower()
            return Begun(answer, first, rest, content_type(boundary, part_type=essence))
        return await join(one(_ready(Begun(answer, first, rest, answer.content_type))), media_type=media_type)
    except BadMultipartError:
        answer.abort()
        raise ArchiveProtocolError("the store sent something else than a multipart body") from None
    except BaseException:
        answer.abort()
        raise


def _harmless_type(first: bytes, boundary: bytes) -> str | None:
    """Return the Content-Type of the part if its whole head is there and nothing else is in it; else ``None``."""
    begin = first.find(b"--" + boundary + b"\r\n", 0, len(boundary) + 6)
    end = first.find(b"\r\n\r\n", begin)
    if begin not in {0, 2} or end < 0:
        return None
    found = None
    for line in first[begin:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name not in _HARMLESS:
            return None
        if name == b"content-type":
            found = value.decode("latin-1").strip()
    return found


def _ready(answer: ArchiveStream) -> Callable[[], Awaitable[ArchiveStream]]:
    async def opening() -> ArchiveStream:
        return answer

    return opening
