"""Our relying party before two real providers, with a browser in between."""

import logging
import secrets
import time
from dataclasses import replace

import httpx
import pytest

from kheops.identity.login import AuthorizationResponse, LoggedIn, LoginRefusedError
from tests.system.identity.providers import REDIRECT_URI, Provider
from tests.system.identity.trust import Trust, trusting


@pytest.fixture(params=["node", "canaille"])
def provider(request: pytest.FixtureRequest) -> Provider:
    found: Provider = request.getfixturevalue(f"{request.param}_provider")
    if request.param == "canaille":
        # Two tokens of one person within a second are identical there, and it fails over them.
        time.sleep(1.1)
    return found


async def _refusal(trust: Trust, provider: Provider, **changes: str) -> str:
    """Log in, with these changes to what was kept for the browser, and return why it was refused."""
    request = await trust.party.start(provider.issuer, REDIRECT_URI)
    response = AuthorizationResponse.from_query(provider.browse(request.url, "bob"))
    with pytest.raises(LoginRefusedError) as caught:
        await trust.party.finish(replace(request, **changes), response)
    return caught.value.reason


def test_login_says_who_logged_in_and_leaves_no_secret_in_the_log(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(trust: Trust) -> tuple[LoggedIn, list[str]]:
        request = await trust.party.start(provider.issuer, REDIRECT_URI)
        response = AuthorizationResponse.from_query(provider.browse(request.url, "alice"))
        assert response.iss == provider.issuer
        logged_in = await trust.party.finish(request, response)
        with pytest.raises(LoginRefusedError) as caught:
            await trust.party.finish(request, response)
        assert caught.value.reason == "code-refused"
        code = response.code
        assert code is not None
        assert logged_in.access_token is not None
        return logged_in, [code, logged_in.access_token, logged_in.id_token, request.code_verifier, request.state]

    with caplog.at_level(logging.DEBUG, logger="kheops"):
        logged_in, secret_words = trusting(provider.settings, body)
    assert (logged_in.iss, logged_in.sub) == (provider.issuer, "alice")
    assert (logged_in.email, logged_in.email_verified) == ("alice@hospital.example", True)
    assert logged_in.name in {"Alice Adams", "Alice Example"}
    logged = str([record.__dict__ for record in caplog.records if record.name.startswith("kheops")])
    assert "login.code_refused" in logged
    assert not any(word in logged for word in secret_words)


def test_code_is_worth_nothing_with_another_verifier(provider: Provider) -> None:
    verifier = secrets.token_urlsafe(32)
    code = provider.authorize("bob", verifier=verifier, nonce="a-nonce")
    answer = provider.redeem(code, verifier=secrets.token_urlsafe(32))
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code_verifier": "v" * 43}, "code-refused"),
        ({"state": "another"}, "state"),
        ({"nonce": "another"}, "id-token-nonce"),
        ({"redirect_uri": "http://127.0.0.1:9/other"}, "code-refused"),
    ],
)
def test_login_begun_by_another_browser_is_refused(provider: Provider, changes: dict[str, str], reason: str) -> None:
    assert trusting(provider.settings, lambda trust: _refusal(trust, provider, **changes)) == reason


def test_response_of_another_issuer_is_refused(provider: Provider) -> None:
    async def body(trust: Trust) -> None:
        request = await trust.party.start(provider.issuer, REDIRECT_URI)
        response = AuthorizationResponse.from_query(provider.browse(request.url, "bob"))
        for iss in (None, "https://elsewhere.example"):
            with pytest.raises(LoginRefusedError) as caught:
                await trust.party.finish(request, replace(response, iss=iss))
            assert caught.value.reason == "iss"

    trusting(provider.settings, body)


def test_secret_with_odd_characters_authenticates_a_confidential_client(node_provider: Provider) -> None:
    async def body(trust: Trust) -> LoggedIn:
        request = await trust.party.start(node_provider.issuer, REDIRECT_URI)
        response = AuthorizationResponse.from_query(node_provider.browse(request.url, "alice"))
        return await trust.party.finish(request, response)

    client = {"client_id": "kheops-server", "client_secret": "a server: 100% s3cret"}
    logged_in = trusting(node_provider.settings, body, moved=0.0, **client)
    assert logged_in.sub == "alice"
    with pytest.raises(LoginRefusedError) as caught:
        trusting(node_provider.settings, body, moved=0.0, **{**client, "client_secret": "a guess"})
    assert caught.value.reason == "code-refused"


def test_logout_address_is_the_providers_own(provider: Provider) -> None:
    leaving = trusting(
        provider.settings,
        lambda trust: trust.party.end_session(provider.issuer, id_token="hint", return_to="http://127.0.0.1:9/"),
    )
    assert leaving is not None
    assert leaving.url == provider.endpoint("end_session_endpoint")
    assert leaving.fields["id_token_hint"] == "hint"
