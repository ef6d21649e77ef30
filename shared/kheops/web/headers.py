"""Headers that every answer carries: CORS by an allow-list, and what keeps a browser from misusing data."""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers

__all__ = ["api_headers", "disposition", "is_preflight", "preflight_headers"]

_ALLOW_HEADERS: Final = (
    b"accept, accept-charset, admin-action, admin-reason, authorization, content-type, frontend, if-none-match, "
    b"range, x-authorization-source"
)
_ALLOW_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_EXPOSE: Final = (
    b"content-length, content-range, etag, link, location, retry-after, warning, x-request-id, x-total-count"
)
_PREFLIGHT_SECONDS: Final = b"7200"

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Origin, Accept, Authorization, Cookie"),
)

_MEDIA_TYPES: Final = frozenset(
    {
        b"application/dicom",
        b"application/dicom+json",
        b"application/json",
        b"application/octet-stream",
        b"application/openapi+json",
        b"application/problem+json",
        b"application/x-deflate",
        b"application/zip",
        b"image/dicom-rle",
        b"image/gif",
        b"image/jls",
        b"image/jp2",
        b"image/jpeg",
        b"image/jphc",
        b"image/jpx",
        b"image/jxl",
        b"image/png",
        b"multipart/related",
        b"video/mp4",
        b"video/mpeg",
    }
)
"""What answers of the API may be without being handed to the browser as a file: nothing in it runs or has links."""
_WITHOUT_BODY: Final = frozenset({204, 304})
_ATTACHMENT: Final = ((b"content-disposition", b"attachment"),)


def api_headers(request: Headers, allowed_origins: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """Return the headers of any answer of the API.

    An origin on the list is echoed exactly; another one gets no permission. ``Vary`` always names what an answer
    depends on. Credentials mode is never allowed: tokens travel in headers, and cookies are same-origin only.
    """
    headers = list(_ALWAYS)
    origin = request.get("origin")
    if origin is not None and origin in allowed_origins:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
        headers.append((b"access-control-expose-headers", _EXPOSE))
    return headers


def disposition(status: int, headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that keep a browser from showing an answer of the API whose media type is not on the list.

    An encapsulated HTML or SVG document would else be shown at our origin. One that has a body and no type counts as
    none of the list (RFC 6266).

    Parameters
    ----------
    status, headers
        Of the answer; names in lower case.
    """
    given = dict(headers)
    media_type = given.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_empty = status in _WITHOUT_BODY or (not media_type and given.get(b"content-length") == b"0")
    return () if is_empty or media_type in _MEDIA_TYPES else _ATTACHMENT


def is_preflight(method: str, request: Headers) -> bool:
    """Return whether this is a CORS preflight (Fetch standard), rather than another ``OPTIONS``, which is 405."""
    return method == "OPTIONS" and "origin" in request and "access-control-request-method" in request


def preflight_headers(request: Headers, allowed_origins: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    """Return the headers of the answer to a preflight, which needs no credential."""
    headers = api_headers(request, allowed_origins)
    if request.get("origin") in allowed_origins:
        headers += [
            (b"access-control-allow-methods", _ALLOW_METHODS),
            (b"access-control-allow-headers", _ALLOW_HEADERS),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ]
    return headers
