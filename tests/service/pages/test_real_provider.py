"""The pages with a real provider's login pages in between."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp

from tests.service.pages.site import Browser, Site
from tests.system.identity.providers import REDIRECT_URI, Provider, canaille

NewBrowser = Callable[[], Browser]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with canaille(tmp_path_factory.mktemp("canaille")) as running:
        yield running


def test_person_logs_in_with_their_password_sees_their_page_and_logs_out(
    database_url: str, web_app: ASGIApp, provider: Provider
) -> None:
    root = REDIRECT_URI.removesuffix("/callback")
    site = Site(database_url, web_app, public_url=root, issuers=[provider.settings])

    async def use(new: NewBrowser) -> None:
        # The process's own relying party in place of the fake one.
        del site.process.__dict__["relying_party"]
        browser = new()
        sent = await browser.get("/login?return_to=/token")
        assert urlsplit(sent.headers["location"]).netloc == urlsplit(provider.issuer).netloc
        query = provider.browse(sent.headers["location"], "alice")
        done = await browser.get(f"/callback?{query}")
        assert (done.status_code, done.headers["location"]) == (303, "/token")
        page = await browser.get("/")
        assert "Welcome, Alice Example" in page.text
        out = await browser.post("/logout", {"form_token": await browser.form_token()})
        assert f'method="post" action="{provider.endpoint("end_session_endpoint")}"' in out.text
        assert 'name="id_token_hint" value="ey' in out.text
        assert not await browser.is_signed_in()
        assert (await browser.get(f"/callback?{query}")).status_code == 403

    site.run(use)
    site.close()
