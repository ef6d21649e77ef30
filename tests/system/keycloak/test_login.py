"""Logging in at a real provider, staying logged in, logging out, and being kept out."""

import html
import re
import time

import httpx
import pytest

from local.oidc_login import LoginError, new_browser, tokens_of, walk
from local.provider import Client
from tests.system.keycloak.conftest import PAUSE_SECONDS, World

_LOGIN_FIELD = r'name="(username|login)"'


def _our_page(world: World, browser: httpx.Client) -> str:
    """Log Alice in at our pages by Keycloak's form, and return the page that she sees then."""
    home = f"{world.stack.public_url}/"
    alice = world.person("alice")
    back = walk(
        browser,
        f"{home}login",
        until=lambda address: address == home,
        user_name=alice.user_name,
        password=alice.password,
    )
    page = browser.get(back)
    assert page.status_code == 200
    return page.text


def _leave(browser: httpx.Client, page: str) -> httpx.Response:
    """Send the form by which one logs out at the provider, too."""
    form = re.search(r'<form id="leave" method="(\w+)" action="([^"]+)">', page)
    assert form is not None
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', page)
    given = {html.unescape(name): html.unescape(value) for name, value in fields}
    address = html.unescape(form[2])
    answer = browser.get(address, params=given) if form[1] == "get" else browser.post(address, data=given)
    if answer.is_redirect:
        return answer
    # Canaille takes a form that is posted for an answer to its own question, and asks it first.
    token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', answer.text)
    assert token is not None, answer.text
    filled = {"csrf_token": token[1], "answer": "logout"}
    return browser.post(str(answer.url), data={**given, **filled}, headers={"Referer": str(answer.url)})


def test_our_pages_log_in_by_the_form_and_out_at_the_provider_too(world: World) -> None:
    home = f"{world.stack.public_url}/"
    with new_browser() as browser:
        page = _our_page(world, browser)
        assert "Alice Adams" in page
        # The same browser has the provider's session: no form comes in between.
        tokens = world.log_in(world.person("alice"), browser)
        time.sleep(PAUSE_SECONDS)
        assert not re.search(_LOGIN_FIELD, browser.get(f"{home}login", follow_redirects=True).text)
        found = re.search(r'name="form_token" value="([^"]+)"', page)
        assert found is not None
        # Logging in once more has made another session of ours, with another form token.
        found = re.search(r'name="form_token" value="([^"]+)"', browser.get(home).text)
        assert found is not None
        left = browser.post(f"{home}logout", data={"form_token": found[1]}, headers={"Origin": world.stack.public_url})
        ended = _leave(browser, left.text)
        assert (ended.status_code, ended.headers["location"].split("?")[0]) == (302, home)
        assert "Alice Adams" not in browser.get(home).text
        assert re.search(_LOGIN_FIELD, browser.get(f"{home}login", follow_redirects=True).text)
    if world.ends_tokens_at_logout:
        refused = world.refresh(tokens.refresh_token)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_wrong_password_does_not_log_in(world: World) -> None:
    person = world.administration.new_person("gwen")
    with new_browser() as browser, pytest.raises(LoginError, match="wrong name or password"):
        tokens_of(
            browser,
            world.issuer,
            world.stack.script_client,
            user_name=person.user_name,
            password="a guess",
        )


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "invalid_request"),
        ({"code_challenge": "x" * 43, "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_no_code_without_pkce_by_s256(world: World, parameters: dict[str, str], error: str) -> None:
    client = world.stack.script_client
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uris[0],
        "scope": "openid",
        "state": "s",
        **parameters,
    }
    with new_browser() as browser:
        answer = browser.get(world.endpoint("authorization_endpoint"), params=query)
    assert answer.status_code == 302
    assert httpx.URL(answer.headers["location"]).params["error"] == error


def test_code_is_worth_nothing_with_another_verifier(world: World) -> None:
    client = world.stack.script_client
    bob = world.person("bob")
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uris[0],
        "scope": "openid",
        "state": "s",
        "nonce": "n",
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
    }
    with new_browser() as browser:
        location = walk(
            browser,
            str(httpx.URL(world.endpoint("authorization_endpoint"), params=query)),
            until=lambda address: address.startswith(client.redirect_uris[0]),
            user_name=bob.user_name,
            password=bob.password,
        )
    refused = world.token_endpoint(
        grant_type="authorization_code",
        code=httpx.URL(location).params["code"],
        redirect_uri=client.redirect_uris[0],
        code_verifier="v" * 43,
    )
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_desktop_tools_come_back_to_a_port_of_their_own(world: World) -> None:
    desktop = Client("kheops-desktop", "Desktop", ("http://127.0.0.1/callback",))
    tokens = world.log_in(world.person("bob"), client=desktop, redirect_uri="http://127.0.0.1:43210/callback")
    assert world.api_status(tokens.access_token) == 200


def test_refresh_token_gives_a_good_access_token_once(world: World) -> None:
    tokens = world.log_in(world.person("bob"))
    answer = world.refresh(tokens.refresh_token)
    assert answer.status_code == 200
    assert answer.json()["access_token"] != tokens.access_token
    assert world.api_status(answer.json()["access_token"]) == 200
    again = world.refresh(tokens.refresh_token)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_disabled_person_gets_no_new_token_and_keeps_the_old_one_until_it_expires(world: World) -> None:
    person = world.administration.new_person("frank")
    tokens = world.log_in(person)
    assert world.api_status(tokens.access_token) == 200
    world.administration.disable(person.user_name)
    refused = world.refresh(tokens.refresh_token)
    assert (refused.status_code, refused.json()["error"]) in {(400, "invalid_grant"), (400, "invalid_request")}
    with pytest.raises(LoginError):
        world.log_in(person)
    # docs/operations.md, "Limits": what the issuer revokes is not noticed before the token's end.
    assert world.api_status(tokens.access_token) == 200


def test_guessing_passwords_locks_the_account_for_a_while(world: World) -> None:
    person = world.administration.new_person("erin")
    with new_browser() as browser:
        for _ in range(5):
            with pytest.raises(LoginError, match="wrong name or password"):
                tokens_of(
                    browser,
                    world.issuer,
                    world.stack.script_client,
                    user_name=person.user_name,
                    password="a guess",
                )
    with pytest.raises(LoginError, match="wrong name or password"):
        world.log_in(person)
    identity = world.administration.sub(person.user_name)
    status = world.keycloak_administration.call(
        "GET", f"/attack-detection/brute-force/users/{identity}", status=200
    ).json()
    assert status["disabled"] is True
    world.keycloak_administration.call("DELETE", f"/attack-detection/brute-force/users/{identity}", status=204)
    assert world.api_status(world.log_in(person).access_token) == 200
