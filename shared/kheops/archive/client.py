"""The HTTP client towards the store: the only module of the package that imports aiohttp.

It sends what it is told, with headers that it is told, follows no redirect, keeps no cookie, decompresses nothing and
holds no body. `StoreClient.open` is the whole of what another client library would have to offer.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, Literal, Protocol

import aiohttp
from aiohttp.http import HttpProcessingError
from typing_extensions import override
from yarl import URL

from kheops.clock import now
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from kheops.observability import get_logger

__all__ = ["Answer", "Authorization", "Body", "ClientLimits", "Method", "NoAuthorization", "StoreClient"]

Method = Literal["GET", "POST", "DELETE"]

SLOW_DOWN: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses that say "not now" (RFC 9110 15.6, RFC 6585 4): the only ones that are tried again."""

_READ_BUFFER: Final = 64 * 1024
"""Bytes. Larger ones were measured to cost more CPU per frame, not less."""
_WORTH_DRAINING: Final = 64 * 1024
"""Bytes. Reading so little is cheaper than a new connection."""
_LOOK_SECONDS: Final = 1.0
_FAILURES: Final = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError)

_LOG = get_logger(__name__)


class _TimedOutError(ArchiveUnavailableError):
    """The store was silent for too long; asking it again at once would only add to its load."""


class Authorization(Protocol):
    """What proves to the store that we may ask."""

    async def value(self) -> str | None:
        """Return the ``Authorization`` header's value, or ``None`` to send none.

        Raises
        ------
        ArchiveUnavailableError
            If it cannot be had now.
        """

    def reject(self, value: str) -> bool:
        """Take note that the store refused ``value`` with 401; return whether another may be had."""


