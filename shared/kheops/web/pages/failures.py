"""Errors as pages, in plain words; they say no more than the API's do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from kheops import errors
from kheops.services.sessions import Session
from kheops.web.call import Call
from kheops.web.errors import STATUSES
from kheops.web.pages.document import bare_page, page

__all__ = ["bare_failure", "failure"]

_HEADINGS: Final = {
    400: "We did not understand this",
    403: "This is not possible",
    404: "Not found",
    405: "This is not possible",
    429: "Too much at once",
    503: "Not available at the moment",
}
_UNKNOWN: Final = "Something went wrong"


@dataclass(frozen=True, slots=True)
class _Told:
    """What the page of an error says."""

    status: int
    headers: Mapping[str, str]
    values: Mapping[str, object]


def failure(call: Call, error: errors.KheopsError, *, session: Session | None = None) -> Response:
    """Return the page of an error.

    Parameters
    ----------
    call
        The request.
    error
        What was raised. What is hidden and what does not exist have the same page.
    session
        Whose page it is, so that they can go on from there.
    """
    told = _told(error, call.request_id)
    return page(call, "failure.html", told.values, session=session, status=told.status, headers=told.headers)


def bare_failure(error: errors.KheopsError, *, realm: str) -> Response:
    """Return the page of an error that came before there was a process or a call; of use as a `Refusal`.

    Parameters
    ----------
    error
        What was raised.
    realm
        Of no use here: pages send no challenge.
    """
    del realm
    told = _told(error, None)
    return bare_page("failure.html", told.values, status=told.status, headers=told.headers)


def _told(error: errors.KheopsError, reference: str | None) -> _Told:
    status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    headers = {}
    if isinstance(error, errors.UnauthenticatedError):
        # RFC 9110 section 15.5.2 wants a challenge with 401, upon which a browser would ask for a password.
        status = 403
    if isinstance(error, errors.MethodNotAllowedError):
        headers["Allow"] = ", ".join(sorted(error.allowed))
    if isinstance(error, errors.UnavailableError | errors.TooManyRequestsError):
        headers["Retry-After"] = str(error.retry_after)
    hidden = status >= 500 and not isinstance(error, errors.UnavailableError)
    is_login = isinstance(error, errors.UnauthenticatedError)
    values = {
        "heading": _login_heading(error) if is_login else _HEADINGS.get(status, _UNKNOWN),
        "words": "It is our fault, not yours." if hidden else _words(error),
        "reference": reference if status >= 500 else None,
        "onward": "Log in again" if is_login and not _is_suspension(error) else "To the start",
    }
    return _Told(status, headers, values)


def _is_denial(error: errors.KheopsError) -> bool:
    return isinstance(error, errors.LoginRefusedError) and error.reason == "denied"


def _is_suspension(error: errors.KheopsError) -> bool:
    return isinstance(error, errors.InvalidTokenError) and error.reason == "suspended"


def _login_heading(error: errors.KheopsError) -> str:
    if _is_suspension(error):
        return "Your account is suspended"
    return "The login was declined" if _is_denial(error) else "You were not logged in"


def _words(error: errors.KheopsError) -> str:
    if _is_denial(error):
        return (
            "The place where you log in did not let you through: because you said no there, or because your account "
            "there may not use this site. If it may not, ask those who manage that account."
        )
    if _is_suspension(error):
        # Their issuer has just said who they are, so that nobody else learns of it.
        return "You may not use this site for now. To be let in again, ask those who manage it."
    if isinstance(error, errors.MissingCredentialsError):
        return "Please log in."
    if isinstance(error, errors.InvalidTokenError):
        return "The login did not succeed. Please start again."
    return error.detail
