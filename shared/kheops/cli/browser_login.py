"""Logging in by the browser of this machine: authorization code with PKCE, back by loopback (RFC 8252)."""

import hmac
import secrets
import time
import webbrowser
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from typing_extensions import override

from kheops.cli.failure import CommandError, ExitCode
from kheops.cli.issuer import Issuer, Tokens, redeem
from kheops.cli.pkce import Proof

__all__ = ["log_in_by_browser"]

_PATH: Final = "/callback"
_WAIT_SECONDS: Final = 300.0
_STEP_SECONDS: Final = 0.5
_READ_SECONDS: Final = 10.0
_FIELDS: Final = 20


class _Receiver(HTTPServer):
    """Waits on loopback for the one redirect that answers this login."""

    allow_reuse_address = False

    def __init__(self, port: int, state: str, iss: str | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.timeout = _STEP_SECONDS
        self.state = state
        self.iss = iss
        self.answer: Mapping[str, str] | None = None

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that leaves is no fault, and what it sent is not for the terminal."""


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver
    timeout = _READ_SECONDS

    def do_GET(self) -> None:
        """Take the redirect; whatever else comes by gets 404 or 400 and changes nothing."""
        parts = urlsplit(self.path)
        if parts.path != _PATH:
            self._say(404, "There is nothing here.")
            return
        answer = _parameters(parts.query)
        # A page elsewhere can send the browser here, with a code of somebody else's login.
        if answer is None or not hmac.compare_digest(answer.get("state", "").encode(), self.server.state.encode()):
            self._say(400, "This is not the answer to the login that the command line waits for.")
            return
        if self.server.iss is not None and answer.get("iss") != self.server.iss:
            self._say(400, "This answer is not from the login provider that was asked.")
            return
        self.server.answer = answer
        done = "code" in answer
        self._say(200, "You are logged in. This window can be closed." if done else "The login did not succeed.")

    def _say(self, status: int, words: str) -> None:
        body = f"<!doctype html><meta charset=utf-8><title>KHEOPS</title><p>{words}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the address has the code in it."""


def log_in_by_browser(
    issuer: Issuer,
    client_id: str,
    *,
    tell: Callable[[str], None],
    port: int = 0,
    open_address: Callable[[str], bool] = webbrowser.open,
    wait_seconds: float = _WAIT_SECONDS,
) -> Tokens:
    """Send the browser to the issuer, wait for it to come back, and redeem the code.

    Parameters
    ----------
    issuer, client_id
        Where, and as which public client.
    tell
        Shows the person a line.
    port
        Where on 127.0.0.1 the browser comes back to; any free one by default, as RFC 8252 section 7.3 asks issuers to
        allow. Some compare the address letter by letter, and need the one that is registered.
    open_address
        Opens an address in a browser and returns whether it could.
    wait_seconds
        How long the person may take.

    Raises
    ------
    CommandError
        If the port is taken, the person or the issuer says no, or nobody comes back in time.
    """
    if issuer.authorization_endpoint is None:
        raise CommandError(f"{issuer.iss} has no login by browser.", code=ExitCode.NOT_LOGGED_IN)
    proof, state = Proof.new(), secrets.token_urlsafe(32)
    try:
        receiver = _Receiver(port, state, issuer.iss if issuer.sends_iss else None)
    except (OSError, OverflowError):
        raise CommandError(
            f"Port {port} of this machine cannot be used. Name another one by `--port`.", code=ExitCode.WRONG_USE
        ) from None
    with receiver:
        redirect_uri = f"http://127.0.0.1:{receiver.server_port}{_PATH}"
        parameters = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(issuer.scopes),
            "state": state,
            # The ID token is not used; some issuers want one all the same.
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": proof.challenge,
            "code_challenge_method": "S256",
        }
        mark = "&" if urlsplit(issuer.authorization_endpoint).query else "?"
        address = f"{issuer.authorization_endpoint}{mark}{urlencode(parameters)}"
        tell(f"Log in with your browser, at {address}")
        if not open_address(address):
            tell("No browser could be opened here. Open that address yourself on this machine, or use `--device`.")
        answer = _wait(receiver, wait_seconds)
    if "code" not in answer:
        words = answer.get("error_description") or answer.get("error") or "it gave no code"
        raise CommandError(f"The login provider refused: {words}.", code=ExitCode.NOT_LOGGED_IN)
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "code_verifier": proof.verifier,
    }
    return redeem(issuer.token_endpoint, form)


def _wait(receiver: _Receiver, seconds: float) -> Mapping[str, str]:
    deadline = time.monotonic() + seconds
    while receiver.answer is None:
        if time.monotonic() > deadline:
            raise CommandError("Nobody logged in. Start again.", code=ExitCode.NOT_LOGGED_IN)
        receiver.handle_request()
    return receiver.answer


def _parameters(query: str) -> Mapping[str, str] | None:
    """Return the parameters of a redirect; ``None`` if one is there twice (RFC 6749 section 3.1)."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        return None
    values = dict(pairs)
    return values if len(values) == len(pairs) else None
