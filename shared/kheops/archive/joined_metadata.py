"""The metadata of several instances, each answered as a JSON array of one, as one array."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError

__all__ = ["JoinedMetadata"]

_SPACE: Final = b" \t\r\n"


class JoinedMetadata:
    """An `ArchiveStream` of one JSON array, its instances asked for one after the other.

    Parameters
    ----------
    refs
        The instances, in the order of the answer.
    open_one
        Opens the metadata of one, a JSON array of one element.
    """

    status = 200
    content_type = "application/dicom+json"
    content_length = None
    content_range = None

    def __init__(
        self, refs: Sequence[InstanceRef], open_one: Callable[[InstanceRef], Awaitable[ArchiveStream]]
    ) -> None:
        self._refs = refs
        self._open_one = open_one
        self._current: ArchiveStream | None = None
        self._aborted = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the array once.

        Raises
        ------
        ArchiveUnavailableError
            If an instance has gone since it was listed, or an answer ends early.
        ArchiveProtocolError
            If an answer is no JSON array.
        """
        yield b"["
        for number, ref in enumerate(self._refs):
            if self._aborted:
                raise ArchiveUnavailableError
            if number:
                yield b","
            try:
                self._current = await self._open_one(ref)
            except ArchiveAbsentError:
                raise ArchiveUnavailableError from None
            async for chunk in _elements(self._current):
                yield chunk
        yield b"]"

    def abort(self) -> None:
        """Close the connection of the instance that is being read, and ask for no further one."""
        self._aborted = True
        if self._current is not None:
            self._current.abort()


async def _elements(stream: ArchiveStream) -> AsyncGenerator[bytes, None]:
    """Give what stands between the brackets of an array."""
    begun = False
    held = b""
    async for chunk in stream.chunks():
        # Held back from the last byte that is no space on: the closing bracket is not known before the end.
        held += chunk
        if not begun:
            held = held.lstrip(_SPACE)
            if not held:
                continue
            if not held.startswith(b"["):
                stream.abort()
                raise ArchiveProtocolError("the store's metadata is no JSON array")
            held = held[1:]
            begun = True
        known = max(0, len(held.rstrip(_SPACE)) - 1)
        if known:
            yield held[:known]
            held = held[known:]
    if not begun or held.strip(_SPACE) != b"]":
        raise ArchiveProtocolError("the store's metadata is no JSON array")
