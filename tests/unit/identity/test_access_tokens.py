"""What good tokens say, how issuers differ, and how long a verified token is believed."""

import asyncio
import hashlib
from datetime import timedelta

import pytest

from kheops.errors import InvalidTokenError
from kheops.identity import access_tokens
from tests.fakes.jwks_server import FakeIssuer, SigningKey
from tests.unit.identity.bench import AUDIENCE, KEY, Bench, on_bench


def test_good_token_says_who_calls(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        verified = await bench.verifier.verify(
            bench.token(
                aud=["other", AUDIENCE],
                email="Alice@Hospital.example",
                email_verified=True,
                name="Alice D",
                act={"sub": "helpdesk"},
                groups=["radiology", 7, "research"],
                realm_access={"roles": ["admin"]},
            )
        )
        assert verified is not None
        assert (verified.iss, verified.sub, verified.token_id) == (fake.issuer, "alice", "token-1")
        assert verified.expires_at == bench.clock.now() + timedelta(seconds=600)
        assert verified.acting_party == "helpdesk"
        assert (verified.email, verified.email_verified, verified.name) == ("Alice@Hospital.example", True, "Alice D")
        assert verified.claims == {"groups": ("radiology", "research"), "realm_access.roles": ("admin",)}

    on_bench(fake, body, role_claims=frozenset({"groups", "realm_access.roles", "absent"}))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256"])
def test_each_default_algorithm_is_accepted(fake: FakeIssuer, algorithm: str) -> None:
    key = SigningKey("other", algorithm, number=1)
    fake.publish(KEY, key)
    assert on_bench(fake, lambda bench: bench.reason(bench.token(key))) == "good"


def test_algorithm_outside_the_list_of_its_issuer_is_refused(fake: FakeIssuer) -> None:
    key = SigningKey("other", "ES256", number=1)
    fake.publish(KEY, key)
    assert on_bench(fake, lambda bench: bench.reason(bench.token(key)), algorithms=("RS256",)) == "alg"


@pytest.mark.parametrize(
    ("offsets", "reason"),
    [
        ({"exp": -59}, "good"),
        ({"exp": -60}, "expired"),
        ({"nbf": 60}, "good"),
        ({"iat": 60}, "good"),
        ({"nbf": 60.5}, "not-yet-valid"),
    ],
)
def test_leeway_is_sixty_seconds(fake: FakeIssuer, offsets: dict[str, float], reason: str) -> None:
    async def body(bench: Bench) -> str:
        seconds = bench.clock.now().timestamp()
        return await bench.reason(bench.token(KEY, **{name: seconds + value for name, value in offsets.items()}))

    assert on_bench(fake, body) == reason


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_typ_is_compared_as_a_media_type(fake: FakeIssuer, typ: str) -> None:
    assert on_bench(fake, lambda bench: bench.reason(KEY.sign(bench.claims(), typ=typ))) == "good"


@pytest.mark.parametrize(("claims", "reason"), [({"scope": "x"}, "good"), ({}, "not-an-access-token")])
def test_issuer_may_tell_its_access_tokens_by_a_claim(
    fake: FakeIssuer, claims: dict[str, object], reason: str
) -> None:
    async def body(bench: Bench) -> str:
        return await bench.reason(KEY.sign(bench.claims(typ="Bearer", **claims), typ="JWT"))

    assert on_bench(fake, body, access_token_typ=None, access_token_claim="scope") == reason


@pytest.mark.parametrize(("claims", "reason"), [({}, "good"), ({"amr": ["pwd"]}, "id-token")])
def test_issuer_may_tell_its_id_tokens_by_a_claim(fake: FakeIssuer, claims: dict[str, object], reason: str) -> None:
    async def body(bench: Bench) -> str:
        return await bench.reason(KEY.sign(bench.claims(**claims), typ="JWT"))

    assert on_bench(fake, body, access_token_typ=None, id_token_claims=("amr",)) == reason


def test_token_without_jti_is_named_by_its_digest_and_never_by_itself(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token(jti=None)
        verified = await bench.verifier.verify(token)
        assert verified is not None
        assert verified.token_id == "sha256:" + hashlib.sha256(token.encode()).hexdigest()[:16]
        assert token not in repr(verified)

    on_bench(fake, body)


def test_token_without_kid_is_good_if_one_key_fits_and_refused_if_two_do(fake: FakeIssuer) -> None:
    nameless = SigningKey(None)

    async def body(bench: Bench) -> str:
        return await bench.reason(bench.token(nameless))

    assert on_bench(fake, body) == "good"
    fake.publish(KEY, SigningKey("other", number=1))
    assert on_bench(fake, body) == "kid-missing"


def test_verified_token_is_believed_no_longer_than_it_lives(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token(exp=int(bench.clock.now().timestamp()) + 100)
        assert await bench.reason(token) == "good"
        bench.clock.move(159)
        assert await bench.reason(token) == "good"
        bench.clock.move(1)
        assert await bench.reason(token) == "expired"

    on_bench(fake, body)


def test_verified_token_is_not_verified_again_within_five_minutes(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token()
        first = await bench.verifier.verify(token)
        assert await bench.verifier.verify(token) is first
        bench.clock.move(299)
        assert await bench.verifier.verify(token) is first
        bench.clock.move(1)
        again = await bench.verifier.verify(token)
        assert again == first
        assert again is not first

    on_bench(fake, body)


def test_refused_token_is_never_kept(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token(nbf=int(bench.clock.now().timestamp()) + 100)
        assert await bench.reason(token) == "not-yet-valid"
        bench.clock.move(41)
        assert await bench.reason(token) == "good"

    on_bench(fake, body)


def test_verified_tokens_kept_are_bounded_and_the_longest_unused_goes(
    fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "CACHE_SIZE", 3)

    async def body(bench: Bench) -> None:
        tokens = [bench.token(jti=f"token-{number}") for number in range(4)]
        first = [await bench.verifier.verify(token) for token in tokens[:3]]
        assert await bench.verifier.verify(tokens[0]) is first[0]
        await bench.verifier.verify(tokens[3])
        assert len(bench.verifier._known) == 3
        assert await bench.verifier.verify(tokens[0]) is first[0]
        assert await bench.verifier.verify(tokens[1]) is not first[1]

    on_bench(fake, body)


def test_verified_tokens_that_nobody_sent_again_are_not_kept_beyond_their_time(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        for number in range(5):
            await bench.verifier.verify(bench.token(jti=f"token-{number}"))
        assert len(bench.verifier._known) == 5
        bench.clock.move(300)
        await bench.verifier.verify(bench.token(jti="later"))
        assert len(bench.verifier._known) == 1

    on_bench(fake, body)


def test_verified_tokens_that_list_many_groups_are_kept_by_their_weight(
    fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "CACHE_BYTES", 40_000)

    async def body(bench: Bench) -> None:
        plain = [bench.token(jti=f"plain-{number}") for number in range(20)]
        first = [await bench.verifier.verify(token) for token in plain]
        assert await bench.verifier.verify(plain[0]) is first[0], "plain ones weigh little"
        groups = [f"group-{number:030}" for number in range(200)]
        heavy = [bench.token(jti=f"heavy-{number}", groups=groups) for number in range(3)]
        kept = [await bench.verifier.verify(token) for token in heavy]
        assert len(bench.verifier._known) <= 3
        assert await bench.verifier.verify(heavy[2]) is kept[2]
        assert await bench.verifier.verify(plain[0]) is not first[0]
        bench.clock.move(400)
        for token in (*plain, *heavy):
            await bench.verifier.verify(token)
        assert bench.verifier._weight == sum(each.weight for each in bench.verifier._known.values()) <= 40_000

    on_bench(fake, body, role_claims=frozenset({"groups"}))


def test_verified_token_is_dropped_when_its_key_is_removed(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        await bench.issuer.keys.current()
        bench.clock.move(200)
        token = bench.token()
        assert await bench.reason(token) == "good"
        fake.publish(SigningKey("second", number=1))
        bench.clock.move(99)
        assert await bench.reason(token) == "good"
        bench.clock.move(1)
        assert await bench.reason(token) == "kid-unknown"

    on_bench(fake, body)


def test_verified_token_is_dropped_as_soon_as_another_token_shows_that_its_key_is_gone(fake: FakeIssuer) -> None:
    second = SigningKey("second", number=1)

    async def body(bench: Bench) -> None:
        token = bench.token()
        assert await bench.reason(token) == "good"
        fake.publish(second)
        assert await bench.reason(bench.token(second)) == "good"
        assert await bench.reason(token) == "kid-unknown"

    on_bench(fake, body)


def test_hundred_first_calls_at_once_ask_for_keys_once(fake: FakeIssuer) -> None:
    fake.delay = 0.05

    async def body(bench: Bench) -> None:
        tokens = [bench.token(jti=str(number)) for number in range(100)]
        reasons = await asyncio.gather(*(bench.reason(token) for token in tokens))
        assert set(reasons) == {"good"}

    on_bench(fake, body)
    assert fake.hits == {"/.well-known/openid-configuration": 1, "/jwks": 1}


def test_refusal_tells_the_caller_nothing_of_its_reason(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        token = bench.token(aud="somebody-else")
        with pytest.raises(InvalidTokenError) as caught:
            await bench.verifier.verify(token)
        assert caught.value.detail == "The token is not valid here, or no longer."
        assert token not in str(caught.value) + repr(caught.value)
        assert caught.value.__suppress_context__

    on_bench(fake, body)
