"""A value fetched from elsewhere and kept for a time: fresh, then stale but usable, then gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from kheops.clock import monotonic as system_monotonic
from kheops.errors import IdentityProviderUnavailableError
from kheops.observability import get_logger

__all__ = ["BACK_OFF", "Kept"]

T = TypeVar("T")

BACK_OFF: Final = 5.0
"""Seconds after a failed fetch in which no other is tried."""

_AHEAD: Final = 0.8
"""Share of the time to live after which a fetch begins in the background, so that no caller waits for it."""

_LATELY: Final = 60.0
"""Seconds for which a failure tells callers not to wait for the next attempt. An older one tells nothing of now."""

_LOG = get_logger(__name__)


class Kept(Generic[T]):
    """One value of one issuer.

    At most one fetch is under way at a time, and everybody who needs it waits for the same one; a waiter that is
    cancelled does not end it. A fetch that brings an equal value leaves the old object in place, so that ``is``
    tells whether anything changed.

    Parameters
    ----------
    fetch
        Brings the value; raises `IdentityProviderUnavailableError` if it cannot.
    what
        Name for the log.
    ttl
        Seconds during which the value counts as fresh.
    stale
        Further seconds during which it is used while fetches fail.
    monotonic
        Seconds that never go back.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        what: str,
        ttl: float,
        stale: float,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._fetch = fetch
        self._what = what
        self._ttl = ttl
        self._stale = stale
        self._monotonic = monotonic
        self._value: T | None = None
        self._fetched_at = float("-inf")
        self._failed_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self.fetches = 0
        """How often a fetch was begun; for tests and metrics."""

    @property
    def fetched_at(self) -> float:
        """When the value came; minus infinity before the first."""
        return self._fetched_at

    @property
    def fetching(self) -> bool:
        """Whether a fetch is under way."""
        return self._task is not None and not self._task.done()

    def at_hand(self) -> T | None:
        """Return the value if it is fresh and no fetch is due: the path that never waits."""
        if self._value is not None and self._age() < self._ttl * _AHEAD:
            return self._value
        return None

    async def get(self) -> T:
        """Return the value: fresh, or stale while fetches fail.

        Raises
        ------
        IdentityProviderUnavailableError
            If there is none, or only one that is older than its times to live and to be stale.
        """
        age = self._age()
        if self._value is not None and age < self._ttl:
            if age >= self._ttl * _AHEAD and not self._backing_off():
                self._begin()
            return self._value
        failing = self._failed_within(_LATELY)
        if not self._backing_off():
            self._begin()
            # Once known to fail, callers are served the stale value without waiting for the next attempt.
            if not (failing and self._usable()):
                await self._join()
        if self._value is not None and self._usable():
            return self._value
        raise IdentityProviderUnavailableError

    async def renew(self) -> T:
        """Fetch now, or join the fetch under way, and return what came.

        Raises
        ------
        IdentityProviderUnavailableError
            If the fetch failed, or the last one did less than `BACK_OFF` ago.
        """
        if not self.fetching and self._backing_off():
            raise IdentityProviderUnavailableError
        self._begin()
        await self._join()
        if self._failed_at is not None or self._value is None:
            raise IdentityProviderUnavailableError
        return self._value

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _usable(self) -> bool:
        return self._value is not None and self._age() < self._ttl + self._stale

    def _backing_off(self) -> bool:
        return self._failed_within(BACK_OFF)

    def _failed_within(self, seconds: float) -> bool:
        return self._failed_at is not None and self._monotonic() - self._failed_at < seconds

    def _begin(self) -> None:
        if not self.fetching:
            self.fetches += 1
            self._task = asyncio.create_task(self._run())

    async def _join(self) -> None:
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        begun_at = self._monotonic()
        try:
            value = await self._fetch()
        except IdentityProviderUnavailableError:
            self._failed_at = self._monotonic()
            age = None if self._value is None else round(self._age())
            _LOG.warning("issuer.document_not_renewed", what=self._what, age=age, usable=self._usable())
        except Exception:  # noqa: BLE001 - a fault of ours in reading a document must not end a task unseen
            self._failed_at = self._monotonic()
            _LOG.exception("issuer.document_not_renewed", what=self._what, usable=self._usable())
        else:
            self._failed_at = None
            # The document may have been written as early as this; counting from here never trusts it too long.
            self._fetched_at = begun_at
            if value != self._value:
                self._value = value
