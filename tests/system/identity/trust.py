"""Our side before a real provider, with clocks that run and can be moved."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import httpx

from kheops import clock
from kheops.config import IssuerSettings
from kheops.errors import InvalidTokenError
from kheops.identity.access_tokens import AccessTokenVerifier
from kheops.identity.control_client import control_client
from kheops.identity.issuers import Issuer
from kheops.identity.login import RelyingParty
from kheops.identity.userinfo import UserinfoClient

T = TypeVar("T")


@dataclass
class Trust:
    """A verifier and a relying party that trust one issuer."""

    settings: IssuerSettings
    http: httpx.AsyncClient
    moved: float = 0.0

    def __post_init__(self) -> None:
        groups = frozenset({"groups"})
        self.verifier = AccessTokenVerifier(
            [self.settings], self.http, self.now, role_claims=groups, monotonic=self.monotonic
        )
        self.party = RelyingParty(self.verifier.issuers, self.http, self.now, role_claims=groups)
        self.userinfo = UserinfoClient(self.verifier.issuers, self.http)

    @property
    def issuer(self) -> Issuer:
        found = self.verifier.issuers.get(self.settings.issuer)
        assert found is not None
        return found

    def now(self) -> datetime:
        return clock.now() + timedelta(seconds=self.moved)

    def monotonic(self) -> float:
        return clock.monotonic() + self.moved

    async def reason(self, token: str) -> str:
        """Return why the token is refused, ``not mine``, or ``good``."""
        try:
            verified = await self.verifier.verify(token)
        except InvalidTokenError as error:
            return error.reason
        return "not mine" if verified is None else "good"


def trusting(
    settings: IssuerSettings, body: Callable[[Trust], Awaitable[T]], *, moved: float = 0.0, **changes: object
) -> T:
    """Run ``body`` with our side, trusting by ``settings`` with these changes, ``moved`` seconds from now."""
    changed = IssuerSettings.model_validate({**settings.model_dump(), **changes})

    async def run() -> T:
        async with control_client() as http:
            return await body(Trust(changed, http, moved))

    return asyncio.run(run())
