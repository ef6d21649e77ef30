"""From a token to a principal: tokens of ours, access tokens of trusted issuers, nothing else."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from kheops.clock import Clock, monotonic
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
)
from kheops.errors import InvalidTokenError, UnavailableError
from kheops.identity.access_tokens import AccessTokenVerifier
from kheops.identity.keyring import Keyring
from kheops.identity.own_tokens import (
    hashes,
    looks_like_capability,
    looks_like_report_token,
    looks_like_viewer_token,
    looks_like_visit,
)
from kheops.observability import get_logger
from kheops.services.people import Registry
from kheops.storage import capabilities
from kheops.storage.engine import Database
from kheops.storage.lookup import HotLookup
from kheops.storage.token_records import CapabilityOnRecord

__all__ = ["Authenticator"]

_T = TypeVar("_T")
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
        Finds our own tokens by the hash of their secret.
    database
        Takes the ``last_used`` of capability tokens.
    verifier
        Verifies access tokens of issuers.
    registry
        Knows people.
    pepper
        The keys of the hash.
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
        pepper: Keyring,
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
        own = await self.own_token(token)
        if own is not None:
            return own
        verified = await self._verifier.verify(token)
        if verified is None:
            raise InvalidTokenError("not-of-a-trusted-issuer")
        return await self._registry.person(token, verified, request_id=request_id)

    async def own_token(
        self, token: str, *, is_use: bool = True
    ) -> UserCapability | AlbumCapability | ViewerToken | ReportToken | LinkVisit | None:
        """Return what a token of ours stands for; ``None`` for what has the form of none.

        Parameters
        ----------
        token
            The token.
        is_use
            Whether this goes into the ``last_used`` of a capability token.

        Raises
        ------
        InvalidTokenError
            If it has the form of one, and is unknown, not yet valid, or has ended.
        UnavailableError
            If that cannot be found out now.
        """
        if looks_like_capability(token):
            record = await self._by_hash(self._lookup.capability, token)
            if record is None:
                raise InvalidTokenError("capability-unknown-or-revoked")
            return await self._capability(record, is_use=is_use)
        if looks_like_visit(token):
            return await self._link_visit(token)
        if looks_like_viewer_token(token):
            return await self._viewer_token(token, is_use=is_use)
        if looks_like_report_token(token):
            return await self._report_token(token, is_use=is_use)
        return None

    async def _by_hash(self, find: Callable[[bytes], Awaitable[_T | None]], token: str) -> _T | None:
        for each in hashes(token, self._pepper):
            record = await find(each)
            if record is not None:
                return record
        return None

    async def _viewer_token(self, token: str, *, is_use: bool) -> ViewerToken:
        record = await self._by_hash(self._lookup.viewer_token, token)
        if record is None:
            raise InvalidTokenError("viewer-token-unknown-or-ended")
        if self._clock() >= record.expires_at:
            raise InvalidTokenError("viewer-token-expired")
        parent: Person | UserCapability | AlbumCapability
        if record.capability is None:
            name = f"viewer:{record.viewer}"
            hold = record.groups_until is None or self._clock() < record.groups_until
            parent = Person(
                record.user,
                record.iss,
                record.sub,
                token_id=name,
                acting_party=record.acting_party,
                groups=record.groups if hold else frozenset(),
            )
        else:
            parent = await self._capability(record.capability, is_use=is_use)
        return ViewerToken(
            viewer=record.viewer,
            parent=parent,
            study=record.study,
            source=record.source,
            read=record.read,
            write=record.write,
        )

    async def _link_visit(self, token: str) -> LinkVisit:
        record = await self._by_hash(self._lookup.link_visit, token)
        if record is None:
            raise InvalidTokenError("link-visit-unknown-or-ended")
        if self._clock() >= record.expires_at:
            raise InvalidTokenError("link-visit-expired")
        return record.visitor

    async def _report_token(self, token: str, *, is_use: bool) -> ReportToken:
        record = await self._by_hash(self._lookup.report_token, token)
        if record is None:
            raise InvalidTokenError("report-token-unknown-or-ended")
        if self._clock() >= record.expires_at:
            raise InvalidTokenError("report-token-expired")
        parent: Person | UserCapability | AlbumCapability
        if record.capability is None:
            name = f"report:{record.report}"
            parent = Person(record.user, record.iss, record.sub, token_id=name, acting_party=record.acting_party)
        else:
            parent = await self._capability(record.capability, is_use=is_use)
        if isinstance(parent, AlbumCapability):
            raise InvalidTokenError("report-token-of-an-album")
        return ReportToken(
            report=record.report,
            parent=parent,
            provider=record.provider,
            album=record.album,
            studies=record.studies,
            read=record.read,
            write=record.write,
        )

    async def _capability(self, record: CapabilityOnRecord, *, is_use: bool) -> UserCapability | AlbumCapability:
        at = self._clock()
        if at < record.not_before - _LEEWAY:
            raise InvalidTokenError("capability-not-yet-valid")
        if at > record.expires_at + _LEEWAY:
            raise InvalidTokenError("capability-expired")
        if is_use:
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
