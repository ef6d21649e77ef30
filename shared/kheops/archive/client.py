"""The HTTP client towards the store. With `Answer` and `SentBody`, all of the package that knows aiohttp.

It sends what it is told, with headers that it is told, follows no redirect, keeps no cookie, decompresses nothing and
holds no body. `StoreClient.open` is the whole of what another client library would have to offer.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal, Protocol

import aiohttp
from yarl import URL

from kheops.archive.answer import FAILURES, Answer
from kheops.archive.request_body import Body, SentBody
from kheops.errors import ArchiveUnavailableError
from kheops.observability import get_logger
from kheops.telemetry.signals import Count, count, part

__all__ = ["SLOW_DOWN", "Authorization", "ClientLimits", "Method", "NoAuthorization", "StoreClient", "Wanted"]

Method = Literal["GET", "POST", "PATCH", "DELETE"]

SLOW_DOWN: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses that say "not now" (RFC 9110 15.6, RFC 6585 4): the only ones that are tried again at every store."""

_READ_BUFFER: Final = 256 * 1024
"""Bytes; aiohttp stops reading at twice as many. asyncio takes 256 KiB at once from a socket; with a smaller buffer
aiohttp stopped, and began again, for every piece: two system calls and a timer each time.
"""

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
    """Without a byte of an answer, or without taking 64 KiB of a request's body."""
    prompt: float = 20.0
    """Before an answer begins that needs little work: metadata, searches, lookups."""
    attempts: int = 4
    """Tries in all."""
    first_wait: float = 0.2
    """Upper bound of the wait before the second try; doubled each time, with full jitter."""
    longest_wait: float = 5.0
    """Upper bound of any wait. A store that asks for more (Retry-After) is taken as unavailable."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which answers' bodies are read whole."""

    statuses: frozenset[int]
    limit: int
    """Bytes that a body may have at most."""


class StoreClient:
    """Sends requests to the store.

    Parameters
    ----------
    authorization
        What proves that we may ask.
    limits
        Bounds.
    slow_down
        Statuses of this store that are tried again.
    sleep
        How to wait; tests replace it.
    """

    def __init__(
        self,
        authorization: Authorization,
        *,
        limits: ClientLimits | None = None,
        slow_down: frozenset[int] = SLOW_DOWN,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._authorization = authorization
        self._limits = limits or ClientLimits()
        self._slow_down = slow_down
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        self._upload_session: aiohttp.ClientSession | None = None

    async def open(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        is_prompt: bool = False,
    ) -> Answer:
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
        is_prompt
            Whether the answer has to begin within `ClientLimits.prompt`.

        Raises
        ------
        ArchiveUnavailableError
            If the store cannot be reached, is silent or takes nothing of the body for too long, or the connection is
            lost before the answer begins.
        """
        value = await self._authorization.value()
        answer = await self._send(method, url, headers, body, value, is_prompt=is_prompt)
        replayable = body is None or body.length is not None
        if (
            answer.status == HTTPStatus.UNAUTHORIZED
            and replayable
            and value is not None
            and self._authorization.reject(value)
        ):
            await answer.discard()
            value = await self._authorization.value()
            answer = await self._send(method, url, headers, body, value, is_prompt=is_prompt)
        return answer

    async def fetch(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        is_prompt: bool = False,
    ) -> Answer:
        """Send a request that may be repeated, again on 429, 502, 503, 504 or a lost connection.

        The parameters are those of `open`. The last answer of those statuses is not returned.

        Raises
        ------
        ArchiveUnavailableError
            If the last try failed as well, the store was silent for too long, or asked for a longer wait than we
            bear.
        """
        answer, _ = await self._try(method, url, headers, body, None, is_prompt=is_prompt)
        return answer

    async def ask(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: Body | None = None,
        *,
        wanted: Wanted,
        is_prompt: bool = False,
    ) -> tuple[Answer, bytes]:
        """Do as `fetch` does, and read the answer's body: one that ends early is asked for again as well.

        Parameters
        ----------
        method, url, headers, body, is_prompt
            Those of `open`.
        wanted
            Which bodies are read. Any other is left in its answer, and returned as empty.

        Raises
        ------
        ArchiveUnavailableError
            As `fetch` does, or if the last body ended early.
        ArchiveProtocolError
            If the body is longer than it may be.
        """
        return await self._try(method, url, headers, body, wanted, is_prompt=is_prompt)

    async def _try(
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        wanted: Wanted | None,
        *,
        is_prompt: bool,
    ) -> tuple[Answer, bytes]:
        limits = self._limits
        attempt = 1
        while True:
            asked = None
            try:
                answer = await self.open(method, url, headers, body, is_prompt=is_prompt)
                if wanted is not None and answer.status in wanted.statuses and answer.status not in self._slow_down:
                    return answer, await _whole(answer, wanted.limit)
            except _TimedOutError:
                raise
            except ArchiveUnavailableError as error:
                failure = error
            else:
                if answer.status not in self._slow_down:
                    return answer, b""
                await answer.discard()
                asked = answer.retry_after
                failure = ArchiveUnavailableError() if asked is None else ArchiveUnavailableError(retry_after=asked)
            _LOG.warning("archive.try_failed", attempt=attempt, asked_to_wait=asked)
            if attempt >= limits.attempts or (asked is not None and asked > limits.longest_wait):
                raise failure
            count(Count.STORE_RETRIES)
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
        self,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        authorization: str | None,
        *,
        is_prompt: bool,
    ) -> Answer:
        sent = dict(headers)
        if authorization is not None:
            sent["Authorization"] = authorization
        patience = self._limits.prompt if is_prompt else None
        if body is None:
            return await self._perform(self._pooled(), method, url, sent, None, patience=patience)
        sent["Content-Type"] = body.content_type
        if body.length is not None:
            sent["Content-Length"] = str(body.length)
        data = SentBody(body, patience=self._limits.silence)
        session = self._unpooled() if body.length is None else self._pooled()
        try:
            return await self._perform(session, method, url, sent, data, patience=patience)
        except ArchiveUnavailableError:
            if data.error is not None:
                raise data.error from None
            raise

    async def _perform(
        self,
        session: aiohttp.ClientSession,
        method: Method,
        url: str,
        headers: Mapping[str, str],
        data: SentBody | None,
        *,
        patience: float | None,
    ) -> Answer:
        request = session.request(method, URL(url, encoded=True), headers=headers, data=data, allow_redirects=False)
        try:
            with part("store", {"http.request.method": method}) as told:
                if patience is None:
                    answer = Answer(await request)
                else:
                    async with asyncio.timeout(patience):
                        answer = Answer(await request)
                told.tell("http.response.status_code", answer.status)
                return answer
        except TimeoutError as error:
            _LOG.warning("archive.silent", cause=type(error).__name__)
            raise _TimedOutError from None
        except FAILURES as error:
            _LOG.warning("archive.unreachable", cause=type(error).__name__)
            raise ArchiveUnavailableError from None

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


async def _whole(answer: Answer, limit: int) -> bytes:
    try:
        return await answer.read(limit)
    except ArchiveUnavailableError:
        if answer.timed_out:
            raise _TimedOutError from None
        raise
