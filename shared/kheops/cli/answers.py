"""Requests of the command line and their answers, with every failure in words."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.output import printable
from kheops.domain.secure_url import is_loopback, is_secure_url

__all__ = ["http_client", "json_object", "no_answer", "server_address", "words_of"]

_SECONDS: Final = httpx.Timeout(60.0, connect=10.0)
_LONGEST_WORDS: Final = 400


def server_address(text: str) -> str:
    """Return an installation's address without a slash at the end.

    Raises
    ------
    CommandError
        If it is no https address, or http one on loopback: a token would go out in the clear.
    """
    address = text.rstrip("/")
    if not is_secure_url(address) or urlsplit(address).query or urlsplit(address).path not in {"", "/api"}:
        raise CommandError(
            f"{printable(text)!r} is no address of an installation. It is like https://kheops.example.org; plain http "
            "is only for this very machine.",
            code=ExitCode.WRONG_USE,
        )
    return address.removesuffix("/api")


def http_client(address: str, **options: object) -> httpx.Client:
    """Return a client for one host. It follows no redirect, which would carry the token elsewhere.

    Proxies of the environment are used, but not towards this machine.
    """
    trust = not is_loopback(urlsplit(address).hostname or "")
    return httpx.Client(timeout=_SECONDS, trust_env=trust, follow_redirects=False, **options)  # type: ignore[arg-type]


def no_answer(address: str, error: httpx.HTTPError | httpx.InvalidURL) -> CommandError:
    """Return what it means that an address did not answer."""
    host = printable(urlsplit(address).netloc)
    match error:
        case httpx.ConnectTimeout() | httpx.ReadTimeout() | httpx.WriteTimeout() | httpx.PoolTimeout():
            why = "did not answer in time"
        case httpx.ConnectError() if "CERTIFICATE" in str(error).upper():
            why = f"has a certificate that this machine does not trust: {printable(error)}"
        case httpx.ConnectError():
            why = f"cannot be reached: {printable(error)}"
        case _:
            why = f"broke the connection off ({type(error).__name__})"
    return CommandError(f"{host} {why}.", code=ExitCode.UNREACHABLE)


def json_object(response: httpx.Response) -> Mapping[str, object]:
    """Return the JSON object that an answer is.

    Raises
    ------
    CommandError
        If it is none.
    """
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CommandError(
            f"{response.url.host} answered something else than JSON: is that the address of an installation?"
        )
    return value


def words_of(response: httpx.Response) -> str:
    """Return what an answer says went wrong: a problem document's ``detail`` (RFC 9457), or OAuth's description."""
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError, httpx.ResponseNotRead):
        value = None
    if isinstance(value, dict):
        for name in ("detail", "error_description", "title", "error"):
            text = value.get(name)
            if isinstance(text, str) and text:
                return printable(text)[:_LONGEST_WORDS]
    return f"status {response.status_code}"
