"""Sessions: what keeps them, what ends them, and what the database knows of them."""

import re
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from kheops.errors import IdentityProviderUnavailableError
from kheops.identity.login import EndSession
from kheops.web.asgi import answer
from kheops.web.call import AsgiResponse, Call
from kheops.web.sessions import session_principal
from tests.service.pages.site import ISSUER, Browser, FakeParty, Site

NewBrowser = Callable[[], Browser]


def test_session_that_nobody_uses_ends_after_half_an_hour(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        for _ in range(3):
            site.clock.move(minutes=29)
            assert await browser.is_signed_in()
        site.clock.move(minutes=31)
        assert not await browser.is_signed_in()
        site.clock.move(minutes=-31)
        assert await browser.is_signed_in()

    site.run(use)


def test_session_ends_after_twelve_hours_however_much_it_is_used(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        for _ in range(12 * 3 - 1):
            site.clock.move(minutes=20)
            assert await browser.is_signed_in()
        site.clock.move(minutes=20)
        assert not await browser.is_signed_in()

    site.run(use)


def test_login_gives_a_new_secret_and_ends_the_session_before_it(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser, thief = new(), new()
        await browser.log_in("alice")
        before = browser.cookie()
        await browser.log_in("alice")
        assert browser.cookie() != before
        assert await browser.is_signed_in()
        stolen = await thief.get("/studies", cookie=f"__Host-kheops={before}")
        assert stolen.status_code == 303

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 1


def test_secret_that_the_browser_brought_along_never_becomes_a_session(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        planted = "p" * 43
        browser.http.cookies.set("__Host-kheops", planted, domain="kheops.example", path="/")
        await browser.log_in("alice")
        stolen = await new().get("/studies", cookie=f"__Host-kheops={planted}")
        assert stolen.status_code == 303

    site.run(use)


def test_logout_ends_the_session_here_and_leads_to_the_issuers_logout(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        secret, token = browser.cookie(), await browser.form_token()
        response = await browser.post("/logout", {"form_token": token})
        assert response.status_code == 200
        # The ID token goes in a form, and into no address that lands in a log.
        assert "location" not in response.headers
        assert f'method="post" action="{ISSUER}/logout"' in response.text
        fields = dict(re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', response.text))
        assert fields == {
            "id_token_hint": "id-token-of-alice",
            "post_logout_redirect_uri": "https://kheops.example/",
        }
        policy = response.headers["content-security-policy"]
        assert f"script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self' {ISSUER}; " in policy
        assert response.headers["cache-control"] == "no-store"
        assert browser.cookie() is None
        assert not await browser.is_signed_in()
        kept = await new().get("/studies", cookie=f"__Host-kheops={secret}")
        assert kept.status_code == 303

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 0
    ((iss, sub, token_id, outcome, _),) = site.audited("logout")
    assert (iss, sub, outcome) == (ISSUER, "alice", "granted")
    assert site.audited("login")[0][:3] == (ISSUER, "alice", token_id)


class _SilentParty(FakeParty):
    @override
    async def end_session(self, issuer: str, *, id_token: str, return_to: str) -> EndSession | None:
        raise IdentityProviderUnavailableError


@pytest.mark.parametrize("silent", [True, False])
def test_logout_ends_the_session_also_where_the_issuer_has_no_logout_or_is_down(site: Site, silent: bool) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        response = await browser.post("/logout", {"form_token": await browser.form_token()})
        assert response.headers["location"] == "/"
        assert not await browser.is_signed_in()

    site.fake = _SilentParty() if silent else FakeParty()
    site.fake.end_session_endpoint = None
    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 0


def test_logout_of_a_session_that_has_ended_already_is_no_error(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        token = await browser.form_token()
        site.clock.move(hours=13)
        response = await browser.post("/logout", {"form_token": token})
        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert browser.cookie() is None

    site.run(use)


def test_person_who_is_suspended_is_out_with_the_next_request(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser, other = new(), new()
        await browser.log_in("mallory")
        await other.log_in("alice")
        site.catalog.execute("UPDATE users SET suspended_at = now() WHERE sub = 'mallory'")
        assert not await browser.is_signed_in()
        assert (await browser.post("/token", {})).status_code == 403
        assert await other.is_signed_in()

    site.run(use)


def test_database_holds_neither_secrets_nor_tokens(site: Site) -> None:
    async def use(new: NewBrowser) -> list[str]:
        browser = new()
        await browser.log_in("alice")
        return [browser.cookie() or "", await browser.form_token(), "id-token-of-alice"]

    secrets = site.run(use)
    rows = str(site.catalog.rows("SELECT w.*, encode(id_hash, 'escape') FROM web_sessions w"))
    rows += str(site.catalog.rows("SELECT * FROM audit"))
    assert "alice" in rows
    for secret in secrets:
        assert len(secret) > 10
        assert secret not in rows


def test_ended_sessions_are_cleared_away_by_later_logins(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        await new().log_in("alice")
        site.clock.move(minutes=31)
        await new().log_in("bob")

    site.run(use)
    assert site.catalog.rows("SELECT u.sub FROM web_sessions w JOIN users u ON u.pk = w.user_pk") == [("bob",)]


def test_cookie_that_we_never_gave_is_nobodys(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        http = new().http
        for cookie in ("", "x", "a" * 42, "a" * 43, "ä" * 43, "a" * 5000, "../../etc/passwd"):
            headers = {b"cookie": f"__Host-kheops={cookie}".encode()}
            assert (await http.get("/studies", headers=headers)).status_code == 303

    site.run(use)


def test_login_keeps_name_and_address_that_the_issuer_leaves_out_this_time(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        await new().log_in("alice")
        site.fake.names = {"alice": None}
        await new().log_in("alice")
        assert site.catalog.value("SELECT name FROM users") == "Alice"
        site.fake.names = {"alice": "Alice Adams"}
        await new().log_in("alice")

    site.run(use)
    assert site.catalog.value("SELECT name FROM users") == "Alice Adams"


class _Whoever:
    """Answers with the person whom the API would take the browser's session for."""

    def __init__(self, found: str) -> None:
        self._found = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(self._found)(scope, receive, send)


async def _whose(call: Call) -> AsgiResponse:
    person = await session_principal(call)
    return _Whoever("nobody" if person is None else person.sub)


async def _api(scope: Scope, receive: Receive, send: Send) -> None:
    response = await answer(_whose, Request(scope, receive))
    await response(scope, receive, send)


WHOSE = (
    ("GET", "/api/studies", "same-origin", "alice"),
    ("GET", "/api/studies", "same-site", "nobody"),
    ("GET", "/api/studies", "cross-site", "nobody"),
    ("GET", "/api/studies", "none", "nobody"),
    ("GET", "/api/studies", None, "nobody"),
    ("GET", "/api/link/abc/studies", "same-origin", "nobody"),
    ("POST", "/api/studies", "same-origin", "nobody"),
    ("PUT", "/api/studies", "same-origin", "nobody"),
    ("DELETE", "/api/studies", "same-origin", "nobody"),
    ("PATCH", "/api/studies", "same-origin", "nobody"),
)


def test_api_takes_the_session_for_reading_by_our_own_pages_only(site: Site) -> None:
    async def use(new: NewBrowser) -> list[str]:
        browser = new()
        await browser.log_in("alice")
        cookie = {"cookie": f"__Host-kheops={browser.cookie()}"}
        site.app = _api
        api = new().http
        found = []
        for method, path, site_header, _ in WHOSE:
            headers = {} if site_header is None else {"sec-fetch-site": site_header}
            found.append((await api.request(method, path, headers={**headers, **cookie})).text)
        return found

    assert site.run(use) == [whose for *_, whose in WHOSE]
