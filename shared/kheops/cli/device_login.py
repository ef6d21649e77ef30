"""Logging in on another device: the device authorization grant (RFC 8628)."""

import time
from collections.abc import Callable
from typing import Final

import httpx

from kheops.cli.answers import json_object, words_of
from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.issuer import Issuer, Tokens, ask, tokens_of
from kheops.cli.pkce import Proof

__all__ = ["log_in_by_device"]

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL_SECONDS: Final = 5.0
"""Between two questions where the issuer does not say (RFC 8628 section 3.2), and what ``slow_down`` adds."""
_SECONDS: Final = 600.0
"""Of a code whose issuer does not say."""


def log_in_by_device(
    issuer: Issuer,
    client_id: str,
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Tokens:
    """Ask for a code, tell the person where to enter it, and wait until they have.

    Parameters
    ----------
    issuer, client_id
        Where, and as which public client.
    tell
        Shows the person a line.
    sleep, monotonic
        Waiting, and seconds that never go back; tests replace them.

    Raises
    ------
    CommandError
        If the issuer does not do that, the person says no, or the code runs out.
    """
    if issuer.device_authorization_endpoint is None:
        raise CommandError(
            f"{issuer.iss} has no login on another device. Log in without `--device`.", code=ExitCode.NOT_LOGGED_IN
        )
    proof = Proof.new()
    asked = {
        "client_id": client_id,
        "scope": " ".join(issuer.scopes),
        # Not in RFC 8628, and ignored by issuers that know nothing of it; some insist on it for every grant.
        "code_challenge": proof.challenge,
        "code_challenge_method": "S256",
    }
    response = ask(issuer.device_authorization_endpoint, asked)
    if response.status_code != httpx.codes.OK:
        raise CommandError(f"The login provider refused: {words_of(response)}.", code=ExitCode.NOT_LOGGED_IN)
    document = json_object(response)
    device_code, user_code, address = (document.get(name) for name in ("device_code", "user_code", "verification_uri"))
    if not (isinstance(device_code, str) and isinstance(user_code, str) and isinstance(address, str)):
        raise CommandError("The login provider gave no code.")
    tell(f"Open {address} in any browser and enter the code {user_code}")
    complete = document.get("verification_uri_complete")
    if isinstance(complete, str):
        tell(f"or open {complete} and compare the code there: {user_code}")
    form = {
        "grant_type": _GRANT,
        "device_code": device_code,
        "client_id": client_id,
        "code_verifier": proof.verifier,
    }
    deadline = monotonic() + _seconds(document.get("expires_in"), _SECONDS)
    interval = _seconds(document.get("interval"), _INTERVAL_SECONDS)
    while monotonic() + interval < deadline:
        sleep(interval)
        try:
            response = ask(issuer.token_endpoint, form)
        except CommandError as error:
            # RFC 8628 section 3.5: less often after a time-out, and on.
            tell(error.message)
            interval *= 2
            continue
        if response.status_code == httpx.codes.OK:
            return tokens_of(response)
        interval += _further_wait(response)
    raise _run_out()


def _further_wait(response: httpx.Response) -> float:
    """Return by how many seconds the next question comes later; raise `CommandError` if there is to be none."""
    match json_object(response).get("error"):
        case "authorization_pending":
            return 0.0
        case "slow_down":
            return _INTERVAL_SECONDS
        case "access_denied":
            raise CommandError("The login was refused there.", code=ExitCode.NOT_LOGGED_IN)
        case "expired_token":
            raise _run_out()
        case _:
            raise CommandError(f"The login provider refused: {words_of(response)}.", code=ExitCode.NOT_LOGGED_IN)


def _run_out() -> CommandError:
    return CommandError("The code has run out. Start again.", code=ExitCode.NOT_LOGGED_IN)


def _seconds(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else default
