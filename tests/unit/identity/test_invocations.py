"""Whose calls the events service obeys."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from kheops.errors import IdentityProviderUnavailableError, InvalidTokenError
from kheops.identity.control_client import control_client
from kheops.identity.invocations import InvocationVerifier
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running, unsigned

KEY = SigningKey("google")
STRANGER = SigningKey("google", number=1)
AUDIENCE = "https://events.example"
SENDER = "caller@project.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def google() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


def _claims(google: FakeIssuer, **changes: object) -> dict[str, object]:
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": google.issuer,
        "aud": AUDIENCE,
        "azp": "1234",
        "sub": "1234",
        "email": SENDER,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _reason(google: FakeIssuer, token: str) -> str:
    async def ask() -> str:
        async with control_client() as http:
            verifier = InvocationVerifier(
                http, issuer=google.issuer, audience=AUDIENCE, senders=frozenset({SENDER, "other@x.example"})
            )
            try:
                await verifier.verify(token)
            except InvalidTokenError as error:
                return error.reason
        return "good"

    return asyncio.run(ask())


def test_call_of_a_sender_for_us_is_good(google: FakeIssuer) -> None:
    assert _reason(google, KEY.sign(_claims(google))) == "good"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"email": "caller@other.iam.gserviceaccount.com"}, "sender"),
        ({"email": SENDER.upper()}, "sender"),
        ({"email": [SENDER]}, "sender"),
        ({"email": None}, "sender"),
        ({"email_verified": None}, "sender"),
        ({"email_verified": False}, "sender"),
        ({"email_verified": "true"}, "sender"),
        ({"aud": "https://another.example"}, "aud"),
        ({"aud": None}, "missing-aud"),
        ({"iss": "https://accounts.google.com"}, "other-issuer"),
        ({"iss": None}, "other-issuer"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "missing-exp"),
    ],
)
def test_any_other_call_is_refused(google: FakeIssuer, changes: dict[str, object], reason: str) -> None:
    assert _reason(google, KEY.sign(_claims(google, **changes))) == reason


def test_call_from_the_future_is_refused(google: FakeIssuer) -> None:
    # Not among the parameters above: those are made long before their tests run.
    assert _reason(google, KEY.sign(_claims(google, iat=int(time.time()) + 600))) == "issued-in-future"


def test_signature_must_be_there_and_hold(google: FakeIssuer) -> None:
    good = KEY.sign(_claims(google))
    assert _reason(google, STRANGER.sign(_claims(google))) == "signature"
    assert _reason(google, good.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE") == "signature-removed"
    assert _reason(google, unsigned({"alg": "none"}, _claims(google))) == "alg"
    assert _reason(google, "opaque") == "no-jwt"


def test_issuer_that_does_not_answer_is_no_refusal(google: FakeIssuer) -> None:
    google.mode = "down"
    try:
        with pytest.raises(IdentityProviderUnavailableError):
            _reason(google, KEY.sign(_claims(google)))
    finally:
        google.mode = "up"
