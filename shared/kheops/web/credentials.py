"""Where the credential of a request stands: ``Authorization``, the link path, or the browser's session."""

import base64
import binascii
from typing import Final

from starlette.requests import Request

from kheops.errors import InvalidTokenError

__all__ = ["authorization_token"]

_LONGEST: Final = 16 * 1024


def authorization_token(request: Request) -> str | None:
    """Return the token of the ``Authorization`` header; ``None`` without one.

    ``Bearer`` (RFC 6750) and ``Basic`` with the token as password (OsiriX and Horos know only that; the user name is
    ignored, as in KHEOPS) are equal. Scheme names are case-insensitive.

    Raises
    ------
    InvalidTokenError
        If the header is repeated, malformed, of another scheme, or longer than 16 KiB.
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    if len(headers) > 1:
        raise InvalidTokenError("authorization-repeated")
    scheme, _, value = headers[0].partition(" ")
    value = value.strip()
    if not value or len(value) > _LONGEST:
        raise InvalidTokenError("authorization-malformed")
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        return _basic_password(value)
    raise InvalidTokenError("authorization-scheme")


def _basic_password(value: str) -> str:
    try:
        raw = base64.b64decode(value, validate=True)
        decoded = raw.decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidTokenError("basic-malformed") from None
    # One credential, one text: bits behind the last byte must be zero (RFC 4648 section 3.5).
    if base64.b64encode(raw) != value.encode():
        raise InvalidTokenError("basic-malformed")
    user, separator, password = decoded.partition(":")
    del user
    if not separator or not password or ":" in password:
        raise InvalidTokenError("basic-malformed")
    return password
