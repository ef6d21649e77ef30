"""The files that pages refer to: the style sheet, the icon, and the scripts."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.responses import Response

from kheops.errors import RouteNotFoundError
from kheops.web.call import AsgiResponse, Call

__all__ = ["asset"]

_MEDIA_TYPES: Final = {
    "kheops.css": "text/css",
    "icon.svg": "image/svg+xml",
    "leave.js": "text/javascript",
    "link.js": "text/javascript",
}
"""What there is; nothing else is looked for."""


async def asset(call: Call) -> AsgiResponse:
    name = call.params["asset"]
    if name not in _MEDIA_TYPES:
        raise RouteNotFoundError
    body, tag = _content(name)
    headers = {
        "Cache-Control": "public, no-cache",
        "ETag": tag,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; style-src 'self'",
    }
    if call.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=_MEDIA_TYPES[name], headers=headers)


@cache
def _content(name: str) -> tuple[bytes, str]:
    body = files("kheops.web.pages").joinpath("static", name).read_bytes()
    return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
