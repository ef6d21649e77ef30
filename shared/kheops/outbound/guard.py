"""The one way out to an address that somebody else chose: webhooks, and documents of report providers.

The guard resolves a name itself and connects to the address that it has looked at, so that a name which answers
differently the second time gains nothing. It follows no redirect, reads no proxy from the environment, sends no
cookie, and bounds time and size. What it refuses and what does not answer are told apart in the log only by a stable
reason, never to whoever chose the address: the difference would map our network.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from kheops.errors import BadRequestError, OutboundError
from kheops.observability import get_logger
from kheops.outbound.addresses import is_public

__all__ = ["OUTBOUND_SECONDS", "OutboundGuard", "Resolve", "system_resolve"]

_LOG = get_logger(__name__)

OUTBOUND_SECONDS: Final = 10.0
"""Seconds for a whole exchange, name and connection included, however slowly its bytes drip."""
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535
_AUTHORITY: Final = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)
_URL_LENGTH: Final = 1024
_OK: Final = 200
_TRIED: Final = 3
"""Addresses of one name that are tried."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host name and a port to its addresses, as text."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the operating system gives for a name.

    Raises
    ------
    OSError
        If there is none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a URL leads, as it was checked."""

    url: httpx.URL
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of ``Host``."""
        return self.url.netloc.decode("ascii")


class OutboundGuard:
    """Sends requests to the public internet, and nowhere else.

    Parameters
    ----------
    allowed
        ``host:port`` of destinations that are reached whatever their address is, also over plain http; for local use.
    plain_http
        Whether public addresses may be reached over plain http.
    resolve
        Where addresses of names come from.
    seconds
        How long an exchange may take.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[str] = (),
        plain_http: bool = False,
        resolve: Resolve = system_resolve,
        seconds: float = OUTBOUND_SECONDS,
    ) -> None:
        self._allowed = frozenset(each.lower() for each in allowed)
        self._plain_http = plain_http
        self._resolve = resolve
        self._seconds = seconds

    def check(self, url: str) -> None:
        """Refuse a URL that could never be reached; names are not resolved, and nothing is sent.

        Raises
        ------
        BadRequestError
            If it is not http or https as the settings allow, has a user, a fragment or a zone, is longer than 1024
            characters, or names an address that is not public.
        """
        destination = self._destination(url)
        if self._is_allowed(destination):
            return
        try:
            address = ipaddress.ip_address(destination.host)
        except ValueError:
            if destination.host == "localhost" or destination.host.endswith(".localhost"):
                raise BadRequestError("The URL must lead to the public internet.") from None
            return
        if not is_public(address):
            raise BadRequestError("The URL must lead to the public internet.")

    async def fetch(self, url: str, *, accept: str, most: int) -> bytes:
        """Return the body of a GET that was answered 200.

        Parameters
        ----------
        url
            What to get.
        accept
            The media type that is asked for.
        most
            Bytes of the body at most.

        Raises
        ------
        BadRequestError
            As `check`.
        OutboundError
            If the address is refused, does not answer 200 in time, or answers more than ``most`` bytes or compressed.
        """
        destination = self._destination(url)
        async with self._exchange("GET", destination, {"Accept": accept}, None) as response:
            if response.status_code != _OK:
                raise self._failed(destination, "status")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise self._failed(destination, "compressed")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > most:
                    raise self._failed(destination, "too-large")
            return bytes(body)

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """Send a body and return the status of the answer, whose body nobody reads.

        Parameters
        ----------
        url
            Where to.
        headers
            Further headers, the media type of the body among them.
        body
            What to send.

        Raises
        ------
        BadRequestError
            As `check`.
        OutboundError
            If the address is refused or does not answer in time. A redirect is an answer like any other.
        """
        async with self._exchange("POST", self._destination(url), headers, body) as response:
            return response.status_code

    async def aclose(self) -> None:
        """Close the connections that are open."""
        if "_http" in self.__dict__:
            await self._http.aclose()

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # None is kept: a connection is to an address that was looked at for this very request.
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=0),
            timeout=httpx.Timeout(self._seconds),
        )

    @asynccontextmanager
    async def _exchange(
        self, method: str, destination: _Destination, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[httpx.Response]:
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._send(method, destination, headers, body)
                try:
                    yield response
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ssl.SSLError, OSError) as error:
            raise self._failed(destination, type(error).__name__) from None

    async def _send(
        self, method: str, destination: _Destination, headers: Mapping[str, str], body: bytes | None
    ) -> httpx.Response:
        fields = {
            "User-Agent": "kheops",
            "Accept-Encoding": "identity",
            **headers,
            "Host": destination.authority,
        }
        addresses = (await self._addresses(destination))[:_TRIED]
        for address in addresses:
            request = self._http.build_request(
                method,
                destination.url.copy_with(host=address),
                headers=fields,
                content=body,
                extensions={"sni_hostname": destination.host},
            )
            try:
                return await self._http.send(request, stream=True, follow_redirects=False)
            except httpx.ConnectError:
                if address == addresses[-1]:
                    raise
        raise self._failed(destination, "no-address")

    async def _addresses(self, destination: _Destination) -> list[str]:
        """Return where to connect; every address of the name must be public, not only the one that is used."""
        try:
            addresses = [ipaddress.ip_address(destination.host)]
        except ValueError:
            try:
                found = await self._resolve(destination.host, destination.port)
                addresses = [ipaddress.ip_address(text) for text in found]
            except ValueError:  # a name that cannot be one, or an address that is none
                addresses = []
        if not addresses:
            raise self._failed(destination, "no-address")
        if not self._is_allowed(destination) and not all(map(is_public, addresses)):
            raise self._failed(destination, "not-public")
        return [str(address) for address in addresses]

    def _destination(self, url: str) -> _Destination:
        if len(url) > _URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise BadRequestError(f"The URL must be of at most {_URL_LENGTH} printable ASCII characters.")
        try:
            parsed = httpx.URL(url)
            # Told from punycode, which may be malformed; so it is asked for here once, and nowhere else.
            host = parsed.host
            port = parsed.port or _PORTS.get(parsed.scheme)
        except (httpx.InvalidURL, ValueError):
            raise BadRequestError("The URL is malformed.") from None
        written = _AUTHORITY.match(url)
        if port is None or not host or written is None or not 0 < port <= _LAST_PORT:
            raise BadRequestError("The URL must be absolute, https or http.")
        if parsed.userinfo or "@" in written[1] or parsed.fragment or "%" in host:
            raise BadRequestError("The URL must have no user, fragment or zone.")
        # What the TLS handshake and the resolver see; a last dot changes neither the name nor what is allowed.
        destination = _Destination(parsed, parsed.raw_host.decode("ascii").lower().strip("[]").rstrip("."), port)
        if parsed.scheme == "http" and not self._plain_http and not self._is_allowed(destination):
            raise BadRequestError("The URL must be https.")
        return destination

    def _is_allowed(self, destination: _Destination) -> bool:
        host = f"[{destination.host}]" if ":" in destination.host else destination.host
        return f"{host}:{destination.port}" in self._allowed

    @staticmethod
    def _failed(destination: _Destination, reason: str) -> OutboundError:
        # The host alone: a path or query may hold a secret of whoever chose it.
        _LOG.warning("outbound.failed", host=destination.host, reason=reason)
        return OutboundError()
