"""The pixel path: a small raw ASGI response that pumps the store's bytes to the client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.types import Receive, Scope, Send

from kheops.archive.port import ArchiveStream
from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.web.cut import CutError

__all__ = ["PixelResponse", "StreamResponse"]

_LOG = get_logger(__name__)

_LENGTH_KEPT_BELOW: Final = 30 * 1024 * 1024
"""Cloud Run refuses answers of more than 32 MiB that carry Content-Length; chunked ones are exempt."""


class StreamResponse:
    """Sends chunks as they come; cuts the connection if they fail; stops when the client leaves.

    Granian does not tell a handler that its client has left: ``send`` goes on silently. A watcher of ``receive`` runs
    from the start, is looked at for each chunk, and closes the source, so that nothing is pulled for nobody.

    Parameters
    ----------
    status
        HTTP status.
    headers
        Raw headers, lower-case names.
    chunks
        The body.
    abort
        Called once at the end, whatever the end is.
    """

    def __init__(
        self,
        *,
        status: int,
        headers: list[tuple[bytes, bytes]],
        chunks: AsyncIterator[bytes],
        abort: Callable[[], None],
    ) -> None:
        self._status = status
        self._headers = headers
        self._chunks = chunks
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        if scope["method"] == "HEAD":
            self._abort()
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        gone = asyncio.ensure_future(_watch(receive, self._abort))
        left = False
        try:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            async for chunk in self._chunks:
                if gone.done():
                    break
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except KheopsError as error:
            if not gone.done():
                _LOG.warning("stream.cut", error=type(error).__name__)
            raise CutError from None
        except Exception:  # noqa: BLE001 - after the first byte any failure can only be a cut
            _LOG.exception("stream.failed")
            raise CutError from None
        finally:
            left = gone.done()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone
            self._abort()
        if left:
            raise CutError
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class PixelResponse(StreamResponse):
    """Passes on an answer of the store.

    Parameters
    ----------
    stream
        The store's answer.
    headers
        Further raw headers, lower-case names.
    """

    def __init__(self, stream: ArchiveStream, *, headers: list[tuple[bytes, bytes]]) -> None:
        all_headers = [(b"content-type", stream.content_type.encode("latin-1")), *headers]
        length = stream.content_length
        if length is not None and length < _LENGTH_KEPT_BELOW:
            all_headers.append((b"content-length", b"%d" % length))
        if stream.content_range is not None:
            all_headers.append((b"content-range", stream.content_range.encode("latin-1")))
        super().__init__(status=stream.status, headers=all_headers, chunks=stream.chunks(), abort=stream.abort)


async def _watch(receive: Receive, abort: Callable[[], None]) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            abort()
            return
