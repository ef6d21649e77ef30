"""The pixel path: a small raw ASGI response that pumps the store's bytes to the client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from kheops.archive.port import ArchiveStream
from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.services.open_streams import StreamHolder, StreamPlace
from kheops.services.validators import NotModified, Tagged
from kheops.web.call import Call
from kheops.web.cut import CutError

__all__ = ["PixelResponse", "StreamResponse", "streamed"]

_LOG = get_logger(__name__)

_UNWATCHED: Final = 1024 * 1024
"""Bytes of a body of known length for which no watcher runs: a tenth of a frame's CPU, to save no more than this."""
_LOOK_BYTES: Final = 1024 * 1024
_LOOK_SECONDS: Final = 0.001
"""After so many bytes of a long body the watcher gets so much time: less than a gigabyte passes in a second."""
_SEND_SECONDS: Final = 60
"""How long one piece may wait for a client that does not read."""
_ONE_PIECE: Final = 64 * 1024
_UNWATCHED_SECONDS: Final = 240
"""How long a body may take for which no watcher runs: one timer costs less than one for each piece. A body of a single
piece needs none, since nothing of the store is held any more when it is sent.
"""
_LENGTH_KEPT_BELOW: Final = 30 * 1024 * 1024
"""Cloud Run refuses answers of more than 32 MiB that carry Content-Length; chunked ones are exempt."""


class StreamResponse:
    """Sends chunks as they come; cuts the connection if they fail; stops when the client leaves.

    Granian does not tell a handler that its client has left: ``send`` goes on silently. A watcher of ``receive`` runs
    from the start, is looked at for each chunk, and closes the source, so that nothing is pulled for nobody. Bodies
    that are known to be small have none: they are over before anybody could be told.

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
    length
        Bytes of the body, if known; not announced by that.
    """

    def __init__(
        self,
        *,
        status: int,
        headers: list[tuple[bytes, bytes]],
        chunks: AsyncIterator[bytes],
        abort: Callable[[], None],
        length: int | None = None,
    ) -> None:
        self._status = status
        self._headers = headers
        self._chunks = chunks
        self._abort = abort
        self._length = length

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The raw headers so far, lower-case names."""
        return self._headers

    def add_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Add headers, but for those that are there already."""
        present = {name for name, _ in self._headers}
        self._headers = [*self._headers, *(pair for pair in headers if pair[0] not in present)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        start: Message = {"type": "http.response.start", "status": self._status, "headers": self._headers}
        if scope["method"] == "HEAD":
            self._abort()
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        watched = self._length is None or self._length > _UNWATCHED
        gone = asyncio.ensure_future(_watch(receive, self._abort)) if watched else None
        last = b""
        try:
            await send(start)
            if watched:
                last = await self._pump(_patient(send), gone)
            elif self._length is not None and self._length > _ONE_PIECE:
                async with asyncio.timeout(_UNWATCHED_SECONDS):
                    last = await self._pump(send, None)
            else:
                last = await self._pump(send, None)
        except TimeoutError:
            _LOG.warning("stream.stalled")
            raise CutError from None
        except KheopsError as error:
            if not _left(gone):
                _LOG.warning("stream.cut", error=type(error).__name__)
            raise CutError from None
        except Exception:  # noqa: BLE001 - after the first byte any failure can only be a cut
            _LOG.exception("stream.failed")
            raise CutError from None
        finally:
            left = _left(gone)
            if gone is not None:
                gone.cancel()
            self._abort()
        if left:
            raise CutError
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _pump(self, send: Send, gone: "asyncio.Future[None] | None") -> bytes:
        """Send all chunks but the one that completes the length; return that one once the end is known to be good."""
        missing = self._length
        held = b""
        unlooked = 0
        async for chunk in self._chunks:
            unlooked += len(chunk)
            if gone is not None and unlooked >= _LOOK_BYTES:
                # A client that has left takes everything at once; until we are told, it is pulled for nobody.
                unlooked = 0
                await asyncio.sleep(_LOOK_SECONDS)
            if _left(gone):
                break
            if held:
                await send({"type": "http.response.body", "body": held, "more_body": True})
                held = b""
            if missing is not None:
                missing -= len(chunk)
                if missing <= 0:
                    # The server sends a last piece at less cost than a piece and an end; the end may still fail.
                    held = chunk
                    continue
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        return held


class PixelResponse(StreamResponse):
    """Passes on an answer of the store.

    Parameters
    ----------
    stream
        The store's answer.
    headers
        Further raw headers, lower-case names.
    place
        Given back at the end.
    """

    def __init__(
        self, stream: ArchiveStream, *, headers: list[tuple[bytes, bytes]], place: StreamPlace | None = None
    ) -> None:
        all_headers = list(headers)
        if stream.content_type:
            all_headers.insert(0, (b"content-type", stream.content_type.encode("latin-1")))
        if isinstance(stream, Tagged | NotModified):
            all_headers.append((b"etag", stream.validator.encode("latin-1")))
        length = stream.content_length
        if length is not None and length < _LENGTH_KEPT_BELOW:
            all_headers.append((b"content-length", b"%d" % length))
        if stream.content_range is not None:
            all_headers.append((b"content-range", stream.content_range.encode("latin-1")))
        abort = stream.abort if place is None else _ending(stream, place)
        super().__init__(status=stream.status, headers=all_headers, chunks=stream.chunks(), abort=abort, length=length)


async def streamed(
    call: Call, opening: Callable[[], Awaitable[ArchiveStream]], *, headers: list[tuple[bytes, bytes]]
) -> PixelResponse:
    """Open something of the store for the caller, as one of their open retrievals.

    Parameters
    ----------
    call
        The request.
    opening
        Decides and opens; called once the caller has a place, so that waiting tells nothing of what they asked for.
    headers
        Further raw headers of the answer, lower-case names.

    Raises
    ------
    TooManyRequestsError
        If the caller has too many open, and none of them ends in time.
    """
    place = await call.process.open_streams.take(StreamHolder.of(call.principal))
    try:
        return PixelResponse(await opening(), headers=headers, place=place)
    except BaseException:
        place.give_back()
        raise


def _ending(stream: ArchiveStream, place: StreamPlace) -> Callable[[], None]:
    """Return what ends both; no method of the response, which would then be freed by the garbage collector only."""

    def end() -> None:
        stream.abort()
        place.give_back()

    return end


def _patient(send: Send) -> Send:
    """Return ``send`` with an end to its patience: a client that reads nothing keeps others from the store."""

    async def patient(message: Message) -> None:
        async with asyncio.timeout(_SEND_SECONDS):
            await send(message)

    return patient


async def _watch(receive: Receive, abort: Callable[[], None]) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            abort()
            return


def _left(gone: "asyncio.Future[None] | None") -> bool:
    return gone is not None and gone.done()
