"""The structure of a DICOM data set (PS3.5 section 7), walked as it arrives and in constant memory.

Values are skipped by their length; only the few that were asked for are kept. Sequences and items of *defined* length
are values like any other; those of undefined length are followed to their delimiters, as are encapsulated pixels.

The walk is strict where a lenient one could see other elements than the store behind us does: what decides who may
store an object must be what the store will file it under. So a value representation that is none is refused and never
guessed around, and an identifying attribute stands once, and in its place.
"""

import struct
from collections.abc import Mapping
from typing import Final

from kheops.errors import KheopsError

__all__ = [
    "IDENTIFYING_TAGS",
    "LONG_VRS",
    "DataSetWalker",
    "DoubtfulIdentityError",
    "NotDicomError",
    "TruncatedFileError",
    "UnreadableDicomError",
]


class UnreadableDicomError(KheopsError):
    """The bytes are no DICOM file that can be stored; ``detail`` says why in plain words."""

    code = "unreadable-dicom"
    message = "Unreadable DICOM file"


class NotDicomError(UnreadableDicomError):
    """The bytes are no PS3.10 file at all."""

    code = "not-dicom"


class TruncatedFileError(UnreadableDicomError):
    """The file ends inside an element, item or sequence."""

    code = "truncated-dicom"


class DoubtfulIdentityError(UnreadableDicomError):
    """The file can be read as one object by some readers and as another one by others."""

    code = "doubtful-dicom"


IDENTIFYING_TAGS: Final = frozenset({0x00080016, 0x00080018, 0x0020000D, 0x0020000E})
"""SOP Class, SOP Instance, Study Instance and Series Instance UID."""

_MOST_HEADS: Final = 1_000_000
"""Elements, items and fragments of one file: each costs some 1.5 microseconds, and a few megabytes can deflate
hundreds of millions of empty ones. Ten thousand frames of an enhanced object have some hundred thousand."""
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_DELIMITER_GROUP: Final = 0xFFFE
_NOT_OF_DATA_SETS: Final = frozenset({0x0000, 0x0002})
"""Groups of a message's command set and of the file meta information."""

