"""Logging in: what goes out, what must come back, and where it leads."""

import html
import logging
import re
from collections.abc import Callable
from http.cookies import SimpleCookie
from itertools import product
from urllib.parse import quote

import httpx
import pytest

from tests.service.pages.site import ISSUER, OTHER_ISSUER, Browser, Site

NewBrowser = Callable[[], Browser]


def _set_cookies(response: httpx.Response) -> dict[str, tuple[str, dict[str, str]]]:
    found = {}
    for header in response.headers.get_list("set-cookie"):
        for name, morsel in SimpleCookie(header).items():
            found[name] = (morsel.value, {key: str(value) for key, value in morsel.items() if value})
    return found


def test_login_ends_in_a_session_of_the_person_with_the_name_that_the_issuer_gave(site: Site) -> None:
    async def use(new: NewBrowser) -> str:
        browser = new()
        response = await browser.log_in("alice")
        assert response.headers["location"] == "/"
        return (await browser.get("/")).text

    site.fake.names = {"alice": "Alice <b>Adams"}
    text = site.run(use)
    assert "Welcome, Alice &lt;b&gt;Adams" in text
    assert site.catalog.rows("SELECT iss, sub, email, email_verified FROM users") == [
        (ISSUER, "alice", "alice@hospital.example", True)
    ]


