"""Tokens of a real provider: whose they are, and which of them are no access tokens for us."""

import httpx

from kheops.identity.access_tokens import VerifiedToken
from kheops.identity.login import AuthorizationResponse, LoggedIn
from kheops.identity.signed_claims import LEEWAY
from local.keycloak import REALM
from local.oidc_login import new_browser, tokens_of, walk
from tests.system.identity.trust import Trust, trusting
from tests.system.keycloak.administration import password_token
from tests.system.keycloak.conftest import World

_HOUR = 3600
_SLACK = 45
"""Seconds that a test may take between a login and its last look at the token."""


async def _verified(trust: Trust, token: str) -> VerifiedToken:
    verified = await trust.verifier.verify(token)
    assert verified is not None
    return verified


def _verify(world: World, token: str, **changes: object) -> VerifiedToken:
    return trusting(world.settings, lambda trust: _verified(trust, token), **changes)  # type: ignore[arg-type]


def _reason(world: World, token: str | None, *, moved: float = 0.0, **changes: object) -> str:
    assert token is not None
    return trusting(world.settings, lambda trust: trust.reason(token), moved=moved, **changes)


def test_access_token_says_who_calls_and_which_groups_they_are_in(world: World) -> None:
    verified = _verify(world, world.log_in(world.person("alice")).access_token)
    assert verified.iss == world.issuer
    assert verified.sub == world.administration.sub("alice")
    assert (verified.email, verified.email_verified) == ("alice@example.org", True)
    assert verified.name == "Alice Adams"
    assert verified.claims == {"groups": ("radiology",)}
    assert verified.acting_party is None
    assert verified.token_id.startswith("sha256:") != world.names_tokens
    dora = _verify(world, world.log_in(world.person("dora")).access_token)
    assert dora.claims == {"groups": ("administrators",)}
    carol = _verify(world, world.log_in(world.person("carol")).access_token)
    assert carol.claims == {}


def test_address_that_the_provider_has_not_verified_is_not_verified(world: World) -> None:
    person = world.administration.new_person("hugh", email_verified=False)
    verified = _verify(world, world.log_in(person).access_token)
    assert (verified.email, verified.email_verified) == (person.email, False)


def test_id_token_and_refresh_token_are_no_credentials_at_the_api(world: World) -> None:
    tokens = world.log_in(world.person("alice"))
    assert world.api_status(tokens.access_token) == 200
    assert world.api_status(tokens.id_token) == 401
    assert world.api_status(tokens.refresh_token) == 401
    # Not for their audience alone: with it accepted, they are still told apart.
    client_id = world.stack.script_client.client_id
    assert _reason(world, tokens.id_token, audiences=(client_id,)) == "id-token"
    # Keycloak's is a JWT signed with a secret of its own, canaille's is opaque.
    assert _reason(world, tokens.refresh_token, audiences=(world.issuer,)) in {"alg", "not mine"}


def test_token_for_another_application_of_the_provider_is_refused(world: World) -> None:
    other, audience = world.administration.new_client("another-application", "http://127.0.0.1:1/elsewhere")
    tokens = world.log_in(world.person("alice"), client=other, scope="openid profile email")
    assert world.api_status(tokens.access_token) == 401
    assert _reason(world, tokens.access_token) == "aud"
    assert _reason(world, tokens.access_token, audiences=(audience,)) == "good"


def test_service_account_has_a_token_for_us_and_is_somebody(world: World) -> None:
    answer = httpx.post(
        world.endpoint("token_endpoint"),
        data={"grant_type": "client_credentials"},
        auth=("kheops-service", world.keycloak.secrets.service_client),
        trust_env=False,
        timeout=60,
    )
    token = answer.json()["access_token"]
    assert _verify(world, token).email is None
    assert world.api_status(token) == 200


def test_impersonation_names_who_acts(world: World) -> None:
    """An administrator who looks at the system as Carol is told from Carol by ``act.sub`` (RFC 8693)."""
    dora = world.person("dora")
    token = password_token(world.keycloak, REALM, dora.user_name, dora.password)
    carol = world.administration.sub("carol")
    with new_browser() as browser:
        begun = browser.post(
            f"{world.keycloak.address}/admin/realms/{REALM}/users/{carol}/impersonation",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert begun.status_code == 200, begun.text
        # Keycloak has the browser's session already: nothing is typed.
        tokens = tokens_of(browser, world.issuer, world.stack.script_client, user_name="nobody", password="nothing")
    verified = _verify(world, tokens.access_token)
    assert verified.sub == carol
    assert verified.acting_party == world.administration.sub("dora")
    assert world.api_status(tokens.access_token) == 200


def test_clocks_may_differ_by_the_leeway_and_no_more(world: World) -> None:
    token = world.log_in(world.person("bob")).access_token
    assert _reason(world, token, moved=-LEEWAY) == "good"
    assert _reason(world, token, moved=_HOUR + LEEWAY - _SLACK) == "good"
    assert _reason(world, token, moved=-LEEWAY - _SLACK) == "issued-in-future"
    assert _reason(world, token, moved=_HOUR + LEEWAY + 1) == "expired"


def test_new_key_is_taken_at_the_first_call_and_the_old_one_stays_good(world: World) -> None:
    old = world.log_in(world.person("bob")).access_token
    assert world.api_status(old) == 200

    async def body(trust: Trust) -> None:
        assert await trust.reason(old) == "good"
        world.administration.new_key()
        new = world.log_in(world.person("bob")).access_token
        assert new.split(".")[0] != old.split(".")[0]
        # The services have the old keys only, from a moment ago.
        assert world.api_status(new) == 200
        assert world.api_status(old) == 200
        assert await trust.reason(new) == "good"
        assert await trust.reason(old) == "good"

    trusting(world.settings, body)


def test_issuer_is_reached_at_its_inner_address_and_named_by_the_outer_one(world: World) -> None:
    inner = world.keycloak.address.replace("127.0.0.1", "localhost")
    asked: list[str] = []

    async def body(trust: Trust) -> tuple[LoggedIn, VerifiedToken]:
        async def note(request: httpx.Request) -> None:
            asked.append(f"{request.url.scheme}://{request.url.netloc.decode()}")

        trust.http.event_hooks = {"request": [note]}
        redirect_uri = f"{world.stack.public_url}/callback"
        request = await trust.party.start(world.issuer, redirect_uri)
        # The browser goes to the outer address.
        assert request.url.startswith(world.keycloak.address)
        alice = world.person("alice")
        with new_browser() as browser:
            back = walk(
                browser,
                request.url,
                until=lambda address: address.startswith(redirect_uri),
                user_name=alice.user_name,
                password=alice.password,
            )
        response = AuthorizationResponse.from_query(httpx.URL(back).query.decode())
        logged_in = await trust.party.finish(request, response)
        assert logged_in.access_token is not None
        return logged_in, await _verified(trust, logged_in.access_token)

    discovery_url = f"{inner}/realms/{REALM}/.well-known/openid-configuration"
    logged_in, verified = trusting(world.settings, body, discovery_url=discovery_url)
    assert logged_in.iss == verified.iss == world.issuer
    assert logged_in.claims == {"groups": ("radiology",)}
    assert set(asked) == {inner}
    assert len(asked) >= 3
