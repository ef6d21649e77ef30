"""Errors as pages, in plain words; they say no more than the API's do."""

from typing import Final

from starlette.responses import Response

from kheops import errors
from kheops.web.call import Call
from kheops.web.errors import STATUSES
from kheops.web.pages.document import page

__all__ = ["failure"]

_HEADINGS: Final = {
    400: "We did not understand this",
    403: "This is not possible",
    404: "Not found",
    405: "This is not possible",
    503: "Not available at the moment",
}
_UNKNOWN: Final = "Something went wrong"


def failure(call: Call, error: errors.KheopsError) -> Response:
    """Return the page of an error.

    Parameters
    ----------
    call
        The request.
    error
        What was raised. What is hidden and what does not exist have the same page.
    """
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
    values = {
        "heading": "You were not logged in" if _is_login(error) else _HEADINGS.get(status, _UNKNOWN),
        "words": "It is our fault, not yours." if hidden else _words(error),
        "reference": call.request_id if status >= 500 else None,
    }
    return page(call, "failure.html", values, status=status, headers=headers)


def _is_login(error: errors.KheopsError) -> bool:
    return isinstance(error, errors.UnauthenticatedError)


def _words(error: errors.KheopsError) -> str:
    if isinstance(error, errors.InvalidTokenError):
        return "The login did not succeed. Please start again."
    return error.detail
