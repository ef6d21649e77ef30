"""From a token to a principal: capability tokens of ours, access tokens of trusted issuers, nothing else."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from kheops.clock import Clock, monotonic
from kheops.domain.principals import AlbumCapability, Principal, UserCapability
from kheops.errors import InvalidTokenError, UnavailableError
from kheops.identity.access_tokens import AccessTokenVerifier
from kheops.identity.own_tokens import hash_secret, looks_like_capability
from kheops.observability import get_logger
from kheops.services.people import Registry
from kheops.storage import capabilities
from kheops.storage.engine import Database
from kheops.storage.lookup import CapabilityOnRecord, HotLookup

__all__ = ["Authenticator"]

_LOG = get_logger(__name__)

_LEEWAY: Final = timedelta(seconds=5)
"""KHEOPS's tolerance at both ends of a capability token's life."""
_LAST_USED_SECONDS: Final = 30
"""How often ``last_used`` of one token is written at most."""


class Authenticator:
    """Tells who calls.

    Parameters
    ----------
    lookup
        Finds capability tokens by the hash of their secret.
    database
        Takes their ``last_used``.
    verifier
        Verifies access tokens of issuers.
    registry
        Knows people.
    pepper
        The key of the hash.
    clock
        The current time.
    """

    def __init__(
        self,
        *,
        lookup: HotLookup,
        database: Database,
        verifier: AccessTokenVerifier,
        registry: Registry,
        pepper: bytes,
        clock: Clock,
    ) -> None:
        self._lookup = lookup
        self._database = database
        self._verifier = verifier
        self._registry = registry
        self._pepper = pepper
        self._clock = clock
        self._last_used: dict[int, float] = {}

    async def identify(self, token: str, *, request_id: str) -> Principal:
        """Return whom ``token`` stands for.

        Raises
        ------
        InvalidTokenError
            If it is malformed, unknown, expired, not yet valid, revoked, not for us, or its person is suspended.
        UnavailableError
            If that cannot be found out now.
        """
        if looks_like_capability(token):
            return await self._capability(token)
        verified = await self._verifier.verify(token)
        if verified is None:
            raise InvalidTokenError("not-of-a-trusted-issuer")
        return await self._registry.person(token, verified, request_id=request_id)

    async def _capability(self, token: str) -> Principal:
        record = await self._lookup.capability(hash_secret(token, self._pepper))
        if record is None:
            raise InvalidTokenError("capability-unknown-or-revoked")
        at = self._clock()
        if at < record.not_before - _LEEWAY:
            raise InvalidTokenError("capability-not-yet-valid")
        if at > record.expires_at + _LEEWAY:
            raise InvalidTokenError("capability-expired")
        await self._touch(record, at)
        if record.album is None:
            return UserCapability(record.user, record.iss, record.sub, record.capability, record.permissions)
        return AlbumCapability(
            record.user, record.iss, record.sub, record.capability, record.permissions, record.album
        )

    async def _touch(self, record: CapabilityOnRecord, at: datetime) -> None:
        last = self._last_used.get(record.pk)
        if last is not None and monotonic() - last < _LAST_USED_SECONDS:
            return
        self._last_used[record.pk] = monotonic()
        if len(self._last_used) > 10_000:  # noqa: PLR2004 - a bound of memory, no meaning beyond it
            self._last_used.clear()
        try:
            await self._database.run(partial(capabilities.touch, pk=record.pk, at=at))
        except UnavailableError:
            _LOG.warning("capability.last_used_not_written", capability=record.capability)
