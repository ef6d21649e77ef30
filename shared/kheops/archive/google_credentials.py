"""The service account's access token towards Google: fetched once, renewed before it ends, never per request.

google-auth is synchronous and reaches its token endpoint by ``requests``; both run in a worker thread, and both are
imported there, since importing them takes a good part of a cold start.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from kheops.clock import Clock, now
from kheops.errors import ArchiveUnavailableError
from kheops.observability import get_logger

__all__ = ["GoogleCredentials", "TokenSource", "application_default"]

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_RENEW_BEFORE: Final = timedelta(minutes=5)
"""Before its end; Google's metadata server hands out a new token from then on, and not earlier."""
_RETRY_AFTER: Final = timedelta(seconds=10)
"""After a renewal, whether it failed or brought a token that the store refuses."""
_PATIENCE_SECONDS: Final = 20

_LOG = get_logger(__name__)


TokenSource = Callable[[], tuple[str, datetime]]
"""Fetches a token and its end (aware); blocks, and runs in a worker thread. Raises whatever it likes."""


def application_default() -> TokenSource:
    """Return a source that asks google-auth's application default credentials.

    On Google Cloud these are the service's own account; elsewhere a key file or, with ``GCE_METADATA_HOST`` and
    ``GCE_METADATA_IP``, the emulator's metadata endpoint.
    """
    credentials = None

    def fetch() -> tuple[str, datetime]:
        nonlocal credentials
        import google.auth  # deferred: see the module's docstring
        from google.auth.transport.requests import Request

        if credentials is None:
            credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
        expires = credentials.expiry or now().replace(tzinfo=None)
        return str(credentials.token), expires.replace(tzinfo=UTC)

    return fetch


class GoogleCredentials:
    """An `Authorization` of one bearer token for all requests.

    Parameters
    ----------
    source
        Where tokens come from.
    clock
        The current time.
    patience
        Seconds that a request waits for a token at most. google-auth may take two minutes by itself.
    """

    def __init__(
        self, source: TokenSource | None = None, *, clock: Clock = now, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._source = source or application_default()
        self._clock = clock
        self._patience = patience
        self._value: str | None = None
        self._expires = self._renew_at = self._renewed_at = datetime.min.replace(tzinfo=UTC)
        self._renewal: asyncio.Task[str] | None = None

    async def value(self) -> str | None:
        """Return the header's value; at once, but for the first time and after an end that could not be renewed.

        Raises
        ------
        ArchiveUnavailableError
            If there is no token that holds, and none can be had, or not in time.
        """
        moment = self._clock()
        if self._value is not None and moment < self._expires:
            if moment >= self._renew_at:
                _ = self._renewing()
            return self._value
        # Shielded, so that a caller who leaves does not take the token from the others who wait for it.
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(self._renewing())
        except TimeoutError:
            _LOG.warning("archive.token_late")
            raise ArchiveUnavailableError from None

    def reject(self, value: str) -> bool:
        """Drop the token that the store refused; return whether another is there or may be fetched.

        A token that was fetched a moment ago is not fetched again: a store that refuses each would have us ask for
        one with every request.
        """
        if value != self._value:
            return True
        if self._clock() - self._renewed_at < _RETRY_AFTER:
            return False
        self._value = None
        return True

    def _renewing(self) -> asyncio.Task[str]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(_retrieve)
        return self._renewal

    async def _renew(self) -> str:
        try:
            token, expires = await asyncio.to_thread(self._source)
        except Exception as error:  # google-auth's errors have no common base, and requests' come through
            _LOG.exception("archive.token_unavailable")
            self._renew_at = self._clock() + _RETRY_AFTER
            raise ArchiveUnavailableError from error
        self._value = f"Bearer {token}"
        self._expires = expires
        self._renewed_at = self._clock()
        # A source that hands out what is about to end would be asked again with every request.
        self._renew_at = max(expires - _RENEW_BEFORE, self._renewed_at + _RETRY_AFTER)
        return self._value


def _retrieve(task: asyncio.Task[str]) -> None:
    """Look at the outcome, which nobody else does after a renewal in the background."""
    if not task.cancelled():
        task.exception()
