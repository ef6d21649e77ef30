"""Keys that are rotated while people are at work: nothing that was made before ends, until the old key does."""

from collections.abc import Callable

from kheops.errors import InvalidTokenError
from tests.service.pages.site import Browser, Site
from tests.service.pages.test_tokens import _made, _secret
from tests.service.read.catalog import PEPPER

NewBrowser = Callable[[], Browser]
NEW = b"a new key, of the rotation in this test"
OLD_SESSION = b"a key of the tests, which differs: 42"


def test_session_form_and_login_under_way_outlive_a_new_session_key(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser, late = new(), new()
        await browser.log_in("alice")
        token = await browser.form_token()
        state = await late.begin()
        site.process.session_keys.exchange(NEW, OLD_SESSION)
        assert await browser.is_signed_in()
        assert await browser.form_token() == token
        assert (await late.get(f"/callback?code=bob&state={state}")).status_code == 303
        assert await late.is_signed_in()
        # Bob's is of the new key alone, Alice's of the old one.
        site.process.session_keys.exchange(NEW)
        assert await late.is_signed_in()
        assert not await browser.is_signed_in()
        site.process.session_keys.exchange(NEW, OLD_SESSION)
        response = await browser.post("/logout", {"form_token": token})
        assert "id-token-of-alice" in response.text
        assert not await browser.is_signed_in()

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 1


def test_session_of_the_old_key_is_replaced_at_the_next_login(site: Site) -> None:
    async def use(new: NewBrowser) -> None:
        browser = new()
        await browser.log_in("alice")
        site.process.session_keys.exchange(NEW, OLD_SESSION)
        await browser.log_in("alice")

    site.run(use)
    assert site.catalog.value("SELECT count(*) FROM web_sessions") == 1


def test_capability_token_outlives_a_new_pepper_and_ends_with_the_old_one(site: Site) -> None:
    secret = _secret(_made(site))

    async def use(new: NewBrowser) -> list[bool]:
        async def stands() -> bool:
            try:
                await site.process.authenticator.identify(secret, request_id="r")
            except InvalidTokenError:
                return False
            return True

        stood = [await stands()]
        site.process.pepper.exchange(NEW, PEPPER.encode())
        stood.append(await stands())
        site.process.pepper.exchange(NEW)
        return [*stood, await stands()]

    assert site.run(use) == [True, True, False]
