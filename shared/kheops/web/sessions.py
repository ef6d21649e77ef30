"""The browser's session: its cookies, and whose request it makes this."""

from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from kheops.domain.principals import Person
from kheops.factory import Process
from kheops.identity.sessions import LOGIN_LIFETIME, SessionSecrets
from kheops.services.sessions import Session, Sessions
from kheops.web.call import Call

__all__ = [
    "clear_login_cookie",
    "clear_session_cookie",
    "current_session",
    "login_cookie",
    "public_origin",
    "session_cookie",
    "session_principal",
    "session_secrets",
    "sessions_of",
    "set_login_cookie",
    "set_session_cookie",
]

_SESSION: Final = "kheops"
_LOGIN: Final = "kheops-login"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def session_secrets(process: Process) -> SessionSecrets:
    """Return what hashes and seals with the installation's session keys."""
    return SessionSecrets(*process.session_keys.accepted)


def sessions_of(process: Process) -> Sessions:
    """Return the keeper of sessions."""
    return Sessions(process.database, process.clock, registry=process.registry, secrets=session_secrets(process))


async def session_principal(call: Call) -> Person | None:
    """Return the person whose browser calls the API with its session; ``None`` unless that may be.

    It may for GET and HEAD that our own pages send (``Sec-Fetch-Site: same-origin``, which no page can forge), and
    for nothing that changes anything. Only where the call carries no other credential is this to be asked.

    Raises
    ------
    DatabaseUnavailableError
        If the database does not answer.
    """
    ours = call.request.headers.getlist("sec-fetch-site") == ["same-origin"]
    if call.link_token is not None or call.method not in {"GET", "HEAD"} or not ours:
        return None
    session = await current_session(call)
    return None if session is None else session.person


async def current_session(call: Call) -> Session | None:
    """Return the session that the browser's cookie stands for; ``None`` without one that is good now.

    Raises
    ------
    DatabaseUnavailableError
        If the database does not answer.
    """
    secret = session_cookie(call)
    return None if secret is None else await sessions_of(call.process).find(secret)


def session_cookie(call: Call) -> str | None:
    """Return the secret in the browser's session cookie, good or not."""
    return call.request.cookies.get(_name(call, _SESSION))


def set_session_cookie(call: Call, response: Response, secret: str) -> None:
    """Give the browser a session, for as long as it is open."""
    _set(call, response, _SESSION, secret, seconds=None)


def clear_session_cookie(call: Call, response: Response) -> None:
    """Take the session from the browser."""
    _set(call, response, _SESSION, "", seconds=0)


def login_cookie(call: Call) -> str | None:
    """Return the sealed login under way that the browser keeps."""
    return call.request.cookies.get(_name(call, _LOGIN))


def set_login_cookie(call: Call, response: Response, sealed: str) -> None:
    """Let the browser keep a login under way for as long as it may take."""
    _set(call, response, _LOGIN, sealed, seconds=int(LOGIN_LIFETIME.total_seconds()))


def clear_login_cookie(call: Call, response: Response) -> None:
    """Take the login under way from the browser: it is good for one use."""
    _set(call, response, _LOGIN, "", seconds=0)


def public_origin(public_url: str) -> str:
    """Return the origin of our public address as browsers write it (RFC 6454 section 6.2)."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _is_https(call: Call) -> bool:
    return urlsplit(call.process.settings.public_url).scheme == "https"


def _name(call: Call, name: str) -> str:
    # The prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis 4.1.3.2). Over plain http, which
    # settings allow on loopback only, they would refuse such a cookie.
    return f"__Host-{name}" if _is_https(call) else name


def _set(call: Call, response: Response, name: str, value: str, *, seconds: int | None) -> None:
    # Lax, not Strict: coming back from the issuer is a navigation from another site.
    response.set_cookie(
        _name(call, name), value, max_age=seconds, path="/", secure=_is_https(call), httponly=True, samesite="lax"
    )
