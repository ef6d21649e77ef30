"""Login in the browser before a fake issuer: what is sent, what is checked, and what is refused."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs, urlsplit

import pytest

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.login import (
    AuthorizationResponse,
    EndSession,
    LoggedIn,
    LoginRefusedError,
    LoginRequest,
    RelyingParty,
)
from tests.fakes.jwks_server import FakeIssuer, SigningKey, encoded
from tests.unit.identity.bench import KEY, Bench, on_bench

REDIRECT = "https://kheops.example/login/callback"
ACCESS_TOKEN = "an-access-token"
AT_HASH = encoded(hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16])


def _party(bench: Bench) -> RelyingParty:
    return RelyingParty(bench.verifier.issuers, bench.http, bench.clock.now, role_claims=frozenset({"groups"}))


def _response(fake: FakeIssuer, request: LoginRequest, **changes: str | None) -> AuthorizationResponse:
    good = AuthorizationResponse(state=request.state, code="the-code", iss=fake.issuer)
    return replace(good, **changes)


@dataclass(frozen=True)
class Grant:
    """What the issuer gives for the code: an ID token with these changes to a good one."""

    claims: Mapping[str, object] = field(default_factory=dict)
    key: SigningKey = KEY
    header: Mapping[str, object] = field(default_factory=dict)

    def given_by(self, bench: Bench, request: LoginRequest) -> None:
        claims = bench.claims(**{"aud": "kheops-web", "nonce": request.nonce, **self.claims})
        id_token = self.key.sign(claims, **self.header)
        bench.fake.token = (200, {"id_token": id_token, "access_token": ACCESS_TOKEN, "token_type": "Bearer"})


def _login(
    fake: FakeIssuer, grant: Grant | None = None, *, response: Mapping[str, str | None] | None = None
) -> LoggedIn:
    async def body(bench: Bench) -> LoggedIn:
        request = await _party(bench).start(fake.issuer, REDIRECT)
        (grant or Grant()).given_by(bench, request)
        return await _party(bench).finish(request, _response(fake, request, **(response or {})))

    return on_bench(fake, body)


def _refusal(fake: FakeIssuer, grant: Grant | None = None, *, response: Mapping[str, str | None] | None = None) -> str:
    with pytest.raises(LoginRefusedError) as caught:
        _login(fake, grant, response=response)
    return caught.value.reason


def test_browser_is_sent_with_code_pkce_state_and_nonce(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        one, other = [await _party(bench).start(fake.issuer, REDIRECT) for _ in range(2)]
        parts = urlsplit(one.url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{fake.issuer}/authorize"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(one.code_verifier.encode()).digest()).rstrip(b"=")
        assert parse_qs(parts.query) == {
            "tenant": ["one"],
            "response_type": ["code"],
            "client_id": ["kheops-web"],
            "redirect_uri": [REDIRECT],
            "scope": ["openid profile email"],
            "state": [one.state],
            "nonce": [one.nonce],
            "code_challenge": [challenge.decode()],
            "code_challenge_method": ["S256"],
        }
        secrets = [value for each in (one, other) for value in (each.state, each.nonce, each.code_verifier)]
        assert len(set(secrets)) == 6
        assert all(len(value) >= 43 for value in secrets)
        assert not any(value in repr(one) for value in secrets)

    on_bench(fake, body)


def test_login_says_who_logged_in(fake: FakeIssuer) -> None:
    profile = {"email": "alice@hospital.example", "email_verified": True, "name": "Alice D"}
    logged_in = _login(fake, Grant({**profile, "groups": ["r"], "at_hash": AT_HASH, "sid": "s"}))
    assert (logged_in.iss, logged_in.sub, logged_in.session) == (fake.issuer, "alice", "s")
    assert (logged_in.email, logged_in.email_verified, logged_in.name) == ("alice@hospital.example", True, "Alice D")
    assert logged_in.claims == {"groups": ("r",)}
    assert logged_in.access_token == ACCESS_TOKEN
    assert ACCESS_TOKEN not in repr(logged_in)
    assert logged_in.id_token not in repr(logged_in)
    assert not fake.hits["/userinfo"]


def test_public_client_redeems_the_code_with_its_verifier_and_no_secret(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> LoginRequest:
        request = await _party(bench).start(fake.issuer, REDIRECT)
        Grant().given_by(bench, request)
        await _party(bench).finish(request, _response(fake, request))
        return request

    request = on_bench(fake, body)
    asked = next(each for each in fake.asked if each.path == "/token")
    assert asked.form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": REDIRECT,
        "code_verifier": request.code_verifier,
        "client_id": "kheops-web",
    }
    assert "Authorization" not in asked.headers


def test_confidential_client_sends_its_secret_form_encoded_as_basic(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> None:
        request = await _party(bench).start(fake.issuer, REDIRECT)
        Grant().given_by(bench, request)
        await _party(bench).finish(request, _response(fake, request))

    on_bench(fake, body, client_secret="a:b c%é")
    asked = next(each for each in fake.asked if each.path == "/token")
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == b"kheops-web:a%3Ab+c%25%C3%A9"
    assert "client_id" not in asked.form


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"state": "another"}, "state"),
        ({"state": None}, "state"),
        ({"state": ""}, "state"),
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"code": None}, "code-missing"),
        ({"code": ""}, "code-missing"),
        ({"error": "access_denied"}, "denied"),
        ({"error": "server_error", "code": None}, "issuer-error"),
        ({"state": "another", "error": "access_denied"}, "state"),
    ],
)
def test_response_that_does_not_fit_is_refused_before_the_code_is_redeemed(
    fake: FakeIssuer, response: dict[str, str | None], reason: str
) -> None:
    assert _refusal(fake, response=response) == reason
    assert not fake.hits["/token"]


def test_issuer_that_does_not_announce_iss_may_leave_it_out_but_not_lie(fake: FakeIssuer) -> None:
    del fake.metadata["authorization_response_iss_parameter_supported"]
    assert _login(fake, response={"iss": None}).sub == "alice"
    assert _refusal(fake, response={"iss": "https://elsewhere.example"}) == "iss"


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (Grant({"nonce": "another"}), "id-token-nonce"),
        (Grant({"nonce": None}), "id-token-nonce"),
        (Grant({"nonce": 7}), "id-token-nonce"),
        (Grant({"aud": "kheops"}), "id-token-aud"),
        (Grant({"aud": ["kheops-web", "other"]}), "id-token-azp"),
        (Grant({"aud": ["kheops-web", "other"], "azp": "other"}), "id-token-azp"),
        (Grant({"azp": "other"}), "id-token-azp"),
        (Grant({"iss": "https://elsewhere.example"}), "id-token-iss"),
        (Grant({"exp": 1}), "id-token-expired"),
        (Grant({"exp": None}), "id-token-missing-exp"),
        (Grant({"sub": None}), "id-token-missing-sub"),
        (Grant({"at_hash": "other"}), "id-token-at_hash"),
        (Grant({"at_hash": 7}), "id-token-at_hash"),
        (Grant(header={"typ": "at+jwt"}), "id-token-typ"),
        (Grant(header={"crit": ["x"], "x": 1}), "id-token-crit"),
        (Grant(key=SigningKey("first", number=7)), "id-token-signature"),
        (Grant(key=SigningKey("other", number=7)), "id-token-kid-unknown"),
        (Grant(key=SigningKey("first", "RS512")), "id-token-alg"),
    ],
)
def test_id_token_that_is_not_for_this_login_is_refused(fake: FakeIssuer, grant: Grant, reason: str) -> None:
    assert _refusal(fake, grant) == reason


@pytest.mark.parametrize("claims", [{"aud": ["kheops-web"]}, {"aud": ["kheops-web", "other"], "azp": "kheops-web"}])
def test_id_token_for_several_is_accepted_if_we_are_the_authorized_party(
    fake: FakeIssuer, claims: dict[str, object]
) -> None:
    assert _login(fake, Grant(claims)).sub == "alice"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((400, {"error": "invalid_grant"}), "code-refused"),
        ((401, {"error": "invalid_client"}), "code-refused"),
        ((400, {"error": ["no", "text"]}), "code-refused"),
        ((400, []), "code-refused"),
        ((200, {"access_token": "x"}), "id-token-missing"),
        ((200, {"id_token": "junk"}), "id-token-malformed"),
        ((200, {"id_token": "x" * 20000}), "id-token-too-long"),
    ],
)
def test_answer_to_the_code_that_names_nobody_is_refused(
    fake: FakeIssuer, answer: tuple[int, object], reason: str
) -> None:
    async def body(bench: Bench) -> None:
        request = await _party(bench).start(fake.issuer, REDIRECT)
        fake.token = answer
        with pytest.raises(LoginRefusedError) as caught:
            await _party(bench).finish(request, _response(fake, request))
        assert caught.value.reason == reason

    on_bench(fake, body)


def test_userinfo_fills_in_name_and_address_with_its_own_word_on_verification(fake: FakeIssuer) -> None:
    fake.userinfo = (200, {"sub": "alice", "email": "a@hospital.example", "email_verified": True, "name": "Alice"})
    logged_in = _login(fake)
    assert (logged_in.email, logged_in.email_verified, logged_in.name) == ("a@hospital.example", True, "Alice")
    mixed = _login(fake, Grant({"email": "other@hospital.example"}))
    assert (mixed.email, mixed.email_verified, mixed.name) == ("other@hospital.example", False, "Alice")


def test_login_succeeds_without_userinfo_but_not_with_somebody_elses(fake: FakeIssuer) -> None:
    fake.userinfo = (500, {})
    assert _login(fake).email is None
    fake.userinfo = (200, {"sub": "bob"})
    assert _refusal(fake) == "userinfo-sub"


@pytest.mark.parametrize("changes", [{"client_id": None}, {"issuer": "https://elsewhere.example"}])
def test_only_issuers_at_which_we_are_a_client_can_be_logged_in_at(
    fake: FakeIssuer, changes: dict[str, object]
) -> None:
    async def body(bench: Bench) -> None:
        with pytest.raises(LoginRefusedError) as caught:
            await _party(bench).start(fake.issuer, REDIRECT)
        assert caught.value.reason == "issuer-unknown"

    on_bench(fake, body, role_claims=frozenset(), **changes)
    assert not fake.asked


def test_issuer_without_authorization_endpoint_is_unavailable(fake: FakeIssuer) -> None:
    del fake.metadata["authorization_endpoint"]

    async def body(bench: Bench) -> None:
        with pytest.raises(IdentityProviderUnavailableError):
            await _party(bench).start(fake.issuer, REDIRECT)

    on_bench(fake, body)


def test_response_is_read_from_the_query_and_refused_if_a_parameter_is_there_twice() -> None:
    read = AuthorizationResponse.from_query("code=a%2Bb&state=s&iss=https%3A%2F%2Fidp.example&session_state=x")
    assert read == AuthorizationResponse(state="s", code="a+b", iss="https://idp.example")
    for query in ("code=a&code=b&state=s", "state=s&state=s&code=a", "&".join(["x=1"] * 100)):
        with pytest.raises(LoginRefusedError) as caught:
            AuthorizationResponse.from_query(query)
        assert caught.value.reason == "response-malformed"


def test_logout_goes_to_the_issuer_where_it_offers_one(fake: FakeIssuer) -> None:
    async def body(bench: Bench) -> EndSession | None:
        return await _party(bench).end_session(fake.issuer, id_token="hint", return_to="https://kheops.example/")

    fields = {"client_id": "kheops-web", "post_logout_redirect_uri": "https://kheops.example/"}
    leaving = on_bench(fake, body)
    assert leaving == EndSession("post", f"{fake.issuer}/logout", {**fields, "id_token_hint": "hint"})
    assert "hint" not in repr(leaving)
    # Not in an address, which lands in logs.
    fake.metadata["end_session_endpoint"] = f"{fake.issuer}/logout?tenant=one"
    leaving = on_bench(fake, body, logout="get")
    assert leaving == EndSession("get", f"{fake.issuer}/logout", {"tenant": "one", **fields})
    del fake.metadata["end_session_endpoint"]
    assert on_bench(fake, body) is None
