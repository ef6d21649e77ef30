"""The login provider of an installation: which one it is (RFC 9728), and its endpoints (RFC 8414)."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from kheops.cli.answers import http_client, json_object, no_answer, words_of
from kheops.cli.failure import CommandError, ExitCode
from kheops.domain.secure_url import is_secure_url

__all__ = ["Issuer", "Tokens", "ask", "issuer_of", "redeem", "tokens_of"]

_WANTED: Final = ("openid", "profile", "email", "groups")
_DEFAULT_SECONDS: Final = 300.0
"""Of an access token whose issuer does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What is used of an issuer's metadata. Each address is https, or on loopback."""

    iss: str
    token_endpoint: str
    authorization_endpoint: str | None
    device_authorization_endpoint: str | None
    revocation_endpoint: str | None
    scopes: tuple[str, ...]
    """Those that are wanted, of the ones that it supports."""
    sends_iss: bool
    """``authorization_response_iss_parameter_supported`` (RFC 9207)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_at: float
    """In seconds of the Unix epoch."""


def issuer_of(server: str, *, wanted: str | None = None) -> Issuer:
    """Return the issuer at which people of an installation log in.

    Parameters
    ----------
    server
        The installation.
    wanted
        Its ``iss``, where the installation trusts several; the first one by default.

    Raises
    ------
    CommandError
        If the installation or the issuer does not answer, or not as it must.
    """
    metadata = _fetch(f"{server}/.well-known/oauth-protected-resource")
    listed = metadata.get("authorization_servers")
    trusted = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    if not trusted:
        raise CommandError(f"{server} does not say where people log in: is that the address of an installation?")
    iss = wanted or trusted[0]
    if iss not in trusted:
        raise CommandError(f"{server} does not trust {iss}. It trusts: {', '.join(trusted)}.", code=ExitCode.WRONG_USE)
    if not is_secure_url(iss):
        raise CommandError(f"{server} names an issuer that is not https: {iss}. Tell those who run it.")
    return _issuer(iss, _fetch(f"{iss.rstrip('/')}/.well-known/openid-configuration"))


def _issuer(iss: str, document: Mapping[str, object]) -> Issuer:
    if document.get("issuer") != iss:
        raise CommandError(f"The document of {iss} names another issuer, so it cannot be trusted.")
    endpoints: dict[str, str | None] = {}
    for name in (
        "token_endpoint",
        "authorization_endpoint",
        "device_authorization_endpoint",
        "revocation_endpoint",
    ):
        value = document.get(name)
        if value is not None and not (isinstance(value, str) and is_secure_url(value)):
            raise CommandError(f"The {name} of {iss} is not https, so it cannot be trusted.")
        endpoints[name] = value
    token_endpoint = endpoints.pop("token_endpoint")
    if token_endpoint is None:
        raise CommandError(f"{iss} has no token endpoint.")
    supported = document.get("scopes_supported")
    scopes = tuple(each for each in _WANTED if not isinstance(supported, list) or each in supported)
    return Issuer(
        iss=iss,
        token_endpoint=token_endpoint,
        authorization_endpoint=endpoints["authorization_endpoint"],
        device_authorization_endpoint=endpoints["device_authorization_endpoint"],
        revocation_endpoint=endpoints["revocation_endpoint"],
        scopes=scopes if isinstance(supported, list) else _WANTED[:3],
        sends_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


def ask(address: str, form: Mapping[str, str]) -> httpx.Response:
    """Post a form to an endpoint of an issuer and return its answer, whatever the status.

    Raises
    ------
    CommandError
        If it does not answer.
    """
    with http_client(address) as http:
        try:
            return http.post(address, data=dict(form), headers={"Accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise no_answer(address, error) from None


def redeem(token_endpoint: str, form: Mapping[str, str]) -> Tokens:
    """Ask the token endpoint for tokens (RFC 6749 sections 4.1.3 and 6).

    Raises
    ------
    CommandError
        If it refuses, or does not answer.
    """
    response = ask(token_endpoint, form)
    if response.status_code != httpx.codes.OK:
        busy = response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error
        raise CommandError(
            f"The login provider refused: {words_of(response)}.",
            code=ExitCode.UNREACHABLE if busy else ExitCode.NOT_LOGGED_IN,
        )
    return tokens_of(response)


def tokens_of(response: httpx.Response) -> Tokens:
    """Read the answer of a token endpoint.

    Raises
    ------
    CommandError
        If it has no access token that is sent as a bearer token.
    """
    document = json_object(response)
    access, refresh, seconds = (document.get(name) for name in ("access_token", "refresh_token", "expires_in"))
    kind = document.get("token_type")
    if not isinstance(access, str) or not isinstance(kind, str) or kind.lower() != "bearer":
        raise CommandError("The login provider gave no access token that this program can use.")
    lifetime = float(seconds) if isinstance(seconds, int | float) else _DEFAULT_SECONDS
    return Tokens(access, refresh if isinstance(refresh, str) else None, time.time() + lifetime)


def _fetch(address: str) -> Mapping[str, object]:
    with http_client(address) as http:
        try:
            response = http.get(address, headers={"Accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise no_answer(address, error) from None
    if response.status_code != httpx.codes.OK:
        raise CommandError(
            f"{address} answered {response.status_code}: is the address right?", code=ExitCode.UNREACHABLE
        )
    return json_object(response)
