"""From an error's class to an HTTP status and a problem document (RFC 9457).

The document carries KHEOPS's ``message`` and ``detail`` too. It names no UID and no path, and is the same for hidden
and absent. Classes without a row of their own take their nearest ancestor's.
"""

from collections.abc import Mapping
from typing import Final

from starlette.responses import JSONResponse, Response

from kheops import errors

__all__ = ["PROBLEM_BASE", "STATUSES", "problem"]

PROBLEM_BASE: Final = "urn:kheops:problem:"

STATUSES: Final[Mapping[type[errors.KheopsError], int]] = {
    errors.KheopsError: 500,
    errors.BadRequestError: 400,
    errors.InvalidIdentifierError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.MethodNotAllowedError: 405,
    errors.NotAcceptableError: 406,
    errors.ConflictError: 409,
    errors.PayloadTooLargeError: 413,
    errors.UnsupportedMediaTypeError: 415,
    errors.TooManyRequestsError: 429,
    errors.ClientGoneError: 400,
    errors.ArchiveProtocolError: 502,
    errors.OutboundError: 502,
    errors.UnavailableError: 503,
}


def problem(error: errors.KheopsError, *, realm: str) -> Response:
    """Return the answer for ``error``.

    Parameters
    ----------
    error
        What was raised.
    realm
        The public root, for the challenge and its pointer to the protected resource's metadata (RFC 9728).
    """
    status = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
    hidden = status >= 500 and not isinstance(error, errors.UnavailableError)
    detail = "" if hidden else error.detail
    body = {
        "type": PROBLEM_BASE + error.code,
        "title": error.message,
        "status": status,
        "message": error.message,
        "detail": detail,
    }
    response = JSONResponse(body, status, media_type="application/problem+json")
    response.headers["Cache-Control"] = "no-store"
    match error:
        case errors.UnauthenticatedError():
            for challenge in _challenges(error, realm):
                response.headers.append("WWW-Authenticate", challenge)
        case errors.MethodNotAllowedError():
            response.headers["Allow"] = ", ".join(sorted(error.allowed))
        case errors.UnavailableError() | errors.TooManyRequestsError():
            response.headers["Retry-After"] = str(error.retry_after)
        case _:
            pass
    return response


def _challenges(error: errors.UnauthenticatedError, realm: str) -> list[str]:
    metadata = f'resource_metadata="{realm}/.well-known/oauth-protected-resource"'
    bearer = f'Bearer realm="{realm}", {metadata}'
    if isinstance(error, errors.InvalidTokenError):
        bearer += ', error="invalid_token"'
    # RFC 6750 section 3: no error code where no credential was sent.
    return [bearer, f'Basic realm="{realm}", charset="UTF-8"']