def test_cookies_are_bound_to_the_host_and_out_of_reach_of_scripts(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        begun = _set_cookies(await browser.get("/login"))
        attributes = {"path": "/", "secure": "True", "httponly": "True", "samesite": "lax"}
        assert set(begun) == {"__Host-kheops-login"}
        assert begun["__Host-kheops-login"][1] == {**attributes, "max-age": "600"}
        done = _set_cookies(await browser.log_in("alice"))
        assert set(done) == {"__Host-kheops", "__Host-kheops-login"}
        assert done["__Host-kheops"][1] == attributes
        assert len(done["__Host-kheops"][0]) == 43
        assert done["__Host-kheops-login"][0] == ""
        assert browser.cookie("__Host-kheops-login") is None

    site.run(use)


def test_on_plain_http_cookies_have_no_prefix_that_browsers_would_refuse(loopback_site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        done = _set_cookies(await browser.log_in("alice"))
        assert done["kheops"][1] == {"path": "/", "httponly": "True", "samesite": "lax"}
        assert await browser.is_signed_in()

    loopback_site.run(use)


def test_cookie_of_a_login_under_way_tells_its_browser_nothing(site: Site) -> None:
    async def use(new: NewBrowser) -> str:
        browser = new()
        await browser.begin()
        return browser.cookie("__Host-kheops-login") or ""

    sealed = site.run(use)
    assert len(sealed) > 100
    for secret in ("a-nonce", "a-verifier", "state-1", "idp.example"):
        assert secret not in sealed


def test_response_with_another_state_gives_no_session_and_spends_the_login(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        state = await browser.begin()
        response = await browser.get("/callback?code=alice&state=of-somebody-else")
        assert response.status_code == 403
        assert "The login did not succeed" in response.text
        assert browser.cookie() is None
        assert browser.cookie("__Host-kheops-login") is None
        assert (await browser.get(f"/callback?code=alice&state={state}")).status_code == 403
        assert not await browser.is_signed_in()

    site.run(use)
    assert site.audited("login") == [(ISSUER, None, None, "refused", "state")]


def test_response_that_another_browser_asked_for_gives_no_session(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        attacker, victim = new(), new()
        state = await attacker.begin()
        assert (await victim.get(f"/callback?code=mallory&state={state}")).status_code == 403
        own = await victim.begin()
        assert own != state
        assert (await victim.get(f"/callback?code=mallory&state={state}")).status_code == 403
        assert victim.cookie() is None

    site.run(use)
    assert site.catalog.rows("SELECT sub FROM users") == []


def test_login_is_good_for_one_use_only(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        state = await browser.begin()
        assert (await browser.get(f"/callback?code=alice&state={state}")).status_code == 303
        assert (await browser.get(f"/callback?code=alice&state={state}")).status_code == 403

    site.run(use)


@pytest.mark.parametrize(("seconds", "status"), [(580, 303), (620, 403)])
def test_login_may_take_ten_minutes(site: Site, seconds: int, status: int) -> None:
    async def use(new: NewBrowser) -> int:
        browser = new()
        state = await browser.begin()
        site.clock.move(seconds=seconds)
        return (await browser.get(f"/callback?code=alice&state={state}")).status_code

    assert site.run(use) == status


def test_login_cookie_that_was_changed_is_worth_nothing(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        state = await browser.begin()
        sealed = browser.cookie("__Host-kheops-login") or ""
        for place in (0, 40, len(sealed) - 6, None):
            changed = list(sealed)
            if place is not None:
                changed[place] = "A" if changed[place] != "A" else "B"
            cookie = f"__Host-kheops-login={''.join(changed)}"
            response = await new().get(f"/callback?code=alice&state={state}", cookie=cookie)
            assert response.status_code == (303 if place is None else 403)

    site.run(use)


def test_person_who_says_no_at_the_issuer_is_told_so_and_can_start_again(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        state = await browser.begin()
        response = await browser.get(f"/callback?error=access_denied&state={state}")
        assert response.status_code == 403
        assert "The login was declined" in response.text
        assert "because you said no there" in response.text
        assert 'href="/"' in response.text
        await browser.log_in("alice")
        assert await browser.is_signed_in()

    site.run(use)


def test_person_who_is_suspended_is_told_so_and_gets_no_session(site: Site) -> None:
    async def use(new: NewBrowser) -> tuple[int, str]:
        browser = new()
        state = await browser.begin()
        response = await browser.get(f"/callback?code=mallory&state={state}")
        assert browser.cookie() is None
        return response.status_code, response.text

    site.catalog.person("mallory")
    site.catalog.execute("UPDATE users SET suspended_at = now()")
    status, text = site.run(use)
    assert status == 403
    assert "Your account is suspended" in text
    assert "ask those who manage it" in text
    assert "start again" not in text
    assert "Log in again" not in text
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 0


OUTSIDE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "/%5Cevil.example",
    "/\t/evil.example",
    "/studies\r\nset-cookie: a=b",
    "javascript:alert(1)",
    "studies",
    "",
    "/a@evil.example",
    "/" + "a" * 600,
)


def test_redirect_out_of_this_site_is_refused(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        for path, return_to in product(("/login", "/"), OUTSIDE):
            response = await browser.get(f"{path}?return_to={quote(return_to, safe='')}")
            assert response.status_code == 400
            assert "location" not in response.headers
            assert "evil" not in response.text
        assert site.fake.started == 0

    site.run(use)


@pytest.mark.parametrize("wanted", ["/studies?offset=50&inbox=true", "/albums/ABCDEFGHIJ"])
def test_person_comes_back_to_the_page_that_they_wanted(site: Site, wanted: str) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        sent_away = await browser.get(wanted)
        assert sent_away.status_code == 303
        welcome = await browser.get(sent_away.headers["location"])
        assert welcome.status_code == 200
        first, second = re.findall(r'href="(/login[^"]*)"', welcome.text)
        assert first != second
        done = await browser.log_in("alice", html.unescape(first))
        assert done.headers["location"] == wanted

    site.run(use)


def test_one_can_log_in_at_issuers_with_a_client_of_ours_only(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        text = (await browser.get("/")).text
        assert "Log in with idp.example" in text
        assert "Log in with other.example" in text
        assert "tokens-only.example" not in text
        response = await browser.get(f"/login?issuer={quote(OTHER_ISSUER)}")
        assert response.headers["location"].startswith(OTHER_ISSUER)
        for issuer in ("https://tokens-only.example", "https://evil.example", ""):
            response = await browser.get(f"/login?issuer={quote(issuer)}")
            assert response.status_code == 400
            assert "location" not in response.headers

    site.run(use)


def test_log_tells_why_a_login_was_refused_and_no_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def use(new: NewBrowser) -> list[str]:
        browser = new()
        state = await browser.begin()
        await browser.get("/callback?code=alice&state=of-somebody-else")
        state = await browser.begin()
        sealed = browser.cookie("__Host-kheops-login") or ""
        await browser.get(f"/callback?code=alice&state={state}")
        return [state, sealed, browser.cookie() or "", await browser.form_token(), "id-token-of-alice"]

    with caplog.at_level(logging.DEBUG, logger="kheops"):
        secrets = site.run(use)
    records = [record.__dict__ for record in caplog.records if record.name.startswith("kheops")]
    assert ("login.refused", "state") in [(record["msg"], record.get("reason")) for record in records]
    for secret in secrets:
        assert len(secret) > 5
        assert secret not in str(records)
