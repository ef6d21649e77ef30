"""The body of a request to the store, and how it is sent: no faster than the store takes it, and not for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import AsyncIterablePayload
from typing_extensions import override

__all__ = ["Body", "SentBody"]

_STEP: Final = 64 * 1024
"""Bytes that the store has to take within its time.

Where the operating system holds more, it says so only when a third of that has gone: some hundred kilobytes, at most
two megabytes.
"""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body. ``pieces`` may be called again for another try."""

    content_type: str
    pieces: Callable[[], AsyncIterator[bytes]]
    length: int | None
    """Bytes in all; ``None`` sends it chunked."""

    @classmethod
    def of(cls, content_type: str, data: bytes) -> "Body":
        """Return a body of bytes that are already there."""

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return cls(content_type, pieces, len(data))


class SentBody(AsyncIterablePayload):
    """A body on its way to the store.

    aiohttp watches the reading of a connection only: a store that stops to take the body would hang its upload for
    good. Each step of it has its time here. A body that does not reach its end, for whatever reason, takes its
    connection with it at once; a mere close would wait until the store takes what is still underway.

    Parameters
    ----------
    body
        What is sent.
    patience
        Seconds that the store may take for 64 KiB of it; sending fails with `TimeoutError` then. The time that the
        body's own pieces take to come does not count.
    """

    def __init__(self, body: Body, *, patience: float) -> None:
        self._pieces = body.pieces()
        super().__init__(self._pieces, content_type=body.content_type)
        self._patience = patience
        self.error: Exception | None = None
        """What the pieces raised, which aiohttp wraps in an error of its own."""

    @override
    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send all pieces; they have the length that was announced for them."""
        assert isinstance(writer, StreamWriter)
        try:
            while piece := await self._next():
                view = memoryview(piece)
                for begin in range(0, len(view), _STEP):
                    async with asyncio.timeout(self._patience):
                        await writer.write(view[begin : begin + _STEP])
            await self._leave(writer)
        except BaseException:
            if writer.transport is not None:
                writer.transport.abort()
            raise

    async def _next(self) -> bytes:
        """Return the next piece that is not empty; nothing after the last."""
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except Exception as error:
            self.error = error
            raise
        return b""

    async def _leave(self, writer: StreamWriter) -> None:
        """Wait until all of it has left us: what aiohttp itself sends behind it must never have to wait."""
        if writer.transport is None:
            return
        writer.transport.set_write_buffer_limits(high=0)
        async with asyncio.timeout(self._patience):
            await writer.drain()
        if writer.transport is not None:
            writer.transport.set_write_buffer_limits()
