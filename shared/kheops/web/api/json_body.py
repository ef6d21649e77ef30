"""JSON bodies of requests, for what no form can say."""

import json
from collections.abc import Mapping
from typing import Final

from kheops.errors import BadRequestError, PayloadTooLargeError, UnsupportedMediaTypeError
from kheops.web.call import Call

__all__ = ["json_object"]

_LIMIT: Final = 1024 * 1024
"""Bytes; four thousand series with the longest UIDs take 800 KB."""


async def json_object(call: Call) -> Mapping[str, object]:
    """Read a body that is a JSON object.

    Raises
    ------
    UnsupportedMediaTypeError
        If it is of another media type.
    PayloadTooLargeError
        If it is larger than 1 MiB.
    BadRequestError
        If it is not JSON, no object, or names a member twice.
    """
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaTypeError("Send application/json.")
    body = bytearray()
    async for chunk in call.request.stream():
        body += chunk
        if len(body) > _LIMIT:
            raise PayloadTooLargeError("A JSON body may have 1 MiB at most.")
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadRequestError("The body must be a JSON object that names no member twice.")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members
