"""Forms that another site makes a browser send are refused, and change nothing."""

from collections.abc import Callable

import pytest

from tests.service.pages.site import ROOT, Browser, Site

NewBrowser = Callable[[], Browser]

FORGED: list[dict[str, str | None]] = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": None},
    {"origin": "http://kheops.example"},
    {"origin": "https://kheops.example:8443"},
    {"origin": "https://kheops.example.evil.example"},
    {"origin": f"{ROOT}/"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "none"},
]


@pytest.mark.parametrize("path", ["/token", "/logout"])
def test_form_of_another_site_is_refused(site: Site, path: str) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        token = await browser.form_token()
        for forged in FORGED:
            assert (await browser.post(path, {"form_token": token}, **forged)).status_code == 403, forged
        assert await browser.is_signed_in()

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM capabilities") == 0


@pytest.mark.parametrize("path", ["/token", "/logout"])
def test_form_without_this_sessions_token_is_refused(site: Site, path: str) -> None:
    async def use(new: NewBrowser) -> None:
        browser, other = new(), new()
        await browser.log_in("alice")
        await other.log_in("alice")
        assert (await browser.post(path, {})).status_code == 403
        for token in ("", "A" * 43, await other.form_token(), "ä", f"{await browser.form_token()}x"):
            assert (await browser.post(path, {"form_token": token})).status_code == 403
        assert await browser.is_signed_in()

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM capabilities") == 0


def test_browser_that_sends_no_fetch_metadata_can_post_all_the_same(site: Site) -> None:
    async def use(new: NewBrowser) -> int:
        browser = new()
        await browser.log_in("alice")
        form = {"form_token": await browser.form_token()}
        return (await browser.post("/token", form, sec_fetch_site=None)).status_code

    assert site.run(use) == 200


def test_form_token_in_the_address_is_not_looked_at(site: Site) -> None:
    async def use(new: NewBrowser) -> int:
        browser = new()
        await browser.log_in("alice")
        return (await browser.post(f"/token?form_token={await browser.form_token()}", {})).status_code

    assert site.run(use) == 403


def test_form_as_json_is_refused(site: Site) -> None:
    async def use(new: NewBrowser) -> int:
        browser = new()
        await browser.log_in("alice")
        headers = {"origin": ROOT, "sec-fetch-site": "same-origin"}
        body = {"form_token": await browser.form_token()}
        return (await browser.http.post("/token", json=body, headers=headers)).status_code

    assert site.run(use) == 415
