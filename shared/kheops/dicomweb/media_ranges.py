"""The grammar of media types and of the Accept header (RFC 9110 sections 8.3.1 and 12.5.1).

One leniency: an unquoted parameter value may hold what only a quoted one should, as in ``type=application/dicom``,
which many DICOMweb clients send.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kheops.errors import KheopsError

__all__ = ["MalformedMediaTypeError", "MediaRange", "MediaType", "parse_accept", "parse_media_type"]

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - grammar of RFC 9110, no password
_TYPE: Final = re.compile(rf"\s*({_TOKEN})/({_TOKEN})[ \t]*")
_QUOTED: Final = r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)"'
_PLAIN: Final = r'([^\s;,"\x00-\x1f\x7f]+)'
_PARAMETER: Final = re.compile(rf"[ \t]*;[ \t]*(?:({_TOKEN})[ \t]*=[ \t]*(?:{_QUOTED}|{_PLAIN})[ \t]*)?")
_SEPARATOR: Final = re.compile(r"[ \t]*(,[ \t,]*|\Z)")
_QUALITY: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_MAX_ACCEPT: Final = 8192
"""Characters of an Accept header; browsers send some 150."""


class MalformedMediaTypeError(KheopsError):
    """A text does not follow the grammar of media types."""

    code = "malformed-media-type"
    message = "Malformed media type"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range; type, subtype and parameter names in lower case, values as sent."""

    type: str
    subtype: str
    parameters: Mapping[str, str]

    @property
    def essence(self) -> str:
        """``type/subtype`` without parameters."""
        return f"{self.type}/{self.subtype}"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept header."""

    media_type: MediaType
    quality: float
    """0 (not acceptable) to 1."""


def parse_media_type(text: str) -> MediaType:
    """Read one media type with its parameters.

    Raises
    ------
    MalformedMediaTypeError
        If the text breaks the grammar, names a parameter twice, or has anything behind the type.
    """
    media_type, end = _read_media_type(text, 0)
    if text[end:].strip():
        raise MalformedMediaTypeError("There is something behind the media type.")
    return media_type


def parse_accept(values: Sequence[str]) -> tuple[MediaRange, ...]:
    """Read the values of all Accept header fields, or of all ``accept`` query parameters, in order.

    Raises
    ------
    MalformedMediaTypeError
        If one breaks the grammar, gives a quality outside 0 to 1, or they are longer than 8192 characters.
    """
    ranges: list[MediaRange] = []
    if sum(map(len, values)) > _MAX_ACCEPT:
        raise MalformedMediaTypeError("The Accept header is too long.")
    for value in values:
        position = 0
        skipped = re.match(r"[ \t,]*", value)
        if skipped is not None:
            position = skipped.end()
        while position < len(value):
            media_type, position = _read_media_type(value, position)
            separator = _SEPARATOR.match(value, position)
            if separator is None:
                raise MalformedMediaTypeError("Media ranges are separated by commas.")
            position = separator.end()
            ranges.append(_range(media_type))
    return tuple(ranges)


def _range(media_type: MediaType) -> MediaRange:
    parameters = dict(media_type.parameters)
    quality = parameters.pop("q", "1")
    if _QUALITY.fullmatch(quality) is None:
        raise MalformedMediaTypeError("A quality lies between 0 and 1 and has three decimals at most.")
    if media_type.type == "*" and media_type.subtype != "*":
        raise MalformedMediaTypeError("Only */* may have any type.")
    return MediaRange(MediaType(media_type.type, media_type.subtype, MappingProxyType(parameters)), float(quality))


def _read_media_type(text: str, position: int) -> tuple[MediaType, int]:
    match = _TYPE.match(text, position)
    if match is None:
        raise MalformedMediaTypeError("A media type is type/subtype.")
    parameters: dict[str, str] = {}
    position = match.end()
    while (parameter := _PARAMETER.match(text, position)) is not None:
        position = parameter.end()
        name, quoted, plain = parameter.groups()
        if name is None:
            continue
        if name.lower() in parameters:
            raise MalformedMediaTypeError("A media type names a parameter twice.")
        parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return MediaType(match[1].lower(), match[2].lower(), MappingProxyType(parameters)), position
