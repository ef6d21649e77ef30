"""Discovery documents that are taken and those that are not, and the bounds of everything asked of an issuer."""

import asyncio
import logging
import time

import pytest

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity import answers
from kheops.identity.answers import ask
from kheops.identity.control_client import control_client
from kheops.identity.issuers import METADATA_TTL
from tests.fakes.jwks_server import FakeIssuer, running
from tests.unit.identity.bench import KEY, Bench, on_bench


def test_metadata_is_what_the_document_says(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        metadata = await bench.issuer.metadata()
        assert metadata.issuer == fake.issuer
        assert metadata.jwks_uri == f"{fake.issuer}/jwks"
        assert metadata.userinfo_endpoint == f"{fake.issuer}/userinfo"
        assert metadata.sends_iss

    on_bench(fake, body)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://elsewhere.example"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "http://192.0.2.1/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://user:word@idp.example/jwks"},
        {"jwks_uri": "http://localhost.elsewhere.example/jwks"},
        {"jwks_uri": ["https://idp.example"]},
        {"jwks_uri": "https://[broken"},
        {"token_endpoint": "http://idp.example/token"},
        {"userinfo_endpoint": "http://10.0.0.1/userinfo"},
    ],
)
def test_discovery_document_that_cannot_be_trusted_counts_as_none(fake: FakeIssuer, change: dict[str, object]) -> None:
    fake.metadata |= change

    async def body(bench: Bench) -> None:
        with pytest.raises(IdentityProviderUnavailableError):
            await bench.verifier.verify(bench.token())

    on_bench(fake, body)
    assert not fake.jwks_hits


def test_issuer_may_be_reached_at_another_address_than_its_name(fake: FakeIssuer) -> None:
    name = "https://login.hospital.example"
    fake.metadata["issuer"] = name

    async def body(bench: Bench) -> None:
        issuer = bench.verifier.issuers.get(name)
        assert issuer is not None
        assert (await issuer.metadata()).issuer == name
        verified = await bench.verifier.verify(bench.token(iss=name))
        assert verified is not None
        assert verified.iss == name
        assert await bench.reason(bench.token()) == "not mine"

    on_bench(fake, body, issuer=name, discovery_url=f"{fake.issuer}/.well-known/openid-configuration")


def test_two_issuers_do_not_vouch_for_each_other(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> str:
        return await bench.reason(KEY.sign(bench.claims(iss=other.issuer), typ="at+jwt"))

    with running(KEY) as other:
        assert on_bench(fake, body) == "not mine"
        assert not other.asked


def test_metadata_is_fetched_again_after_its_time_and_kept_while_the_issuer_is_down(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        await bench.issuer.metadata()
        fake.metadata["jwks_uri"] = f"{fake.issuer}/moved"
        bench.clock.move(METADATA_TTL)
        assert (await bench.issuer.metadata()).jwks_uri == f"{fake.issuer}/moved"
        fake.mode = "down"
        bench.clock.move(METADATA_TTL + 1)
        assert (await bench.issuer.metadata()).jwks_uri == f"{fake.issuer}/moved"

    on_bench(fake, body)


def _ask(url: str) -> answers.JsonAnswer:
    async def body() -> answers.JsonAnswer:
        async with control_client() as http:
            return await ask(http, "GET", url)

    return asyncio.run(body())


def test_dripping_answer_ends_at_the_deadline(fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_TIMEOUT", 0.3)
    fake.mode = "drip"
    before = time.monotonic()
    with pytest.raises(IdentityProviderUnavailableError):
        _ask(f"{fake.issuer}/.well-known/openid-configuration")
    assert time.monotonic() - before < 2


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("down", "RemoteProtocolError"),
        ("error", "status 500"),
        ("giant", "too large"),
        ("compressed", "compressed"),
        ("not-json", "no JSON object"),
    ],
)
def test_answer_out_of_bounds_is_no_answer(
    fake: FakeIssuer, mode: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert _ask(f"{fake.issuer}/jwks").ok
    fake.mode = mode  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING), pytest.raises(IdentityProviderUnavailableError):
        _ask(f"{fake.issuer}/jwks")
    assert [record.__dict__["reason"] for record in caplog.records] == [reason]


def test_redirect_is_not_followed(fake: FakeIssuer) -> None:
    fake.mode = "redirect"
    assert _ask(f"{fake.issuer}/userinfo").status == 302
    assert fake.hits == {"/userinfo": 1}


def test_unreachable_issuer_is_unavailable() -> None:
    with running() as gone:
        url = gone.issuer
    with pytest.raises(IdentityProviderUnavailableError):
        _ask(url)


def test_cookies_of_one_answer_do_not_travel_to_the_next_request(fake: FakeIssuer) -> None:
    async def body() -> None:
        async with control_client() as http:
            for _ in range(2):
                await ask(http, "GET", f"{fake.issuer}/jwks")

    asyncio.run(body())
    assert len(fake.asked) == 2
    assert all("Cookie" not in each.headers for each in fake.asked)


def test_log_of_a_failure_holds_neither_query_nor_credential(
    fake: FakeIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    fake.mode = "error"

    async def body() -> None:
        async with control_client() as http:
            await ask(http, "POST", f"{fake.issuer}/token?q=s3cret", headers={"X": "s3cret"}, form={"code": "s3cret"})

    with caplog.at_level(logging.WARNING), pytest.raises(IdentityProviderUnavailableError):
        asyncio.run(body())
    assert [record.message for record in caplog.records] == ["issuer.no_answer"]
    assert "s3cret" not in str([record.__dict__ for record in caplog.records])
