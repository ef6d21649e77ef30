"""Errors as the API words them: a status, a JSON object, and for DICOMweb that object in an array of one."""

import json
from http import HTTPStatus
from typing import Final

__all__ = ["GoogleError"]

_NAMES: Final = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    HTTPStatus.NOT_ACCEPTABLE: "INVALID_ARGUMENT",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "INVALID_ARGUMENT",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}


class GoogleError(Exception):
    """A request that is refused.

    Parameters
    ----------
    status
        Of the answer.
    message
        What the body says.
    headers
        Further headers of the answer.
    """

    def __init__(self, status: HTTPStatus, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}

    def body(self, *, in_array: bool) -> bytes:
        """Return the JSON body."""
        error = {
            "error": {
                "code": int(self.status),
                "message": self.message,
                "status": _NAMES.get(self.status, "UNKNOWN"),
            }
        }
        return json.dumps([error] if in_array else error, indent=2).encode()

    @classmethod
    def absent(cls) -> "GoogleError":
        """Return what the API says of a thing that is not there, or not to be seen: it does not tell which."""
        return cls(HTTPStatus.FORBIDDEN, "Permission denied on resource (or it may not exist).")

    @classmethod
    def bad_request(cls, message: str) -> "GoogleError":
        """Return a 400."""
        return cls(HTTPStatus.BAD_REQUEST, message)
