"""Logging in as a browser does: authorization code with PKCE, filling in the provider's pages, by httpx."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
from typing_extensions import override

from local.provider import Client

__all__ = ["LoginError", "Tokens", "log_in", "new_browser", "tokens_of", "walk"]

_MOST_PAGES: Final = 10
_PAUSE_SECONDS: Final = 1.1
"""Canaille's tokens hold whole seconds and nothing unique: two for one person in one second collide and fail."""
_SCOPE: Final = "openid profile email groups"


class LoginError(Exception):
    """The provider did not let us in."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gave."""

    access_token: str = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)


def log_in(issuer: str, client: Client, *, user_name: str, password: str) -> str:
    """Return an access token of somebody who logs in at ``issuer`` with a password.

    Raises
    ------
    LoginError
        If the provider refuses, shows a page that is not known here, or answers without what it must.
    """
    with new_browser() as browser:
        tokens = tokens_of(browser, issuer, client, user_name=user_name, password=password)
    # The next login of the same person comes in another second.
    time.sleep(_PAUSE_SECONDS)
    return tokens.access_token


def new_browser() -> httpx.Client:
    """Return a client that keeps cookies as browsers do: to them loopback is as good as https for ``Secure``."""

    def take_cookies(_: httpx.Response) -> None:
        for cookie in browser.cookies.jar:
            cookie.secure = cookie.secure and not cookie.domain.startswith("127.")

    browser = httpx.Client(timeout=60, trust_env=False, event_hooks={"response": [take_cookies]})
    return browser


def tokens_of(
    browser: httpx.Client,
    issuer: str,
    client: Client,
    *,
    user_name: str,
    password: str,
    redirect_uri: str | None = None,
    scope: str = _SCOPE,
) -> Tokens:
    """Log somebody in with ``browser``, or use the session that it has at the provider, and return the tokens.

    Parameters
    ----------
    browser
        What `new_browser` returned. It keeps the provider's session.
    issuer, client
        Where, and as which client.
    user_name, password
        What is typed.
    redirect_uri
        The client's first one by default. It is not followed.
    scope
        What is asked for.

    Raises
    ------
    LoginError
        As `log_in`.
    """
    metadata = _json(browser.get(f"{issuer}/.well-known/openid-configuration"))
    redirect_uri = redirect_uri or client.redirect_uris[0]
    verifier = secrets.token_urlsafe(48)
    state = secrets.token_urlsafe(16)
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "nonce": secrets.token_urlsafe(16),
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    location = walk(
        browser,
        f"{metadata['authorization_endpoint']}?{urlencode(parameters)}",
        until=lambda address: address.startswith(f"{redirect_uri}?"),
        user_name=user_name,
        password=password,
    )
    form = {
        "grant_type": "authorization_code",
        "code": _code(location, state),
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    return _redeem(browser, str(metadata["token_endpoint"]), client, form)


def walk(browser: httpx.Client, address: str, *, until: Callable[[str], bool], user_name: str, password: str) -> str:
    """Open ``address``, follow redirects and fill in forms, and return the first redirect that ``until`` wants.

    Raises
    ------
    LoginError
        If the provider shows the login form again, an error, or ten pages.
    """
    typed = {"login": user_name, "username": user_name, "password": password}
    response = browser.get(address)
    asked: frozenset[str] = frozenset()
    for _ in range(_MOST_PAGES):
        if response.is_redirect:
            location = urljoin(str(response.url), response.headers["location"])
            if until(location):
                return location
            response = browser.get(location, headers={"referer": str(response.url)})
            continue
        form = _form(response)
        wanted = frozenset(typed.keys() & form.fields.keys())
        if wanted and wanted == asked:
            raise LoginError("the provider showed the same form again: wrong name or password")
        asked = wanted
        filled = {**form.fields, **{name: typed[name] for name in wanted}, **form.consent()}
        action = urljoin(str(response.url), form.action or "")
        response = browser.post(action, data=filled, headers={"referer": str(response.url)})
    raise LoginError(f"no code after {_MOST_PAGES} pages; the last was {response.status_code} {response.url.path}")


class _Form(HTMLParser):
    """The first form of a page that is posted: where it goes, its fields, and the values of its buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._buttons: set[tuple[str, str]] = set()
        self._state = "before"

    @property
    def found(self) -> bool:
        """Whether the page has one."""
        return self._state != "before"

    def consent(self) -> dict[str, str]:
        """Return what pressing the button that accepts adds."""
        return {"answer": "accept"} if ("answer", "accept") in self._buttons else {}

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self._state == "before" and given.get("method", "").lower() == "post":
            self._state = "inside"
            self.action = given.get("action")
        elif self._state == "inside" and "name" in given:
            if tag == "input" and given.get("type") not in {"checkbox", "submit"}:
                self.fields[given["name"]] = given.get("value", "")
            elif tag == "button":
                self._buttons.add((given["name"], given.get("value", "")))

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._state == "inside":
            self._state = "after"


def _form(response: httpx.Response) -> _Form:
    if response.status_code != httpx.codes.OK:
        raise LoginError(f"the provider answered {response.status_code} at {response.url.path}")
    form = _Form()
    form.feed(response.text)
    if not form.found:
        raise LoginError(f"the page at {response.url.path} has no form to post")
    return form


def _code(location: str, state: str) -> str:
    query = parse_qs(urlsplit(location).query)
    if query.get("state") != [state] or "code" not in query:
        raise LoginError(f"the provider sent us back without a code: {query.get('error', ['?'])[0]}")
    return query["code"][0]


def _redeem(browser: httpx.Client, endpoint: str, client: Client, form: Mapping[str, str]) -> Tokens:
    if client.client_secret is None:
        response = browser.post(endpoint, data={**form, "client_id": client.client_id})
    else:
        response = browser.post(endpoint, data=form, auth=(client.client_id, client.client_secret))
    document = _json(response)
    found = {name: document.get(name) for name in ("access_token", "id_token", "refresh_token")}
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    if "access_token" not in texts:
        raise LoginError("the token endpoint answered without an access token")
    return Tokens(texts["access_token"], texts.get("id_token"), texts.get("refresh_token"))


def _json(response: httpx.Response) -> dict[str, object]:
    if response.status_code != httpx.codes.OK:
        raise LoginError(f"the provider answered {response.status_code} at {response.url.path}")
    value = response.json()
    if not isinstance(value, dict):
        raise LoginError(f"the provider's answer at {response.url.path} is no JSON object")
    return value
