"""Logging in as a browser does: authorization code with PKCE, posting canaille's forms, by httpx."""

import base64
import hashlib
import html
import re
import secrets
import time
from typing import Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx

from local.canaille import Client

__all__ = ["LoginError", "log_in"]

_MOST_PAGES: Final = 10
_PAUSE_SECONDS: Final = 1.1
"""Canaille's tokens hold whole seconds and nothing unique: two for one person in one second collide and fail."""


class LoginError(Exception):
    """The provider did not let us in."""


def log_in(issuer: str, client: Client, *, user_name: str, password: str) -> str:
    """Return an access token of somebody who logs in at ``issuer`` with a password.

    Raises
    ------
    LoginError
        If the provider refuses, shows a page that is not known here, or answers without what it must.
    """
    with httpx.Client(timeout=20, trust_env=False) as browser:
        metadata = _json(browser.get(f"{issuer}/.well-known/openid-configuration"))
        verifier = secrets.token_urlsafe(48)
        state = secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        parameters = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uris[0],
            "scope": "openid profile email groups",
            "state": state,
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = f"{metadata['authorization_endpoint']}?{urlencode(parameters)}"
        answers = {"login": user_name, "password": password}
        code = _walk(browser, address, redirect_uri=client.redirect_uris[0], state=state, answers=answers)
        return _token(browser, str(metadata["token_endpoint"]), client, code=code, verifier=verifier)


def _walk(browser: httpx.Client, address: str, *, redirect_uri: str, state: str, answers: dict[str, str]) -> str:
    response = browser.get(address)
    for _ in range(_MOST_PAGES):
        if response.is_redirect:
            location = urljoin(str(response.url), response.headers["location"])
            if location.startswith(f"{redirect_uri}?"):
                return _code(location, state)
            response = browser.get(location, headers={"referer": str(response.url)})
        else:
            form = _fields(response)
            for name in answers.keys() & form.keys():
                form[name] = answers[name]
            if not answers.keys() & form.keys():
                form["answer"] = "accept"
            response = browser.post(str(response.url), data=form, headers={"referer": str(response.url)})
            if response.status_code == httpx.codes.OK and answers.keys() & _fields(response).keys() == (
                answers.keys() & form.keys()
            ):
                raise LoginError("the provider showed the same form again: wrong name or password")
    raise LoginError(f"no code after {_MOST_PAGES} pages; the last was {response.status_code} {response.url.path}")


def _fields(response: httpx.Response) -> dict[str, str]:
    """Return the fields of a page's form that holds a CSRF token."""
    if response.status_code != httpx.codes.OK:
        raise LoginError(f"the provider answered {response.status_code} at {response.url.path}")
    fields = {}
    for tag in re.findall(r"<input\b[^>]*>", response.text):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if "name" in attributes:
            fields[attributes["name"]] = attributes.get("value", "")
    if "csrf_token" not in fields:
        raise LoginError(f"the page at {response.url.path} has no form to post")
    return fields


def _code(location: str, state: str) -> str:
    query = parse_qs(urlsplit(location).query)
    if query.get("state") != [state] or "code" not in query:
        raise LoginError(f"the provider sent us back without a code: {query.get('error', ['?'])[0]}")
    return query["code"][0]


def _token(browser: httpx.Client, endpoint: str, client: Client, *, code: str, verifier: str) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uris[0],
        "code_verifier": verifier,
    }
    if client.client_secret is None:
        response = browser.post(endpoint, data={**form, "client_id": client.client_id})
    else:
        response = browser.post(endpoint, data=form, auth=(client.client_id, client.client_secret))
    token = _json(response).get("access_token")
    if not isinstance(token, str):
        raise LoginError("the token endpoint answered without an access token")
    # The next login of the same person comes in another second.
    time.sleep(_PAUSE_SECONDS)
    return token


def _json(response: httpx.Response) -> dict[str, object]:
    if response.status_code != httpx.codes.OK:
        raise LoginError(f"the provider answered {response.status_code} at {response.url.path}")
    value = response.json()
    if not isinstance(value, dict):
        raise LoginError(f"the provider's answer at {response.url.path} is no JSON object")
    return value
