"""JSON bodies of requests, for what no form can say."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlette.requests import ClientDisconnect

from kheops.errors import BadRequestError, ClientGoneError, PayloadTooLargeError, UnsupportedMediaTypeError
from kheops.web.call import CONTROL_IN_TEXT, Call

__all__ = ["json_object"]

_LIMIT: Final = 1024 * 1024
"""Bytes; four thousand series with the longest UIDs take 800 KB."""
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


async def json_object(call: Call, *, accepted: Sequence[str] = ("application/json",)) -> Mapping[str, object]:
    """Read a body that is a JSON object.

    Parameters
    ----------
    call
        The request.
    accepted
        Its media types.

    Raises
    ------
    UnsupportedMediaTypeError
        If it is of another media type.
    PayloadTooLargeError
        If it is larger than 1 MiB.
    BadRequestError
        If it is not JSON, no object, names a member twice, or has a text with control characters or with half of a
        character.
    ClientGoneError
        If it breaks off, or its transfer coding is malformed.
    """
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() not in accepted:
        raise UnsupportedMediaTypeError(f"Send {accepted[0]}.")
    body = bytearray()
    try:
        async for chunk in call.request.stream():
            body += chunk
            if len(body) > _LIMIT:
                raise PayloadTooLargeError("A JSON body may have 1 MiB at most.")
    except ClientDisconnect:
        raise ClientGoneError from None
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadRequestError("The body must be a JSON object that names no member twice.")
    if not all(map(_is_well_formed, _texts(value))):
        raise BadRequestError("A text contains control characters, or is not well-formed Unicode.")
    return value


def _texts(value: object) -> Iterator[str]:
    """Yield each text of a JSON value, the names of members among them; however deep it is."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as members:
                left += [*members.keys(), *members.values()]
            case list() as elements:
                left += elements
            case _:
                pass


def _is_well_formed(text: str) -> bool:
    # An escape can write half of a surrogate pair, which no UTF-8 has.
    return CONTROL_IN_TEXT.search(text) is None and _SURROGATE.search(text) is None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members
