"""A JSON array of objects, cut into its elements as it arrives."""

import re
from enum import Enum, auto
from typing import Final

from kheops.errors import ArchiveProtocolError

__all__ = ["ArraySplitter"]

_MAX_ELEMENT: Final = 32 * 1024 * 1024
"""Bytes of one element; the design's limit of what may be held."""
_BLANK: Final = re.compile(rb"[ \t\r\n]*+")
# All at C speed, and possessive, so that no input makes them backtrack. _INSIDE_OBJECT runs over what lies inside an
# object, whole objects of two levels included, and stops at a brace, at a string that is not over, or at the end.
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'[^"{}]*+(?:%b[^"{}]*+)*+' % _STRING
_NESTED: Final = rb'[^"{}]*+(?:(?:%b|\{%b\})[^"{}]*+)*+' % (_STRING, _FLAT)
_INSIDE_OBJECT: Final = re.compile(rb'[^"{}]*+(?:(?:%b|\{%b\})[^"{}]*+)*+' % (_STRING, _NESTED), re.DOTALL)
_INSIDE_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)


class _State(Enum):
    START = auto()
    FIRST = auto()
    ELEMENT = auto()
    IN_ELEMENT = auto()
    IN_STRING = auto()
    SEPARATOR = auto()
    END = auto()


class ArraySplitter:
    """Cuts a top-level JSON array of objects into the bytes of its elements.

    Parameters
    ----------
    max_element_bytes
        Limit of one element; a longer one is an error.

    Notes
    -----
    Only what is needed to find the ends is read: braces outside strings. An element is not known to be JSON before
    it is decoded.
    """

    def __init__(self, *, max_element_bytes: int = _MAX_ELEMENT) -> None:
        self._max_element_bytes = max_element_bytes
        self._state = _State.START
        self._depth = 0
        self._element = bytearray()
        self._held = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Read the next bytes and return the elements that they complete.

        Raises
        ------
        ArchiveProtocolError
            If it is no array of objects, or an element exceeds the limit.
        """
        buffer = self._held + chunk if self._held else chunk
        self._held = b""
        elements: list[bytes] = []
        position = 0
        while position < len(buffer):
            if self._state in {_State.IN_ELEMENT, _State.IN_STRING}:
                position = self._read_element(buffer, position, elements)
            else:
                position = self._read_between(buffer, position)
        return elements

    def close(self) -> None:
        """Say that the array is over.

        Raises
        ------
        ArchiveProtocolError
            If its closing bracket was not seen.
        """
        if self._state is not _State.END:
            raise ArchiveProtocolError("The store's JSON ends too early.")

    def _read_between(self, buffer: bytes, position: int) -> int:
        blank = _BLANK.match(buffer, position)
        assert blank is not None
        position = blank.end()
        if position == len(buffer):
            return position
        match self._state, buffer[position : position + 1]:
            case _State.START, b"[":
                self._state = _State.FIRST
            case ((_State.FIRST | _State.SEPARATOR), b"]"):
                self._state = _State.END
            case _State.SEPARATOR, b",":
                self._state = _State.ELEMENT
            case ((_State.FIRST | _State.ELEMENT), b"{"):
                self._state = _State.IN_ELEMENT
                self._depth = 1
                self._element += b"{"
            case _:
                raise ArchiveProtocolError("The store's JSON is no array of objects.")
        return position + 1

    def _read_element(self, buffer: bytes, start: int, elements: list[bytes]) -> int:
        """Read on to the end of the element or of the buffer, whichever comes first."""
        position, end = start, len(buffer)
        while position < end:
            if self._state is _State.IN_STRING:
                run = _INSIDE_STRING.match(buffer, position)
                assert run is not None
                position = run.end()
                if position < end and buffer[position] == 0x22:  # noqa: PLR2004 - a quote
                    self._state = _State.IN_ELEMENT
                    position += 1
                    continue
                # At the end of the buffer, or at a backslash whose partner has not come yet.
                break
            run = _INSIDE_OBJECT.match(buffer, position)
            assert run is not None
            position = run.end()
            if position == end:
                break
            token = buffer[position]
            position += 1
            if token == 0x22:  # noqa: PLR2004 - a quote whose string is not over
                self._state = _State.IN_STRING
            elif token == 0x7B:  # noqa: PLR2004 - an opening brace
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    self._take(buffer, start, position)
                    elements.append(bytes(self._element))
                    self._element.clear()
                    self._state = _State.SEPARATOR
                    return position
        self._take(buffer, start, position)
        self._held = buffer[position:]
        return end

    def _take(self, buffer: bytes, start: int, stop: int) -> None:
        if len(self._element) + stop - start > self._max_element_bytes:
            raise ArchiveProtocolError("The store's JSON has an element that is too large.")
        self._element += buffer[start:stop]