_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(),
)
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Those whose length has 32 bits in Explicit VR (PS3.5 section 7.1.2)."""
_MAX_DEPTH: Final = 128
"""Open sequences and items together; 64 levels of nesting."""

# What is open: a data set (at the top, or an item's) or a sequence, and how what it holds is encoded.
_SEQUENCE: Final = 1
_FRAGMENTS: Final = 2
_EXPLICIT: Final = 4
_BIG_ENDIAN: Final = 8

_TAG_LENGTH: Final = (struct.Struct("<HHL").unpack_from, struct.Struct(">HHL").unpack_from)
_LENGTH_16: Final = (struct.Struct("<H").unpack_from, struct.Struct(">H").unpack_from)
_LENGTH_32: Final = (struct.Struct("<L").unpack_from, struct.Struct(">L").unpack_from)


class DataSetWalker:
    """Walks one data set to its end.

    Parameters
    ----------
    explicit_vr, little_endian
        The encoding that the transfer syntax names.
    wanted
        Tags of the top level whose values are kept, each with the most bytes that are; a longer value is not kept.
    """

    def __init__(self, *, explicit_vr: bool, little_endian: bool, wanted: Mapping[int, int]) -> None:
        self._open = [(_EXPLICIT if explicit_vr else 0) | (0 if little_endian else _BIG_ENDIAN)]
        self._wanted = wanted
        self._values: dict[int, bytes] = {}
        self._too_long: set[int] = set()
        self._largest_tag = -1
        self._heads = 0
        self._pending: bytes = b""
        self._skip = 0
        self._kept_tag: int | None = None
        self._kept = bytearray()

    @property
    def values(self) -> Mapping[int, bytes]:
        """The wanted values that have been read whole; of a repeated one the first."""
        return self._values

    @property
    def too_long(self) -> frozenset[int]:
        """The wanted tags whose values are too long to be kept."""
        return frozenset(self._too_long)

    @property
    def largest_tag(self) -> int:
        """The largest tag of the top level whose element has begun; -1 before the first."""
        return self._largest_tag

    def feed(self, data: bytes) -> None:
        """Walk on through the next bytes.

        Raises
        ------
        UnreadableDicomError
            If they break the structure of a data set or nest too deeply.
        DoubtfulIdentityError
            If they repeat an identifying attribute, hold it behind a larger tag, or have elements of groups 0000 or
            0002 outside sequences: those are a message's and the file meta information's (PS3.7 section 6.3, PS3.10
            section 7.1), and there are readers who take them from here.
        """
        buffer = self._pending + data if self._pending else data
        position, end = 0, len(buffer)
        while position < end:
            if self._skip:
                taken = min(self._skip, end - position)
                if self._kept_tag is not None:
                    self._kept += buffer[position : position + taken]
                position += taken
                self._skip -= taken
                if not self._skip:
                    self._keep()
                continue
            following = self._step(buffer, position)
            if following is None:
                break
            position = following
        self._pending = bytes(buffer[position:])

    def close(self) -> None:
        """Say that the data set is over.

        Raises
        ------
        TruncatedFileError
            If it ends inside an element, item or sequence.
        """
        if self._pending or self._skip or len(self._open) > 1:
            raise TruncatedFileError("The file ends inside an element.")

    def _step(self, buffer: bytes, position: int) -> int | None:
        """Read the head of one element, item or delimiter; ``None`` when more bytes are needed for it."""
        if len(buffer) - position < 8:  # noqa: PLR2004 - PS3.5 section 7.1: no head is shorter
            return None
        self._heads += 1
        if self._heads > _MOST_HEADS:
            raise UnreadableDicomError("The file has more elements than can be walked in reasonable time.")
        encoding = self._open[-1]
        group, element, length = _TAG_LENGTH[encoding >> 3](buffer, position)
        tag = group << 16 | element
        if encoding & _SEQUENCE:
            self._in_sequence(encoding, tag, length)
            return position + 8
        if group == _DELIMITER_GROUP:
            self._end_item(tag, length)
            return position + 8
        if not encoding & _EXPLICIT:
            self._begin_value(tag, b"", length)
            return position + 8
        vr = bytes(buffer[position + 4 : position + 6])
        if vr in _SHORT_VRS:
            self._begin_value(tag, vr, _LENGTH_16[encoding >> 3](buffer, position + 6)[0])
            return position + 8
        if vr not in LONG_VRS:
            raise UnreadableDicomError("An element has no value representation that DICOM knows.")
        if len(buffer) - position < 12:  # noqa: PLR2004 - the same with a length of 32 bits
            return None
        self._begin_value(tag, vr, _LENGTH_32[encoding >> 3](buffer, position + 8)[0])
        return position + 12

    def _begin_value(self, tag: int, vr: bytes, length: int) -> None:
        if len(self._open) == 1:
            if tag in IDENTIFYING_TAGS and tag <= self._largest_tag:
                raise DoubtfulIdentityError("An identifying attribute is repeated or out of order.")
            if tag >> 16 in _NOT_OF_DATA_SETS:
                raise DoubtfulIdentityError(
                    "The data set holds elements of the file meta information or of a command."
                )
            self._largest_tag = max(self._largest_tag, tag)
            if tag in self._wanted and tag not in self._values:
                if length <= self._wanted[tag]:
                    self._kept_tag = tag
                else:
                    self._too_long.add(tag)
        if length == _UNDEFINED:
            self._begin_sequence(tag, vr)
            return
        self._skip = length
        if not length:
            self._keep()

    def _keep(self) -> None:
        if self._kept_tag is not None:
            self._values[self._kept_tag] = bytes(self._kept)
            self._kept_tag = None
            self._kept.clear()

    def _begin_sequence(self, tag: int, vr: bytes) -> None:
        encoding = self._open[-1]
        if vr == b"SQ" or (not vr and tag != 0x7FE00010):  # noqa: PLR2004 - (7FE0,0010), Pixel Data
            self._push(encoding | _SEQUENCE)
        elif vr == b"UN":
            # PS3.5 section 6.2.2, note 2: unknown, but of undefined length: a sequence in Implicit VR Little Endian.
            self._push(_SEQUENCE)
        elif vr in {b"OB", b"OW", b""}:
            self._push(encoding | _SEQUENCE | _FRAGMENTS)
        else:
            raise UnreadableDicomError("An element of undefined length is neither a sequence nor encapsulated.")

    def _in_sequence(self, encoding: int, tag: int, length: int) -> None:
        if tag == _SEQUENCE_END:
            if length:
                raise UnreadableDicomError("A sequence delimiter has a length.")
            self._open.pop()
        elif tag != _ITEM:
            raise UnreadableDicomError("A sequence holds something that is no item.")
        elif length != _UNDEFINED:
            self._skip = length
        elif encoding & _FRAGMENTS:
            raise UnreadableDicomError("A fragment of pixel data has no length.")
        else:
            self._push(encoding & ~_SEQUENCE)

    def _end_item(self, tag: int, length: int) -> None:
        if tag != _ITEM_END or length or len(self._open) == 1:
            raise UnreadableDicomError("An item or delimiter stands where none may.")
        self._open.pop()

    def _push(self, encoding: int) -> None:
        if len(self._open) > _MAX_DEPTH:
            raise UnreadableDicomError("Sequences are nested too deeply.")
        self._open.append(encoding)
