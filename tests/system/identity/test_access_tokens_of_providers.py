"""Tokens of two real providers: one that marks its access tokens, one whose access and ID tokens look alike."""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.access_tokens import VerifiedToken
from kheops.identity.jwks import KEYS_STALE, KEYS_TTL, parse_jwks
from kheops.identity.userinfo import fetch_profile
from tests.fakes.jwks_server import SigningKey, hmac_signed, unsigned
from tests.system.identity.browser import LoginFailedError, log_in
from tests.system.identity.providers import REDIRECT_URI, Provider, Tokens, oidc_provider
from tests.system.identity.trust import Trust, trusting

SCOPE = "openid profile email dicom"


@pytest.fixture(scope="module")
def node_tokens(node_provider: Provider) -> Tokens:
    return node_provider.tokens("alice", resource="urn:kheops:RS256", scope=SCOPE, nonce="a-nonce")


@pytest.fixture(scope="module")
def canaille_tokens(canaille_provider: Provider) -> Tokens:
    return canaille_provider.tokens("alice", nonce="a-nonce")


@pytest.fixture(params=["node", "canaille"])
def both(request: pytest.FixtureRequest) -> tuple[Provider, Tokens]:
    """Give each provider in turn, with tokens of alice."""
    return (
        request.getfixturevalue(f"{request.param}_provider"),
        request.getfixturevalue(f"{request.param}_tokens"),
    )


async def _verified(trust: Trust, token: str) -> VerifiedToken:
    verified = await trust.verifier.verify(token)
    assert verified is not None
    return verified


def _reason(provider: Provider, token: str, *, moved: float = 0.0, **changes: object) -> str:
    return trusting(provider.settings, lambda trust: trust.reason(token), moved=moved, **changes)


def _parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


def test_access_token_of_the_certified_provider_says_who_calls(node_provider: Provider, node_tokens: Tokens) -> None:
    verified = trusting(node_provider.settings, lambda trust: _verified(trust, node_tokens.access_token))
    assert (verified.iss, verified.sub) == (node_provider.issuer, "alice")
    assert (verified.email, verified.email_verified) == ("alice@hospital.example", True)
    assert verified.name == "Alice Adams"
    assert verified.claims == {"groups": ("radiology",)}
    assert verified.token_id == _parts(node_tokens.access_token)[1]["jti"]


def test_address_that_the_certified_provider_has_not_verified_is_not_verified(node_provider: Provider) -> None:
    tokens = node_provider.tokens("bob", resource="urn:kheops:RS256", scope=SCOPE)
    verified = trusting(node_provider.settings, lambda trust: _verified(trust, tokens.access_token))
    assert (verified.email, verified.email_verified) == ("bob@hospital.example", False)


@pytest.mark.parametrize("algorithm", ["ES256", "PS256"])
def test_other_signatures_of_the_certified_provider_are_good(node_provider: Provider, algorithm: str) -> None:
    tokens = node_provider.tokens("alice", resource=f"urn:kheops:{algorithm}", scope=SCOPE)
    assert _parts(tokens.access_token)[0]["alg"] == algorithm
    assert _reason(node_provider, tokens.access_token) == "good"
    assert _reason(node_provider, tokens.access_token, algorithms=("RS256",)) == "alg"


def test_access_token_of_canaille_says_who_calls(canaille_provider: Provider, canaille_tokens: Tokens) -> None:
    verified = trusting(canaille_provider.settings, lambda trust: _verified(trust, canaille_tokens.access_token))
    assert (verified.iss, verified.sub) == (canaille_provider.issuer, "alice")
    assert (verified.email, verified.email_verified) == ("alice@hospital.example", True)
    assert verified.token_id.startswith("sha256:")


def test_address_of_canaille_is_verified_only_if_that_is_assumed(
    canaille_provider: Provider, canaille_tokens: Tokens
) -> None:
    verified = trusting(
        canaille_provider.settings,
        lambda trust: _verified(trust, canaille_tokens.access_token),
        email_verified="required",
    )
    assert (verified.email, verified.email_verified) == ("alice@hospital.example", False)


