"""Which keys are trusted, for how long, and how often an issuer is asked for them."""

import asyncio
import logging
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.jwks import COOL_DOWN, KEYS_STALE, KEYS_TTL, parse_jwks
from kheops.identity.kept import BACK_OFF
from tests.fakes.jwks_server import FakeIssuer, SigningKey
from tests.unit.identity.bench import KEY, Bench, on_bench

SECOND = SigningKey("second", number=1)
THIRD = SigningKey("third", number=2)


def test_new_key_is_accepted_on_the_first_call_after_rotation(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        fake.publish(KEY, SECOND)
        bench.clock.move(1)
        assert await bench.reason(bench.token(SECOND)) == "good"

    on_bench(fake, body)
    assert fake.jwks_hits == 2


def test_new_key_waits_for_the_cool_down_that_an_unknown_one_began(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        assert await bench.reason(bench.token(THIRD)) == "kid-unknown"
        fake.publish(KEY, SECOND)
        bench.clock.move(COOL_DOWN - 1)
        assert await bench.reason(bench.token(SECOND)) == "kid-unknown"
        bench.clock.move(1)
        assert await bench.reason(bench.token(SECOND)) == "good"

    on_bench(fake, body)


@pytest.mark.parametrize("at_once", [True, False])
def test_storm_of_unknown_kids_causes_one_fetch(fake: FakeIssuer, at_once: bool) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        tokens = [bench.token(SigningKey(f"random-{number}", number=7)) for number in range(1000)]
        if at_once:
            reasons = set(await asyncio.gather(*(bench.reason(token) for token in tokens)))
        else:
            reasons = {await bench.reason(token) for token in tokens}
        assert reasons == {"kid-unknown"}

    on_bench(fake, body)
    assert fake.jwks_hits == 2


def test_first_call_with_an_unknown_kid_does_not_fetch_twice(fake: FakeIssuer) -> None:
    assert on_bench(fake, lambda bench: bench.reason(bench.token(SECOND))) == "kid-unknown"
    assert fake.jwks_hits == 1


def test_removed_key_is_refused_after_its_time_to_live(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token(jti="a")) == "good"
        fake.publish(SECOND)
        bench.clock.move(KEYS_TTL)
        assert await bench.reason(bench.token(jti="b")) == "kid-unknown"

    on_bench(fake, body)


def test_keys_are_renewed_ahead_of_time_without_anybody_waiting(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        keys = bench.issuer.keys
        before = await keys.current()
        fake.publish(SECOND)
        fake.delay = 0.5
        bench.clock.move(KEYS_TTL * 0.9)
        assert await keys.current() is before
        assert keys._kept.fetching
        renewed = await keys._kept.renew()
        assert [key.kid for key in renewed.keys] == ["second"]
        assert keys.at_hand() is renewed
        assert fake.jwks_hits == 2

    on_bench(fake, body)


@pytest.mark.parametrize("mode", ["down", "error", "not-json", "giant", "compressed", "redirect"])
def test_known_keys_serve_while_the_issuer_gives_no_usable_answer(
    fake: FakeIssuer, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        fake.mode = mode  # type: ignore[assignment]
        bench.clock.move(KEYS_TTL + KEYS_STALE - 1)
        assert await bench.reason(bench.token(jti="new")) == "good"
        bench.clock.move(1)
        with pytest.raises(IdentityProviderUnavailableError):
            await bench.verifier.verify(bench.token(jti="newer"))
        fake.mode = "up"
        bench.clock.move(BACK_OFF)
        assert await bench.reason(bench.token(jti="newest")) == "good"

    with caplog.at_level(logging.WARNING):
        on_bench(fake, body)
    assert "issuer.document_not_renewed" in caplog.messages


def test_token_verified_before_is_refused_as_unavailable_once_keys_are_too_old(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token(exp=int(bench.clock.now().timestamp()) + 10_000)
        assert await bench.reason(token) == "good"
        fake.mode = "down"
        bench.clock.move(KEYS_TTL + KEYS_STALE)
        with pytest.raises(IdentityProviderUnavailableError):
            await bench.verifier.verify(token)

    on_bench(fake, body)


def test_issuer_that_is_down_from_the_start_is_unavailable_and_not_asked_by_every_call(fake: FakeIssuer) -> None:
    fake.mode = "down"

    async def body(bench: Bench) -> None:
        async def outcome() -> str:
            try:
                return await bench.reason(bench.token())
            except IdentityProviderUnavailableError:
                return "unavailable"

        assert set(await asyncio.gather(*(outcome() for _ in range(50)))) == {"unavailable"}
        assert {await outcome() for _ in range(50)} == {"unavailable"}
        assert fake.hits.total() == 1
        fake.mode = "up"
        assert await outcome() == "unavailable"
        bench.clock.move(BACK_OFF)
        assert await outcome() == "good"

    on_bench(fake, body)


def test_unknown_kid_while_the_issuer_is_down_is_unavailable_and_not_refused(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        fake.mode = "down"
        for _ in range(20):
            with pytest.raises(IdentityProviderUnavailableError):
                await bench.verifier.verify(bench.token(SECOND))
        assert fake.jwks_hits == 2
        assert await bench.reason(bench.token(jti="known")) == "good"
        fake.mode = "up"
        fake.publish(KEY, SECOND)
        bench.clock.move(BACK_OFF)
        assert await bench.reason(bench.token(SECOND)) == "good"

    on_bench(fake, body)


def test_nobody_waits_for_an_issuer_known_to_hang(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        keys = bench.issuer.keys
        before = await keys.current()
        fake.mode = "down"
        bench.clock.move(KEYS_TTL + 1)
        assert await keys.current() is before
        assert not keys._kept.fetching
        fake.delay = 0.5
        bench.clock.move(BACK_OFF)
        assert await keys.current() is before
        assert keys._kept.fetching

    on_bench(fake, body)


def test_old_failure_does_not_keep_a_removed_key_alive(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        assert await bench.reason(bench.token()) == "good"
        fake.mode = "down"
        bench.clock.move(KEYS_TTL + 1)
        assert await bench.reason(bench.token(jti="a")) == "good"
        fake.mode = "up"
        fake.publish(SECOND)
        bench.clock.move(KEYS_STALE / 2)
        assert await bench.reason(bench.token(jti="b")) == "kid-unknown"

    on_bench(fake, body)


def test_cancelled_caller_does_not_end_the_fetch_of_the_others(fake: FakeIssuer) -> None:
    fake.delay = 0.1

    async def body(bench: Bench) -> str:
        first = asyncio.create_task(bench.reason(bench.token(jti="a")))
        second = asyncio.create_task(bench.reason(bench.token(jti="b")))
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    assert on_bench(fake, body) == "good"
    assert fake.jwks_hits == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"use": "enc"}, "for encryption"),
        ({"key_ops": ["sign"]}, "may not verify"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "symmetric"),
        ({"d": "AQAB"}, "private"),
        ({"kty": "OKP"}, "of a type not accepted"),
        ({"n": "!!"}, "malformed"),
        ({"n": None}, "incomplete"),
        ({"kid": 7}, "name no text"),
    ],
)
def test_key_that_may_not_verify_is_left_out(change: Mapping[str, object], why: str) -> None:
    good = SECOND.jwk()
    assert [key.kid for key in parse_jwks({"keys": [KEY.jwk(**change), "junk", good]}).keys] == ["second"], why


def test_private_key_is_left_out_even_if_its_issuer_publishes_it() -> None:
    private = SECOND.private
    assert isinstance(private, rsa.RSAPrivateKey)
    published = {**RSAAlgorithm.to_jwk(private, as_dict=True), "kid": "second", "key_ops": ["verify"]}
    assert [key.kid for key in parse_jwks({"keys": [published, KEY.jwk()]}).keys] == ["first"]


def test_rsa_key_under_2048_bits_is_left_out() -> None:
    short = SigningKey("short", bits=1024, number=9)
    assert [key.kid for key in parse_jwks({"keys": [short.jwk(), KEY.jwk()]}).keys] == ["first"]


def test_key_without_use_or_alg_serves_every_algorithm_of_its_type() -> None:
    keys = parse_jwks({"keys": [KEY.jwk(use=None, alg=None)]})
    assert keys.find("first", "RS256") is keys.find("first", "PS256") is keys.keys[0]


def test_curve_must_be_the_algorithms_own() -> None:
    key = parse_jwks({"keys": [SigningKey("curve", "ES384").jwk(alg=None)]}).keys[0]
    assert key.fits("ES384")
    assert not key.fits("ES256")
    assert not key.fits("RS256")


def test_two_keys_of_one_name_are_told_apart_by_type_and_refused_if_both_fit(fake: FakeIssuer) -> None:
    curve, twin = SigningKey("first", "ES256", number=1), SigningKey("first", number=1)
    fake.published = [KEY.jwk(), curve.jwk()]
    assert on_bench(fake, lambda bench: bench.reason(bench.token(curve))) == "good"
    fake.published = [KEY.jwk(), twin.jwk()]
    assert on_bench(fake, lambda bench: bench.reason(bench.token())) == "kid-ambiguous"


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": [{}] * 101}])
def test_what_is_no_key_set_counts_as_no_answer(document: Mapping[str, object]) -> None:
    with pytest.raises(IdentityProviderUnavailableError):
        parse_jwks(document)


def test_same_keys_fetched_again_are_the_same_set(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        before = await bench.issuer.keys.current()
        bench.clock.move(KEYS_TTL)
        assert await bench.issuer.keys.current() is before
        fake.published = [KEY.jwk(alg=None)]
        bench.clock.move(KEYS_TTL)
        assert await bench.issuer.keys.current() is not before

    on_bench(fake, body)
    assert fake.jwks_hits == 3