class NoAuthorization:
    """For a store that asks for nothing."""

    async def value(self) -> str | None:
        """Return nothing."""
        return None

    def reject(self, value: str) -> bool:
        """Have nothing else to offer."""
        del value
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Bounds of the client; durations in seconds."""

    connections: int = 100
    """Open at once; further requests wait for ``connect``."""
    connect: float = 5.0
    """For a connection, a wait for a free one included."""
    silence: float = 60.0
    """Between two pieces of an answer, and before the first of them."""
    attempts: int = 4
    """Tries in all."""
    first_wait: float = 0.2
    """Upper bound of the wait before the second try; doubled each time, with full jitter."""
    longest_wait: float = 5.0
    """Upper bound of any wait. A store that asks for more (Retry-After) is taken as unavailable."""


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


class Answer:
    """An answer of the store whose body has not been read: an `ArchiveStream` with any status."""

    __slots__ = ("_response", "content_length", "content_range", "content_type", "retry_after", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        headers = response.headers
        self._response = response
        self.status = response.status
        self.content_type = headers.get("Content-Type", "")
        self.content_length = response.content_length
        self.content_range = headers.get("Content-Range")
        self.retry_after = _seconds(headers.get("Retry-After"))

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
        except (*_FAILURES, RuntimeError) as error:
            # RuntimeError is aiohttp's word for reading on where the connection is gone.
            if isinstance(error, RuntimeError) and not watch.forgotten:
                raise
            _LOG.warning("archive.answer_ended_early", cause=type(error).__name__)
            self._response.close()
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


class StoreClient:
    """Sends requests to the store.

    Parameters
    ----------
    authorization
        What proves that we may ask.
    limits
        Bounds.
    sleep
        How to wait; tests replace it.
    """

    def __init__(
        self,
        authorization: Authorization,
        *,
        limits: ClientLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._authorization = authorization
        self._limits = limits or ClientLimits()
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._upload_session: aiohttp.ClientSession | None = None

    async def open(self, method: Method, url: str, headers: Mapping[str, str], body: Body | None = None) -> Answer:
        """Send a request once and return its answer, whatever the status.

        Parameters
        ----------
        method, url
            Of the request; ``url`` is sent as it is.
        headers
            All of its headers but Host, Accept-Encoding, User-Agent, Authorization and those that describe ``body``.
        body
            Its body. One without a length travels on a connection of its own, so that no idle one can fail under
            it. If its pieces raise, the request is aborted and the error comes out as it is.

        Raises
        ------
        ArchiveUnavailableError
            If the store cannot be reached, or the connection is lost before the answer begins.
        """
        value = await self._authorization.value()
        answer = await self._send(method, url, headers, body, value)
        replayable = body is None or body.length is not None
        if (
            answer.status == HTTPStatus.UNAUTHORIZED
            and replayable
            and value is not None
            and self._authorization.reject(value)
        ):
            await answer.discard()
            answer = await self._send(method, url, headers, body, await self._authorization.value())
        return answer

    async def fetch(self, method: Method, url: str, headers: Mapping[str, str], body: Body | None = None) -> Answer:
        """Send a request that may be repeated, again on 429, 502, 503, 504 or a lost connection.

        The parameters are those of `open`. The last answer of those statuses is not returned.

        Raises
        ------
        ArchiveUnavailableError
            If the last try failed as well, the store was silent for too long, or asked for a longer wait than we
            bear.
        """
        limits = self._limits
        attempt = 1
        while True:
            asked = None
            try:
                answer = await self.open(method, url, headers, body)
            except _TimedOutError:
                raise
            except ArchiveUnavailableError as error:
                failure = error
            else:
                if answer.status not in SLOW_DOWN:
                    return answer
                await answer.discard()
                asked = answer.retry_after
                failure = ArchiveUnavailableError() if asked is None else ArchiveUnavailableError(retry_after=asked)
            _LOG.warning("archive.try_failed", attempt=attempt, asked_to_wait=asked)
            if attempt >= limits.attempts or (asked is not None and asked > limits.longest_wait):
                raise failure
            backoff = min(limits.longest_wait, limits.first_wait * 2 ** (attempt - 1))
            jittered = random.uniform(0, backoff)  # noqa: S311 - spreads load, hides nothing
            await self._sleep(jittered if asked is None else max(asked, jittered))
            attempt += 1

    async def aclose(self) -> None:
        """Close all connections."""
        for session in (self._session, self._upload_session):
            if session is not None:
                await session.close()

    async def _send(
        self, method: Method, url: str, headers: Mapping[str, str], body: Body | None, authorization: str | None
    ) -> Answer:
        sent = dict(headers)
        if authorization is not None:
            sent["Authorization"] = authorization
        if body is None:
            return await self._perform(self._pooled(), method, url, sent, None)
        sent["Content-Type"] = body.content_type
        if body.length is not None:
            sent["Content-Length"] = str(body.length)
        source = _Source(body.pieces())
        session = self._unpooled() if body.length is None else self._pooled()
        try:
            return await self._perform(session, method, url, sent, source)
        except ArchiveUnavailableError:
            if source.error is not None:
                raise source.error from None
            raise

    async def _perform(
        self,
        session: aiohttp.ClientSession,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        data: AsyncIterator[bytes] | None,
    ) -> Answer:
        try:
            response = await session.request(
                method, URL(url, encoded=True), headers=headers, data=data, allow_redirects=False
            )
        except TimeoutError as error:
            _LOG.warning("archive.silent", cause=type(error).__name__)
            raise _TimedOutError from None
        except _FAILURES as error:
            _LOG.warning("archive.unreachable", cause=type(error).__name__)
            raise ArchiveUnavailableError from None
        return Answer(response)

    def _pooled(self) -> aiohttp.ClientSession:
        # Made here and not in the constructor: aiohttp binds a session to the running loop.
        if self._session is None:
            self._session = self._new_session(aiohttp.TCPConnector(limit=self._limits.connections))
        return self._session

    def _unpooled(self) -> aiohttp.ClientSession:
        if self._upload_session is None:
            self._upload_session = self._new_session(
                aiohttp.TCPConnector(limit=self._limits.connections, force_close=True)
            )
        return self._upload_session

    def _new_session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        limits = self._limits
        return aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "kheops"},
            read_bufsize=_READ_BUFFER,
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_read=limits.silence),
        )


class _Source(AsyncIterator[bytes]):
    """Hands a body's pieces on and keeps the error by which they ended, which aiohttp would wrap in its own."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    @override
    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.error = error
            raise


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
