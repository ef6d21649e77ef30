"""One table of tokens that must not pass, each refused for its own reason."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.jwks_server import FakeIssuer, SigningKey, encoded, hmac_signed, segment, unsigned
from tests.unit.identity.bench import AUDIENCE, KEY, Bench, on_bench

STRANGER = SigningKey("first", number=7)
"""Another key under the published key's name."""
HEADER = {"alg": "RS256", "kid": "first", "typ": "at+jwt"}


def _changed(**changes: object) -> Callable[[Bench], str]:
    return lambda bench: bench.token(KEY, **changes)


def _header(**changes: object) -> Callable[[Bench], str]:
    return lambda bench: KEY.sign(bench.claims(), **{"typ": "at+jwt", **changes})


def _seconds(bench: Bench, offset: float) -> int:
    return int(bench.clock.now().timestamp() + offset)


def _tampered(bench: Bench) -> str:
    header, _, signature = bench.token().split(".")
    return f"{header}.{segment(bench.claims(sub='bob'))}.{signature}"


def _respelled(number: int, change: Callable[[str], str]) -> Callable[[Bench], str]:
    """Write one segment of a good token otherwise, so that careless decoders find the same bytes in it."""

    def make(bench: Bench) -> str:
        segments = bench.token().split(".")
        segments[number] = change(segments[number])
        return ".".join(segments)

    return make


def _padded(segment: str) -> str:
    return segment + "=" * (-len(segment) % 4 or 4)


