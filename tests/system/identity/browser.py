"""A person with a browser, as far as login pages need one: follows redirects, fills in forms, keeps cookies."""

from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
from typing_extensions import override

__all__ = ["LoginFailedError", "log_in"]

_STEPS = 20


class LoginFailedError(Exception):
    """The login pages did not lead back to the redirect URI."""


class _Form(HTMLParser):
    """The first form of a page: where it goes, its fields, and the names of its buttons' values."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: dict[str, list[str]] = {}
        self._state = "before"

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and self._state == "before":
            self._state = "inside"
            self.action = found.get("action", "")
        elif self._state == "inside" and "name" in found:
            if tag == "input":
                self.fields[found["name"]] = found.get("value", "")
            elif tag == "button":
                self.buttons.setdefault(found["name"], []).append(found.get("value", ""))

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._state == "inside":
            self._state = "after"


def log_in(url: str, *, redirect_uri: str, user: str, password: str) -> str:
    """Open ``url``, log in and consent, and return the query with which the browser is sent to ``redirect_uri``.

    Raises
    ------
    LoginFailedError
        If that does not happen within twenty pages, a wrong password being the usual reason.
    """
    typed = {"login": user, "password": password}
    with httpx.Client(trust_env=False, timeout=20) as http:
        response = http.get(url)
        for _ in range(_STEPS):
            if response.is_redirect:
                target = urljoin(str(response.url), response.headers["location"])
                if target.split("?")[0] == redirect_uri:
                    return urlsplit(target).query
                response = http.get(target)
                continue
            form = _Form()
            form.feed(response.text)
            if response.status_code != httpx.codes.OK or form.action is None:
                raise LoginFailedError(f"{response.status_code} at {response.url.path}")
            action = urljoin(str(response.url), form.action)
            response = http.post(action, data=_filled(form, typed), headers={"Referer": str(response.url)})
    raise LoginFailedError("too many pages")


def _filled(form: _Form, typed: Mapping[str, str]) -> dict[str, str]:
    values = {**form.fields, **{name: value for name, value in typed.items() if name in form.fields}}
    return {**values, **({"answer": "accept"} if "accept" in form.buttons.get("answer", []) else {})}