def test_id_token_is_refused_even_where_its_audience_is_accepted(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    assert _reason(provider, tokens.id_token, audiences=(provider.client_id,)) == "id-token"


def test_id_token_without_nonce_is_refused_too(node_provider: Provider) -> None:
    id_token = node_provider.tokens("bob", scope=SCOPE, resource="urn:kheops:RS256").id_token
    assert not _parts(id_token)[1].keys() & {"nonce", "at_hash", "c_hash"}
    assert _reason(node_provider, id_token, audiences=("kheops-web",)) == "not-an-access-token"


def test_opaque_access_token_is_not_ours_to_judge(node_provider: Provider) -> None:
    assert _reason(node_provider, node_provider.tokens("alice").access_token) == "not mine"


def test_token_for_another_audience_is_refused(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    assert _reason(provider, tokens.access_token) == "good"
    assert _reason(provider, tokens.access_token, audiences=("somebody-else",)) == "aud"


def test_token_of_an_issuer_that_is_not_trusted_is_not_ours(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    changes = {"issuer": "https://elsewhere.example"}
    assert _reason(provider, tokens.access_token, **changes) == "not mine"  # type: ignore[arg-type]


def test_token_is_refused_before_and_after_its_time(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    claims = _parts(tokens.access_token)[1]
    life = int(str(claims["exp"])) - int(str(claims["iat"]))
    assert _reason(provider, tokens.access_token, moved=life + 61) == "expired"
    assert _reason(provider, tokens.access_token, moved=-600) == "issued-in-future"


def test_token_signed_by_nobody_or_by_the_public_key_is_refused(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    header, claims = _parts(tokens.access_token)
    jwks = httpx.get(provider.endpoint("jwks_uri"), trust_env=False).json()
    published = next(each for each in jwks["keys"] if each.get("kid") == header["kid"])
    assert parse_jwks({"keys": [published]}).keys
    modulus = base64.urlsafe_b64decode(published["n"] + "==")
    for forged in (
        unsigned({**header, "alg": "none"}, {**claims, "sub": "bob"}),
        hmac_signed({**header, "alg": "HS256"}, {**claims, "sub": "bob"}, modulus),
        hmac_signed({**header, "alg": "HS256"}, {**claims, "sub": "bob"}, json.dumps(published).encode()),
    ):
        assert _reason(provider, forged) == "alg"
    signature = tokens.access_token.rsplit(".", 1)[1]
    swapped = unsigned(header, {**claims, "sub": "bob"}) + signature
    assert _reason(provider, swapped) == "signature"
    stranger = SigningKey(str(header["kid"]), number=7).sign(claims, typ=header["typ"])
    assert _reason(provider, stranger) == "signature"


def test_storm_of_unknown_kids_asks_the_provider_twice_at_most(both: tuple[Provider, Tokens]) -> None:
    provider, tokens = both
    header, claims = _parts(tokens.access_token)

    async def body(trust: Trust) -> int:
        assert await trust.reason(tokens.access_token) == "good"
        for number in range(1000):
            junk = unsigned({**header, "kid": f"random-{number}"}, claims, b"x" * 256)
            assert await trust.reason(junk) == "kid-unknown"
        return trust.issuer.keys.fetches

    assert trusting(provider.settings, body) == 2


def test_userinfo_tells_name_and_address_where_the_token_is_taken(
    canaille_provider: Provider, canaille_tokens: Tokens, node_provider: Provider, node_tokens: Tokens
) -> None:
    profile = trusting(
        canaille_provider.settings,
        lambda trust: fetch_profile(trust.issuer, trust.http, access_token=canaille_tokens.access_token, sub="alice"),
    )
    assert profile is not None
    assert (profile.email, profile.email_verified, profile.name) == ("alice@hospital.example", True, "Alice Example")
    opaque = node_provider.tokens("bob").access_token
    profile = trusting(
        node_provider.settings, lambda trust: fetch_profile(trust.issuer, trust.http, access_token=opaque, sub="bob")
    )
    assert profile is not None
    assert (profile.email, profile.email_verified, profile.name) == ("bob@hospital.example", False, "Bob Brown")
    refused = trusting(
        node_provider.settings,
        lambda trust: fetch_profile(trust.issuer, trust.http, access_token=node_tokens.access_token, sub="alice"),
    )
    assert refused is None


def test_provider_that_restarts_with_new_keys_and_then_goes_down(tmp_path: Path) -> None:
    """One story: rotation is followed at once, the old key dies with its time, known keys outlive the provider."""

    async def body(trust: Trust) -> None:
        assert await trust.reason(old) == "good"
        with oidc_provider(tmp_path, port=port) as second:
            new = second.tokens("alice", resource="urn:kheops:RS256", scope=SCOPE).access_token
            other = second.tokens("bob", resource="urn:kheops:RS256", scope=SCOPE).access_token
            assert await trust.reason(old) == "good"
            assert await trust.reason(new) == "good"
            assert await trust.reason(old) == "kid-unknown"
        assert await trust.reason(new) == "good"
        trust.moved = KEYS_TTL + 1
        assert await trust.reason(other) == "good"
        trust.moved = KEYS_TTL + KEYS_STALE + 1
        with pytest.raises(IdentityProviderUnavailableError):
            await trust.verifier.verify(other)

    with oidc_provider(tmp_path) as first:
        old = first.tokens("alice", resource="urn:kheops:RS256", scope=SCOPE).access_token
        settings = first.settings
        port = urlsplit(first.issuer).port
        # The keys must be at hand before the first provider ends.
        kept = trusting(settings, lambda trust: trust.reason(old))
    assert kept == "good"
    with pytest.raises(IdentityProviderUnavailableError):
        trusting(settings, lambda trust: trust.reason(old))


def test_wrong_password_does_not_log_in(canaille_provider: Provider) -> None:
    url = httpx.URL(
        canaille_provider.endpoint("authorization_endpoint"),
        params={
            "response_type": "code",
            "client_id": "kheops-web",
            "redirect_uri": REDIRECT_URI,
            "scope": "openid",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        },
    )
    with pytest.raises(LoginFailedError):
        log_in(str(url), redirect_uri=REDIRECT_URI, user="alice", password="a guess")
