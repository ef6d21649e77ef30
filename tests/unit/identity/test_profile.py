"""By which rules an e-mail address counts as verified, and what is asked of the userinfo endpoint."""

import pytest

from kheops.config import IssuerSettings
from kheops.domain.profiles import Profile
from kheops.errors import IdentityProviderUnavailableError, InvalidTokenError
from kheops.identity.profile import completed, profile_of, role_claims_of
from kheops.identity.userinfo import UserinfoClient
from tests.fakes.jwks_server import FakeIssuer
from tests.unit.identity.bench import Bench, on_bench, settings_for

ADDRESS = "alice@hospital.example"


def _settings(**changes: object) -> IssuerSettings:
    return settings_for(FakeIssuer(issuer="https://idp.example"), **changes)


@pytest.mark.parametrize(
    ("address", "domains"),
    [
        ("\u212aevin@hospital.example", ("hospital.example",)),
        ("k\u00e9vin@hospital.example", ("*",)),
        ("kevin@\u212aliniek.example", ("kliniek.example",)),
        ("kevin@stra\u00dfe.example", ("strasse.example",)),
    ],
)
def test_an_address_beyond_ascii_is_never_verified(address: str, domains: tuple[str, ...]) -> None:
    profile = profile_of({"email": address, "email_verified": True}, _settings(email_domains=domains))
    assert (profile.email, profile.email_verified) == (address, False)


@pytest.mark.parametrize(
    ("claims", "changes", "verified"),
    [
        ({"email_verified": True}, {}, True),
        ({"email_verified": False}, {}, False),
        ({}, {}, False),
        ({"email_verified": "true"}, {}, False),
        ({"email_verified": 1}, {}, False),
        ({"email_verified": True}, {"email_domains": ()}, False),
        ({"email_verified": True}, {"email_domains": ("other.example",)}, False),
        ({"email_verified": True}, {"email_domains": ("example",)}, False),
        ({"email_verified": True}, {"email_domains": ("HOSPITAL.example",)}, True),
        ({"email_verified": True}, {"email_domains": ("*",)}, True),
        ({}, {"email_verified": "assumed"}, True),
        ({"email_verified": False}, {"email_verified": "assumed"}, False),
        ({"email_verified": None}, {"email_verified": "assumed"}, False),
        ({}, {"email_verified": "assumed", "email_domains": ("other.example",)}, False),
    ],
)
def test_address_is_verified_by_the_issuers_rules_only(
    claims: dict[str, object], changes: dict[str, object], verified: bool
) -> None:
    assert profile_of({"email": ADDRESS, **claims}, _settings(**changes)) == Profile(ADDRESS, verified, None)


@pytest.mark.parametrize(
    "address",
    [
        None,
        7,
        "",
        "alice",
        "@hospital.example",
        "a b@hospital.example",
        "a@b@hospital.example",
        "a\n@hospital.example",
        "x" * 65 + "@hospital.example",
        "alice@hospital.example\n",
        ["alice@hospital.example"],
    ],
)
def test_malformed_address_is_none_and_never_verified(address: object) -> None:
    profile = profile_of({"email": address, "email_verified": True}, _settings(email_domains=("*",)))
    assert profile == Profile(None, email_verified=False, name=None)


@pytest.mark.parametrize(
    ("name", "kept"), [("山田^太郎", True), ("", False), ("a\nb", False), ("a" * 256, False), (7, False)]
)
def test_name_is_kept_if_it_can_be_shown(name: object, kept: bool) -> None:
    assert profile_of({"name": name}, _settings()).name == (name if kept else None)


def test_role_claim_with_the_whole_dotted_name_goes_before_the_nested_one() -> None:
    claims = {"a.b": "flat", "a": {"b": ["nested"]}, "n": 7, "x": {"y": 1}}
    names = frozenset({"a.b", "n", "x.y", "x.y.z", "absent"})
    assert role_claims_of(claims, names) == {"a.b": ("flat",)}


def _fetch(fake: FakeIssuer, **changes: object) -> Profile | None:
    async def body(bench: Bench) -> Profile | None:
        token = bench.token(email="alice@other.example", name="Alice by her token")
        verified = await bench.verifier.verify(token)
        assert verified is not None
        profile = await UserinfoClient(bench.verifier.issuers, bench.http).fetch(token, verified)
        assert fake.asked[-1].headers.get("Authorization", f"Bearer {token}") == f"Bearer {token}"
        return profile

    return on_bench(fake, body, role_claims=frozenset(), **changes)


def test_userinfo_is_asked_with_the_callers_token_and_read_by_the_issuers_rules(fake: FakeIssuer) -> None:
    fake.userinfo = (200, {"sub": "alice", "email": ADDRESS, "email_verified": True, "name": "Alice D"})
    assert _fetch(fake) == Profile(ADDRESS, email_verified=True, name="Alice D")
    assert "Authorization" in fake.asked[-1].headers
    assert _fetch(fake, email_domains=()) == Profile(ADDRESS, email_verified=False, name="Alice D")


@pytest.mark.parametrize("document", [{"sub": "bob", "email": ADDRESS}, {"email": ADDRESS}, {"sub": ["alice"]}])
def test_userinfo_about_somebody_else_is_refused(fake: FakeIssuer, document: dict[str, object]) -> None:
    fake.userinfo = (200, document)
    with pytest.raises(InvalidTokenError) as caught:
        _fetch(fake)
    assert caught.value.reason == "userinfo-sub"


def test_userinfo_that_does_not_take_the_token_says_nothing(fake: FakeIssuer) -> None:
    fake.userinfo = (401, {"sub": "alice", "email": ADDRESS})
    assert _fetch(fake) is None


def test_issuer_without_userinfo_says_nothing(fake: FakeIssuer) -> None:
    del fake.metadata["userinfo_endpoint"]
    assert _fetch(fake) is None


def test_userinfo_that_is_out_of_order_is_unavailable(fake: FakeIssuer) -> None:
    fake.userinfo = (503, {})
    with pytest.raises(IdentityProviderUnavailableError):
        _fetch(fake)


def test_token_completes_what_userinfo_lacks_but_lends_it_no_verification(fake: FakeIssuer) -> None:
    fake.userinfo = (200, {"sub": "alice", "email_verified": True})
    assert _fetch(fake) == Profile("alice@other.example", email_verified=False, name="Alice by her token")
    verified, unverified = Profile("a@x.example", True, None), Profile("b@x.example", False, "B")
    assert completed(unverified, verified) == unverified
    assert completed(verified, unverified) == Profile("a@x.example", True, "B")
