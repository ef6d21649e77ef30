"""What the tests of identity share: a clock that can be moved, good claims, and a verifier before a fake issuer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx

from kheops.config import IssuerSettings
from kheops.errors import InvalidTokenError
from kheops.identity.access_tokens import AccessTokenVerifier
from kheops.identity.control_client import control_client
from kheops.identity.issuers import Issuer
from tests.fakes.jwks_server import FakeIssuer, SigningKey

T = TypeVar("T")

AUDIENCE = "kheops"
KEY = SigningKey("first")


class MovingClock:
    """Both clocks, standing still until they are moved together."""

    def __init__(self) -> None:
        self.moved = 0.0
        self._start = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.moved)

    def monotonic(self) -> float:
        return 1000.0 + self.moved

    def move(self, seconds: float) -> None:
        self.moved += seconds


@dataclass
class Bench:
    """A fake issuer, the clock, and everything of ours built upon them."""

    fake: FakeIssuer
    clock: MovingClock
    http: httpx.AsyncClient
    verifier: AccessTokenVerifier

    @property
    def issuer(self) -> Issuer:
        found = self.verifier.issuers.get(self.fake.issuer)
        assert found is not None
        return found

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a good access token; a change to ``None`` takes one away."""
        seconds = int(self.clock.now().timestamp())
        good = {
            "iss": self.fake.issuer,
            "sub": "alice",
            "aud": AUDIENCE,
            "iat": seconds,
            "exp": seconds + 600,
            "jti": "token-1",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def token(self, key: SigningKey = KEY, **changes: object) -> str:
        return key.sign(self.claims(**changes), typ="at+jwt")

    async def reason(self, token: str) -> str:
        """Return why the token is refused, ``not mine``, or ``good``."""
        try:
            verified = await self.verifier.verify(token)
        except InvalidTokenError as error:
            return error.reason
        return "not mine" if verified is None else "good"


def settings_for(fake: FakeIssuer, **changes: object) -> IssuerSettings:
    return IssuerSettings.model_validate(
        {
            "issuer": fake.issuer,
            "audiences": (AUDIENCE,),
            "access_token_typ": "at+jwt",
            "email_domains": ("hospital.example",),
            "client_id": "kheops-web",
            **changes,
        }
    )


@asynccontextmanager
async def bench(
    fake: FakeIssuer, *, role_claims: frozenset[str] = frozenset(), **changes: object
) -> AsyncIterator[Bench]:
    clock = MovingClock()
    async with control_client() as http:
        trusted = [settings_for(fake, **changes)]
        verifier = AccessTokenVerifier(trusted, http, clock.now, role_claims=role_claims, monotonic=clock.monotonic)
        yield Bench(fake, clock, http, verifier)


def on_bench(
    fake: FakeIssuer,
    body: Callable[[Bench], Awaitable[T]],
    *,
    role_claims: frozenset[str] = frozenset(),
    **changes: object,
) -> T:
    """Run ``body`` with a bench whose issuer is trusted by settings with these changes."""

    async def run() -> T:
        async with bench(fake, role_claims=role_claims, **changes) as made:
            return await body(made)

    return asyncio.run(run())
