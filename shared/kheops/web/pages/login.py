"""Logging in at an issuer, coming back from it, and logging out."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import BadQueryParameterError, InvalidTokenError, KheopsError
from kheops.factory import Process
from kheops.identity.login import AuthorizationResponse, EndSession, LoginRefusedError
from kheops.identity.sessions import LoginUnderWay
from kheops.observability import get_logger
from kheops.services.sessions import EndedSession
from kheops.web.call import AsgiResponse, Call
from kheops.web.pages.document import page, redirect
from kheops.web.pages.failures import failure
from kheops.web.pages.gate import local_path, parameters
from kheops.web.sessions import (
    clear_login_cookie,
    clear_session_cookie,
    current_session,
    login_cookie,
    session_cookie,
    session_secrets,
    sessions_of,
    set_login_cookie,
    set_session_cookie,
)
from kheops.web.sessions_forms import posted_form, require_own_origin

__all__ = ["CALLBACK", "LoginChoice", "callback", "choices", "login", "logout"]

CALLBACK: Final = "/callback"
"""Where issuers send browsers back to: `KHEOPS_PUBLIC_URL` with this path is registered there."""

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginChoice:
    """An issuer that one can log in at."""

    issuer: str
    label: str


def choices(process: Process) -> tuple[LoginChoice, ...]:
    """Return the issuers that one can log in at with a browser, the default first."""
    return tuple(
        LoginChoice(each.issuer, each.label or urlsplit(each.issuer).hostname or each.issuer)
        for each in process.settings.issuers
        if each.client_id is not None
    )


async def login(call: Call) -> AsgiResponse:
    given = parameters(call, "issuer", "return_to")
    return_to = local_path(given.get("return_to", "/"))
    offered = [choice.issuer for choice in choices(call.process)]
    issuer = given.get("issuer", offered[0] if offered else "")
    if issuer not in offered:
        raise BadQueryParameterError("One cannot log in at this issuer here.")
    redirect_uri = call.process.settings.public_url + CALLBACK
    request = await call.process.relying_party.start(issuer, redirect_uri)
    sealed = session_secrets(call.process).seal_login(LoginUnderWay(request, return_to), at=call.process.clock())
    response = redirect(request.url)
    set_login_cookie(call, response, sealed)
    return response


async def callback(call: Call) -> AsgiResponse:
    try:
        response = await _finished(call)
    except (LoginRefusedError, InvalidTokenError) as error:
        _LOG.info("login.refused", request_id=call.request_id, granted=False, reason=error.reason)
        response = failure(call, error)
    except KheopsError as error:
        response = failure(call, error)
    # Whatever came of it: a login under way is good for one try.
    clear_login_cookie(call, response)
    return response


async def _finished(call: Call) -> Response:
    sealed = login_cookie(call)
    under_way = None
    if sealed is not None:
        under_way = session_secrets(call.process).open_login(sealed, at=call.process.clock())
    if under_way is None:
        raise LoginRefusedError("not-under-way")
    try:
        answer = AuthorizationResponse.from_query(call.request.scope["query_string"].decode("latin-1"))
        logged_in = await call.process.relying_party.finish(under_way.request, answer)
    except LoginRefusedError as error:
        refused = _use(call, UseKind.LOGIN, Outcome.REFUSED, iss=under_way.request.issuer, reason=error.reason)
        await call.process.audit.record(refused)
        raise
    asked = _use(call, UseKind.LOGIN, Outcome.GRANTED, iss=logged_in.iss)
    begun = await sessions_of(call.process).begin(logged_in, asked=asked, replaced=session_cookie(call))
    response = redirect(under_way.return_to)
    set_session_cookie(call, response, begun.secret)
    return response


async def logout(call: Call) -> AsgiResponse:
    session = await current_session(call)
    secret = session_cookie(call)
    response = redirect("/")
    if session is None or secret is None:
        require_own_origin(call)
    else:
        await posted_form(call, session)
        ended = await sessions_of(call.process).end(secret, asked=_use(call, UseKind.LOGOUT, Outcome.GRANTED))
        leaving = None if ended is None else await _at_the_issuer(call, ended)
        if ended is not None and leaving is not None:
            values = {"issuer": _label(call.process, ended.iss), "leaving": leaving}
            response = page(call, "logged_out.html", values, sent_to=leaving.url)
    clear_session_cookie(call, response)
    return response


async def _at_the_issuer(call: Call, ended: EndedSession) -> EndSession | None:
    if ended.id_token is None:
        return None
    home = f"{call.process.settings.public_url}/"
    try:
        return await call.process.relying_party.end_session(ended.iss, id_token=ended.id_token, return_to=home)
    except KheopsError as error:
        # Our own session has ended; that the issuer cannot be asked must not look as if it had not.
        _LOG.warning("logout.issuer_not_asked", request_id=call.request_id, error=type(error).__name__)
        return None


def _label(process: Process, issuer: str) -> str:
    return next((choice.label for choice in choices(process) if choice.issuer == issuer), issuer)


def _use(call: Call, kind: UseKind, outcome: Outcome, *, iss: str | None = None, reason: str | None = None) -> Use:
    return Use(
        user=User(iss, None, None),
        kind=kind,
        outcome=outcome,
        source_address=call.source_address,
        request_id=call.request_id,
        reason=reason,
    )
