"""Headers that every answer carries: CORS by an allow-list, and what keeps a browser from misusing data."""

from typing import Final

from starlette.datastructures import Headers

__all__ = ["api_headers", "is_preflight", "preflight_headers"]

_ALLOW_HEADERS: Final = (
    b"accept, accept-charset, authorization, content-type, frontend, if-none-match, range, x-authorization-source"
)
_ALLOW_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
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


def is_preflight(method: str, request: Headers) -> bool:
    """Return whether this is a CORS preflight (Fetch standard), rather than an ``OPTIONS`` for capabilities."""
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
