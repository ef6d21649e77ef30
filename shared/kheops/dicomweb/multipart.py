"""Multipart bodies (RFC 2046), read as they arrive and written piece by piece.

`MultipartReader` keeps nothing of a body but the few bytes that may still turn out to be a delimiter, so a part of
any size passes through. A delimiter is CRLF, two hyphens and the boundary, *followed by* optional white space and
CRLF, or by two hyphens; the same bytes with anything else behind them are data.
"""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, MediaType, parse_media_type
from kheops.errors import BadMultipartError

__all__ = [
    "PART_TAIL",
    "End",
    "Event",
    "MultipartReader",
    "PartBegin",
    "PartData",
    "PartEnd",
    "boundary_of",
    "closing",
    "content_type",
    "new_boundary",
    "part_head",
]

PART_TAIL: Final = b"\r\n"
"""What follows the data of each part that `part_head` began."""

_MAX_HEADER_BYTES: Final = 16 * 1024
_MAX_PADDING: Final = 128
"""Bytes of white space borne behind a boundary; RFC 2046 sets no limit, a reader in constant memory must."""
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_USUAL: Final = re.compile(
    r'multipart/related; ?type="[a-z]{1,20}/[a-z+.-]{1,40}"; ?boundary=([0-9A-Za-z\'+_.-]{1,70})', re.ASCII
)
"""How stores write it, a part of what `parse_media_type` understands in the same way, at a fifth of its cost."""
_TAIL: Final = re.compile(rb"--|[ \t]{0,%d}\r\n" % _MAX_PADDING)
_TAIL_BEGUN: Final = re.compile(rb"-?|[ \t]{0,%d}\r?" % _MAX_PADDING)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; its header fields by lower-case name."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the part's data; a view shares memory with the chunk that was fed."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The delimiter behind the part was seen: the part is complete."""


@dataclass(frozen=True, slots=True)
class End:
    """The close delimiter was seen: the body is complete. What follows is skipped."""


Event = PartBegin | PartData | PartEnd | End

_PART_END: Final = PartEnd()
_END: Final = End()


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    DATA = auto()
    EPILOGUE = auto()


class MultipartReader:
    """An incremental reader of one multipart body.

    Parameters
    ----------
    boundary
        The boundary without hyphens, as `boundary_of` returns it.
    max_header_bytes
        Limit of one part's header; more is an error.

    Notes
    -----
    RFC 2046 section 5.1.1. Preamble and epilogue are skipped. A body that starts with the boundary needs no CRLF
    before it, and the empty line that ends a part's header may at once be the CRLF of the next delimiter.
    """

    def __init__(self, boundary: bytes, *, max_header_bytes: int = _MAX_HEADER_BYTES) -> None:
        if _BOUNDARY.fullmatch(boundary) is None:
            raise BadMultipartError("The boundary is not one of RFC 2046: 1 to 70 of its characters.")
        self._delimiter = b"\r\n--" + boundary
        self._max_header_bytes = max_header_bytes
        self._state = _State.PREAMBLE
        # A CRLF that was not sent stands before the body, so that a boundary at its very start is a delimiter too.
        self._held = b"\r\n"
        self._phantom = 2
        self._error: BadMultipartError | None = None

    @property
    def finished(self) -> bool:
        """Whether the close delimiter was seen."""
        return self._state is _State.EPILOGUE

    def feed(self, chunk: bytes) -> list[Event]:
        """Read the next bytes of the body and return what they hold, in order.

        Raises
        ------
        BadMultipartError
            If a part's header is malformed or too long. Where the chunk held events before the fault, they are
            returned, and the next call of `feed` or `close` raises: a complete part is never lost to a bad one
            behind it.
        """
        if self._error is not None:
            raise self._error
        if self._state is _State.EPILOGUE:
            return []
        events: list[Event] = []
        try:
            self._read(self._held + chunk if self._held else chunk, events)
        except BadMultipartError as error:
            self._error = error
            self._held = b""
            if not events:
                raise
        return events

    def close(self) -> None:
        """Say that the body is over.

        Raises
        ------
        BadMultipartError
            If the close delimiter was not seen, or a fault is still to be told.
        """
        if self._error is not None:
            raise self._error
        if self._state is not _State.EPILOGUE:
            raise BadMultipartError("The body ends before its closing boundary.")

    def _read(self, buffer: bytes, events: list[Event]) -> None:
        position = 0
        while True:
            if self._state is _State.HEADERS:
                following = self._read_headers(buffer, position, events)
            elif self._state is _State.EPILOGUE:
                self._held = b""
                return
            else:
                following = self._read_data(buffer, position, events)
            if following is None:
                return
            position = following

    def _read_data(self, buffer: bytes, position: int, events: list[Event]) -> int | None:
        """Read up to the next delimiter; return the position behind it, or ``None`` when more bytes are needed."""
        delimiter = self._delimiter
        search_from = position
        while (found := buffer.find(delimiter, search_from)) >= 0:
            behind = found + len(delimiter)
            tail = _TAIL.match(buffer, behind)
            if tail is not None:
                self._emit(buffer, position, found, events)
                return self._end_of_part(buffer, tail, events)
            if _TAIL_BEGUN.fullmatch(buffer, behind):
                self._emit(buffer, position, found, events)
                self._held = buffer[found:]
                return None
            search_from = behind
        keep = _start_of_delimiter(buffer, search_from, delimiter)
        self._emit(buffer, position, keep, events)
        self._held = buffer[keep:]
        return None

    def _end_of_part(self, buffer: bytes, tail: re.Match[bytes], events: list[Event]) -> int:
        if self._state is _State.DATA:
            events.append(_PART_END)
        self._phantom = 0
        if buffer[tail.start() : tail.end()] == b"--":
            events.append(_END)
            self._state = _State.EPILOGUE
            return tail.end()
        self._state = _State.HEADERS
        # The header is read with the CRLF before it, so that an empty header ends as any other does.
        return tail.end() - 2

    def _emit(self, buffer: bytes, start: int, stop: int, events: list[Event]) -> None:
        """Give out ``buffer[start:stop]`` without the bytes that only stand in for a CRLF."""
        if self._phantom:
            skipped = min(self._phantom, stop - start)
            start += skipped
            self._phantom -= skipped
        if stop > start and self._state is _State.DATA:
            whole = start == 0 and stop == len(buffer)
            events.append(PartData(buffer if whole else memoryview(buffer)[start:stop]))

    def _read_headers(self, buffer: bytes, position: int, events: list[Event]) -> int | None:
        end = buffer.find(b"\r\n\r\n", position, position + self._max_header_bytes + 4)
        if end < 0:
            if len(buffer) - position >= self._max_header_bytes + 4:
                raise BadMultipartError("A part's header is too long.")
            self._held = buffer[position:]
            return None
        events.append(PartBegin(_parse_headers(buffer[position:end])))
        self._state = _State.DATA
        self._phantom = 2
        return end + 2


def _start_of_delimiter(buffer: bytes, search_from: int, delimiter: bytes) -> int:
    """Return where the end of ``buffer`` may be the start of a delimiter; its length when it cannot."""
    candidate = buffer.find(b"\r", max(search_from, len(buffer) - len(delimiter) + 1))
    while candidate >= 0:
        if delimiter.startswith(buffer[candidate:]):
            return candidate
        candidate = buffer.find(b"\r", candidate + 1)
    return len(buffer)


def _parse_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    # RFC 822 folding: a line that starts with white space continues the one before.
    text = re.sub(r"\r\n[ \t]+", " ", block.decode("utf-8", "replace"))
    for line in text.split("\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t").lower()
        value = value.strip(" \t")
        if not colon or _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise BadMultipartError("A part's header holds a line that is no header field.")
        if name in headers:
            raise BadMultipartError("A part's header holds the same field twice.")
        headers[name] = value
    return headers


def boundary_of(content_type: str) -> bytes:
    """Return the boundary that a ``multipart/...`` Content-Type names, quoted or not.

    Raises
    ------
    BadMultipartError
        If it is no multipart type, names no boundary or two, or the boundary is empty, longer than 70 characters,
        ends with a space, or holds a character outside ``bchars`` (RFC 2046 section 5.1.1).
    """
    usual = _USUAL.fullmatch(content_type)
    if usual is not None:
        return usual[1].encode("ascii")
    try:
        media_type = parse_media_type(content_type)
    except MalformedMediaTypeError:
        raise BadMultipartError("The Content-Type is malformed.") from None
    return _boundary(media_type)


def _boundary(media_type: MediaType) -> bytes:
    if media_type.type != "multipart":
        raise BadMultipartError("The Content-Type is not multipart.")
    text = media_type.parameters.get("boundary")
    if text is None:
        raise BadMultipartError("The multipart Content-Type names no boundary.")
    boundary = text.encode("utf-8", "replace")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise BadMultipartError("The boundary is not one of RFC 2046: 1 to 70 of its characters.")
    return boundary


def new_boundary() -> bytes:
    """Return a random boundary that needs no quotes; no data holds it but by a chance of 2 to the minus 128."""
    return secrets.token_hex(16).encode()


def content_type(boundary: bytes, *, part_type: str) -> str:
    """Return the Content-Type of a ``multipart/related`` body whose parts are of ``part_type``, in quotes.

    PS3.18 section 8.6.1.2; some servers and clients read only the quoted form.
    """
    return f'multipart/related; type="{part_type}"; boundary={boundary.decode()}'


def part_head(boundary: bytes, *, part_type: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return what stands before the data of a part; `PART_TAIL` follows the data.

    Parameters
    ----------
    boundary
        The body's boundary.
    part_type
        The part's Content-Type as it is to be written.
    headers
        Further header fields.

    Raises
    ------
    ValueError
        If a name or value would break out of its line; ours never do.
    """
    lines = [f"--{boundary.decode()}"]
    for name, value in (("Content-Type", part_type), *headers):
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise ValueError("not a header field")
        lines.append(f"{name}: {value}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def closing(boundary: bytes) -> bytes:
    """Return the close delimiter, for the end of a body that is complete; a failed one must not get it."""
    return b"--" + boundary + b"--\r\n"
