"""An answer of the store as it arrives: its head, and its body in pieces."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from aiohttp.http import HttpProcessingError

from kheops.clock import now
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from kheops.observability import get_logger

__all__ = ["FAILURES", "Answer"]

FAILURES: Final = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError)
"""What a connection to the store fails with."""

_WORTH_DRAINING: Final = 64 * 1024
"""Bytes. Reading so little is cheaper than a new connection."""
_LOOK_SECONDS: Final = 1.0

_LOG = get_logger(__name__)


class Answer:
    """An answer of the store whose body has not been read: an `ArchiveStream` with any status."""

    __slots__ = ("_response", "content_length", "content_range", "content_type", "retry_after", "status", "timed_out")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status
        self.content_type = headers.get("Content-Type", "")
        self.content_length = response.content_length
        self.content_range = headers.get("Content-Range")
        self.retry_after = _seconds(headers.get("Retry-After"))
        self.timed_out = False
        """Whether the body ended early because the store fell silent."""

    @property
    def has_marked_end(self) -> bool:
        """Whether the body's end can be told from a lost connection (RFC 9112 section 6.3)."""
        headers = self._response.headers
        return "Content-Length" in headers or "Transfer-Encoding" in headers

    @property
    def is_encoded(self) -> bool:
        """Whether the store encoded the body although we refuse encodings."""
        return self._response.headers.get("Content-Encoding", "identity") != "identity"

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the body once, in pieces as they arrive; raise `ArchiveUnavailableError` if it ends early."""
        read = self._response.content.readany
        watch = _Watch(self._response)
        try:
            while chunk := await read():
                yield chunk
        except (*FAILURES, RuntimeError) as error:
            # RuntimeError is aiohttp's word for reading on where the connection is gone.
            if isinstance(error, RuntimeError) and not watch.forgotten:
                raise
            _LOG.warning("archive.answer_ended_early", cause=type(error).__name__)
            self._response.close()
            self.timed_out = isinstance(error, TimeoutError)
            raise ArchiveUnavailableError from None
        finally:
            watch.end()

    def abort(self) -> None:
        """Close the connection unless the body has been read to its end."""
        self._response.close()

    async def read(self, limit: int) -> bytes:
        """Return the body of a control answer.

        Parameters
        ----------
        limit
            Bytes that it may have at most.

        Raises
        ------
        ArchiveProtocolError
            If it is longer.
        ArchiveUnavailableError
            If it ends early.
        """
        pieces = []
        size = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    self.abort()
                    raise ArchiveProtocolError("the answer is too long")
                pieces.append(chunk)
        return b"".join(pieces)

    async def discard(self) -> None:
        """Be done with the body, in the way that costs least. Never raises."""
        if self.content_length is not None and self.content_length <= _WORTH_DRAINING:
            with suppress(ArchiveUnavailableError):
                async for _ in self.chunks():
                    pass
        self.abort()


class _Watch:
    """Fails a body whose connection is gone and that was told neither its end nor an error.

    aiohttp 3.14 forgets a body over a malformed chunk: whoever reads it would wait for ever, with no timeout running.
    """

    __slots__ = ("_handle", "_response")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._handle: asyncio.TimerHandle | None = None
        self._look()

    @property
    def forgotten(self) -> bool:
        """Whether the connection is gone and the body knows of no end."""
        connection, content = self._response.connection, self._response.content
        gone = connection is not None and (connection.protocol is None or connection.protocol.transport is None)
        return gone and not content.is_eof() and content.exception() is None

    def end(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        if self._response.connection is None:
            # The body has arrived whole, or we have closed it.
            return
        if self.forgotten:
            self._response.content.set_exception(aiohttp.ClientPayloadError())
            return
        self._handle = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)


def _seconds(retry_after: str | None) -> int | None:
    """Return the wait that a Retry-After asks for (RFC 9110 10.2.3), ``None`` if there is none to understand."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdecimal():
        return int(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round((moment - now()).total_seconds()))