def _with_idle_bits(segment: str) -> str:
    """Change the bits of the last letter that stand for no byte; an RSA signature of 256 bytes has four."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 == 2
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


BAD: list[tuple[str, Callable[[Bench], str], str]] = [
    ("empty", lambda _: "", "not mine"),
    ("no JWT", lambda _: "0123456789abcdefABCDEF", "not mine"),
    ("two segments", lambda b: ".".join(b.token().split(".")[:2]), "not mine"),
    ("five segments, as a JWE", lambda b: b.token() + ".x.y", "not mine"),
    ("header no JSON", lambda b: f"{encoded(b'{')}.{segment(b.claims())}.AAAA", "not mine"),
    ("header a list", lambda b: f"{segment([])}.{segment(b.claims())}.AAAA", "not mine"),
    ("payload a list", lambda _: unsigned(HEADER, []), "not mine"),
    ("payload nested beyond all depth", lambda _: f"{segment(HEADER)}.{encoded(b'[' * 9000)}.AAAA", "not mine"),
    ("payload not UTF-8", lambda _: f"{segment(HEADER)}.{encoded(bytes([255]))}.AAAA", "not mine"),
    ("other issuer", _changed(iss="https://elsewhere.example"), "not mine"),
    ("issuer with a slash more", lambda b: b.token(iss=b.fake.issuer + "/"), "not mine"),
    ("no issuer", _changed(iss=None), "not mine"),
    ("issuer a list", lambda b: unsigned(HEADER, b.claims(iss=[b.fake.issuer])), "not mine"),
    ("over 16 KiB", _changed(filler="x" * 16384), "too-long"),
    ("alg none", lambda b: unsigned({**HEADER, "alg": "none"}, b.claims()), "alg"),
    ("alg None with a signature", lambda b: unsigned({**HEADER, "alg": "None"}, b.claims(), b"x" * 256), "alg"),
    ("alg absent", lambda b: unsigned({"kid": "first"}, b.claims(), b"x" * 256), "alg"),
    ("alg a list", lambda b: unsigned({**HEADER, "alg": ["RS256"]}, b.claims(), b"x" * 256), "alg"),
    ("HS256 with the public key", lambda b: hmac_signed({**HEADER, "alg": "HS256"}, b.claims(), KEY.pem()), "alg"),
    ("RS384, not in the list", lambda b: SigningKey("first", "RS384").sign(b.claims(), typ="at+jwt"), "alg"),
    ("PS256 by a key that is for RS256", lambda b: b.token(SigningKey("first", "PS256")), "key-does-not-fit"),
    ("ES256 naming an RSA key", lambda b: b.token(SigningKey("first", "ES256")), "key-does-not-fit"),
    ("unknown kid", lambda b: b.token(SigningKey("second", number=7)), "kid-unknown"),
    ("kid a number", lambda b: unsigned({**HEADER, "kid": 1}, b.claims(), b"x" * 256), "kid-malformed"),
    ("known kid, other key", lambda b: b.token(STRANGER), "signature"),
    ("key in the header", lambda b: STRANGER.sign(b.claims(), typ="at+jwt", jwk=STRANGER.jwk()), "signature"),
    ("key by jku", lambda b: STRANGER.sign(b.claims(), typ="at+jwt", jku=f"{b.fake.issuer}/other"), "signature"),
    ("key by x5u", lambda b: STRANGER.sign(b.claims(), typ="at+jwt", x5u=f"{b.fake.issuer}/other"), "signature"),
    ("claims changed", _tampered, "signature"),
    ("signature empty", lambda b: b.token().rsplit(".", 1)[0] + ".", "signature"),
    ("signature with junk", lambda b: b.token() + "!", "malformed"),
    ("header padded", _respelled(0, _padded), "not mine"),
    ("payload padded", _respelled(1, _padded), "not mine"),
    ("payload with a line break", _respelled(1, lambda text: text[:8] + "\n" + text[8:]), "not mine"),
    ("signature padded", _respelled(2, _padded), "malformed"),
    ("signature with a line break", _respelled(2, lambda text: text[:8] + "\n" + text[8:]), "malformed"),
    ("signature with bits behind its end", _respelled(2, _with_idle_bits), "malformed"),
    ("signature in the other alphabet", _respelled(2, lambda text: text[:-2] + "+/"), "malformed"),
    ("unknown critical header", _header(crit=["x"], x=1), "crit"),
    ("critical header b64", lambda b: unsigned({**HEADER, "crit": ["b64"], "b64": False}, b.claims()), "crit"),
    ("other audience", _changed(aud="somebody-else"), "aud"),
    ("other audiences", _changed(aud=["somebody-else", "account"]), "aud"),
    ("audience in another case", _changed(aud=AUDIENCE.upper()), "aud"),
    ("audience an object", _changed(aud={AUDIENCE: 1}), "aud"),
    ("audience among numbers", _changed(aud=[AUDIENCE, 1]), "aud"),
    ("no audience", _changed(aud=None), "missing-aud"),
    ("no expiry", _changed(exp=None), "missing-exp"),
    ("no time of issue", _changed(iat=None), "missing-iat"),
    ("no subject", _changed(sub=None), "missing-sub"),
    ("expired beyond the leeway", lambda b: b.token(exp=_seconds(b, -60)), "expired"),
    ("expiry a text", lambda b: b.token(exp=str(_seconds(b, 600))), "malformed-exp"),
    ("expiry true", _changed(exp=True), "malformed-exp"),
    ("expiry infinite", _changed(exp=float("inf")), "malformed-exp"),
    ("expiry beyond all calendars", _changed(exp=10**300), "malformed-exp"),
    ("not yet valid", lambda b: b.token(nbf=_seconds(b, 61)), "not-yet-valid"),
    ("nbf a text", _changed(nbf="now"), "malformed-nbf"),
    ("issued in the future", lambda b: b.token(iat=_seconds(b, 61)), "issued-in-future"),
    ("subject empty", _changed(sub=""), "malformed-sub"),
    ("subject a number", lambda b: KEY.sign(b.claims(sub=[7]), typ="at+jwt"), "malformed-sub"),
    ("subject with a line break", _changed(sub="alice\nbob"), "malformed-sub"),
    ("subject over 255 characters", _changed(sub="a" * 256), "malformed-sub"),
    ("typ JWT", _header(typ="JWT"), "not-an-access-token"),
    ("no typ", _header(typ=None), "not-an-access-token"),
    ("typ of a logout token", _header(typ="logout+jwt"), "typ"),
    ("payload typ of Keycloak's ID token", _changed(typ="ID"), "typ"),
    ("payload typ of Keycloak's refresh token", _changed(typ="Refresh"), "typ"),
    ("nonce", _changed(nonce="n"), "id-token"),
    ("at_hash", _changed(at_hash="h"), "id-token"),
    ("c_hash", _changed(c_hash="h"), "id-token"),
    ("security event", _changed(events={}), "event-token"),
    ("bound to a key by DPoP", _changed(cnf={"jkt": "x"}), "sender-constrained"),
    ("act without a subject", _changed(act={}), "malformed-act"),
    ("act a text", _changed(act="bob"), "malformed-act"),
]


@pytest.mark.parametrize(("make", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_token_is_refused_for_its_own_reason(fake: FakeIssuer, make: Callable[[Bench], str], reason: str) -> None:
    async def body(bench: Bench) -> tuple[str, str, str]:
        return await bench.reason(bench.token()), await bench.reason(make(bench)), await bench.reason(make(bench))

    assert on_bench(fake, body) == ("good", reason, reason)
    assert not fake.hits["/other"]


UNSIGNED_HEADER = st.recursive(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), st.none() | st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
CLAIMS = st.dictionaries(
    st.sampled_from(
        ["sub", "aud", "exp", "iat", "nbf", "act", "email", "email_verified", "name", "jti", "typ", "groups"]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=2) | st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    max_size=5,
)


def test_junk_never_becomes_an_error_of_another_kind(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> set[str]:
        tokens: list[str] = []

        @given(header=UNSIGNED_HEADER, claims=CLAIMS, junk=st.text(max_size=40))
        @settings(max_examples=200, deadline=None, database=None)
        def collect(header: object, claims: dict[str, object], junk: str) -> None:
            tokens.extend([junk, f"{segment(header)}.{segment({**bench.claims(), **claims, 'x': junk})}.AAAA"])

        collect()
        return {await bench.reason(token) for token in tokens}

    assert on_bench(fake, body) <= {"not mine", "alg"}


def test_junk_that_is_well_signed_never_becomes_an_error_of_another_kind(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> set[str]:
        tokens: list[str] = []

        @given(claims=CLAIMS)
        @settings(max_examples=150, deadline=None, database=None)
        def collect(claims: dict[str, object]) -> None:
            tokens.append(KEY.sign({**bench.claims(), **claims}, typ="at+jwt"))

        collect()
        return {await bench.reason(token) for token in tokens}

    reasons = on_bench(fake, body, role_claims=frozenset({"groups"}))
    assert "good" in reasons
    assert len(reasons) > 3
