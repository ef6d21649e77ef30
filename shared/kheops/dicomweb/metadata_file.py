"""PS3.10 files from metadata and bulk data (PS3.18 section 10.5.2.2, PS3.5 section 7, PS3.10 section 7).

A file is given as its pieces, so that bulk data is never copied: what was received is what the file refers to.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kheops.dicomweb.data_set import LONG_VRS, UnreadableDicomError
from kheops.errors import InvalidIdentifierError
from kheops.ids import sop_class_uid, sop_instance_uid, transfer_syntax_uid

__all__ = ["Bulk", "Piece", "identifiers_of", "metadata_file"]

Piece = bytes | bytearray | memoryview
"""Some bytes of a file."""

_IMPLEMENTATION: Final = "1.2.826.0.1.3680043.10.1640.1"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_COMPRESSED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
_OF_TYPE: Final = {
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "video/mpeg": "1.2.840.10008.1.2.4.100",
    "video/mp4": "1.2.840.10008.1.2.4.102",
    "video/h265": "1.2.840.10008.1.2.4.107",
}
"""The default transfer syntax of each media type (PS3.18 tables 8.7.3-2 to 8.7.3-5)."""
_OF_JPEG_FRAME: Final = {
    0xC0: "1.2.840.10008.1.2.4.50",
    0xC1: "1.2.840.10008.1.2.4.51",
    0xC3: "1.2.840.10008.1.2.4.70",
    0xF7: "1.2.840.10008.1.2.4.80",
}
"""By the marker that begins a JPEG frame: what ``image/jpeg`` means is asked of the image itself."""

_CHARACTER_SET: Final = "00080005"
_PIXEL_DATA: Final = "7FE00010"
_FRAMES: Final = "00280008"
_SYNTAX_HINTS: Final = ("00083002", "00020010")
"""AvailableTransferSyntaxUID, and what file meta information would say."""

_MAX_DEPTH: Final = 60
_MAX_SHORT: Final = 0xFFFE
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END: Final = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_LONGEST_NUMBER: Final = 32
_LONGEST_DECIMAL: Final = 16
_MOST_MARKERS: Final = 1000
"""Before the first frame of a JPEG image; an image has some ten."""

_INTEGERS: Final = {"SL": "<l", "SS": "<h", "SV": "<q", "UL": "<L", "US": "<H", "UV": "<Q"}
_FLOATS: Final = {"FD": "<d", "FL": "<f"}
_BINARY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_ONE_TEXT: Final = frozenset({"LT", "ST", "UR", "UT"})
_TEXTS: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "PN", "SH", "TM", "UC", "UI"}) | _ONE_TEXT
_DECIMAL: Final = frozenset({"DS", "IS"})
_VRS: Final = frozenset({"AT", "SQ"}) | _INTEGERS.keys() | _FLOATS.keys() | _BINARY | _TEXTS | _DECIMAL
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class Bulk:
    """One part with bulk data."""

    media_type: str
    """Without parameters."""
    transfer_syntax: str | None
    """As its media type names it."""
    data: bytearray


FindBulk = Callable[[str], Bulk | None]
"""Returns the part of a BulkDataURI; ``None`` if the request has none."""


def metadata_file(data_set: Mapping[str, object], find_bulk: FindBulk) -> Sequence[Piece]:
    """Return an instance as a PS3.10 file.

    Parameters
    ----------
    data_set
        The instance's metadata in the DICOM JSON Model. Numbers may be text.
    find_bulk
        The bulk data of the request. Nothing else is ever looked at for a BulkDataURI.

    Returns
    -------
    Sequence
        The file's bytes in order: Explicit VR Little Endian, and text as UTF-8 whatever character set the metadata
        names; of compressed pixels the transfer syntax that their part's media type, the metadata or the image names.

    Raises
    ------
    UnreadableDicomError
        If the metadata breaks the model, names bulk data that is not there, or has a value that does not fit.
    """
    data_set = _by_tag(data_set)
    syntax = _transfer_syntax(data_set, find_bulk)
    pieces: list[Piece] = []
    writer = _Writer(pieces, find_bulk, encapsulated=syntax != _EXPLICIT)
    writer.data_set({**data_set, _CHARACTER_SET: {"vr": "CS", "Value": ["ISO_IR 192"]}}, 0)
    sop_class, instance = identifiers_of(data_set)
    return [_meta(sop_class, instance, syntax), *pieces]


def identifiers_of(data_set: Mapping[str, object]) -> tuple[str, str]:
    """Return the SOP Class and SOP Instance UID of metadata.

    Raises
    ------
    UnreadableDicomError
        If one is absent or ill-formed.
    """
    try:
        return sop_class_uid(_only(data_set, "00080016")), sop_instance_uid(_only(data_set, "00080018"))
    except InvalidIdentifierError:
        raise UnreadableDicomError("A UID that identifies the object is absent, empty or ill-formed.") from None


def _only(data_set: Mapping[str, object], key: str) -> str:
    """Return the only value of an element where it is text."""
    element = data_set.get(key)
    values = element.get("Value") if isinstance(element, Mapping) else None
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return ""


def _meta(sop_class: str, instance: str, syntax: str) -> bytes:
    elements = b"".join(
        (
            _head(0x0002, 0x0001, "OB", 2) + b"\0\1",
            *(
                _head(0x0002, element, "UI", len(value)) + value
                for element, value in (
                    (0x0002, _padded(sop_class.encode(), b"\0")),
                    (0x0003, _padded(instance.encode(), b"\0")),
                    (0x0010, _padded(syntax.encode(), b"\0")),
                    (0x0012, _padded(_IMPLEMENTATION.encode(), b"\0")),
                )
            ),
        )
    )
    return bytes(128) + b"DICM" + _head(0x0002, 0x0000, "UL", 4) + struct.pack("<L", len(elements)) + elements


def _transfer_syntax(data_set: Mapping[str, object], find_bulk: FindBulk) -> str:
    pixels = data_set.get(_PIXEL_DATA)
    uri = pixels.get("BulkDataURI") if isinstance(pixels, Mapping) else None
    bulk = find_bulk(uri) if isinstance(uri, str) else None
    if bulk is None:
        return _EXPLICIT
    named = bulk.transfer_syntax
    picture = bulk.media_type.startswith(("image/", "video/"))
    if named is None and picture:
        hints = [hint for hint in (_only(data_set, key) for key in _SYNTAX_HINTS) if hint.startswith(_COMPRESSED)]
        named = hints[0] if hints else _OF_TYPE.get(bulk.media_type) or _syntax_of_jpeg(bulk.data)
    if named is None or (not picture and not named.startswith(_COMPRESSED)):
        return _EXPLICIT
    if not named.startswith(_COMPRESSED):
        raise UnreadableDicomError("The transfer syntax of the pixel data is none of its media type.")
    if bulk.media_type.startswith("image/") and _number_of_frames(data_set) > 1:
        raise UnreadableDicomError("The frames of compressed pixel data cannot be told apart in one part.")
    try:
        return transfer_syntax_uid(named)
    except InvalidIdentifierError:
        raise UnreadableDicomError("The transfer syntax of the pixel data is no UID.") from None


def _number_of_frames(data_set: Mapping[str, object]) -> int:
    element = data_set.get(_FRAMES)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return _integer(values[0]) if isinstance(values, list) and values and values[0] is not None else 1


def _syntax_of_jpeg(data: bytearray) -> str:
    """Return the transfer syntax of a JPEG image by its first frame header (ITU-T T.81 annex B)."""
    position, markers = 2, 0
    while data[:2] == b"\xff\xd8" and position + 4 <= len(data) and data[position] == 0xFF:  # noqa: PLR2004 - the start of a marker
        marker = data[position + 1]
        markers += 1
        if markers > _MOST_MARKERS:
            break
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            position += 1
            continue
        if marker in _OF_JPEG_FRAME:
            return _OF_JPEG_FRAME[marker]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise UnreadableDicomError("The transfer syntax of the pixel data is not known; name it in its media type.")


class _Writer:
    """Writes data sets in Explicit VR Little Endian; sequences and items have undefined length."""

    def __init__(self, pieces: list[Piece], find_bulk: FindBulk, *, encapsulated: bool) -> None:
        self._pieces = pieces
        self._small = bytearray()
        self._find_bulk = find_bulk
        self._encapsulated = encapsulated
        pieces.append(self._small)

    def _write(self, data: bytes) -> None:
        # Joined as they come: hundreds of thousands of small pieces would take many times what they hold.
        self._small += data

    def _refer(self, data: bytearray) -> None:
        self._small = bytearray()
        self._pieces += [data, self._small]

    def data_set(self, data_set: Mapping[str, object], depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise UnreadableDicomError("The metadata nests too deeply.")
        elements = _by_tag(data_set)
        for key in sorted(elements):
            group, number = _tag(key)
            if depth and key == _CHARACTER_SET:
                continue
            # File meta information is written anew, and the lengths of groups are retired (PS3.5 section 7.2).
            if group != 0x0002 and number != 0 and key not in _SYNTAX_HINTS:  # noqa: PLR2004 - a group
                self._element(group, number, elements[key], depth)

    def _element(self, group: int, number: int, element: object, depth: int) -> None:
        vr = element.get("vr") if isinstance(element, Mapping) else None
        if not isinstance(element, Mapping) or not isinstance(vr, str) or vr not in _VRS:
            raise UnreadableDicomError("An element of the metadata has no value representation that DICOM knows.")
        kinds = [kind for kind in ("Value", "BulkDataURI", "InlineBinary") if element.get(kind) is not None]
        if len(kinds) > 1:
            raise UnreadableDicomError("An element of the metadata has its value in two forms.")
        value = element[kinds[0]] if kinds else []
        if vr == "SQ":
            self._sequence(group, number, value, depth)
        elif kinds == ["BulkDataURI"]:
            self._bulk(group, number, vr, value)
        elif kinds == ["InlineBinary"]:
            self._plain(group, number, vr, _binary(value))
        else:
            self._plain(group, number, vr, _encoded(vr, value))

    def _plain(self, group: int, number: int, vr: str, value: bytes) -> None:
        padded = _padded(value, b"\0" if vr == "UI" or vr in _BINARY else b" ")
        self._write(_head(group, number, vr, len(padded)) + padded)

    def _bulk(self, group: int, number: int, vr: str, uri: object) -> None:
        bulk = self._find_bulk(uri) if isinstance(uri, str) else None
        if bulk is None:
            raise UnreadableDicomError("A BulkDataURI of the metadata names no part of the request.")
        data = bulk.data
        pad = b"\0" if len(data) % 2 and (vr == "UI" or vr in _BINARY) else b" " * (len(data) % 2)
        if self._encapsulated and (group, number) == (0x7FE0, 0x0010):
            head = _head(group, number, "OB", _UNDEFINED) + struct.pack("<HHL", *_ITEM, 0)
            fragment = struct.pack("<HHL", *_ITEM, len(data) + len(data) % 2)
            self._write(head + fragment)
            self._refer(data)
            self._write(b"\0" * (len(data) % 2) + _SEQUENCE_END)
            return
        self._write(_head(group, number, vr, len(data) + len(pad)))
        self._refer(data)
        self._write(pad)

    def _sequence(self, group: int, number: int, value: object, depth: int) -> None:
        if not isinstance(value, list):
            raise UnreadableDicomError("A sequence of the metadata has no list of items.")
        self._write(_head(group, number, "SQ", _UNDEFINED))
        for item in value:
            if not isinstance(item, Mapping | None):
                raise UnreadableDicomError("An item of the metadata is no data set.")
            self._write(struct.pack("<HHL", *_ITEM, _UNDEFINED))
            self.data_set(item or {}, depth + 1)
            self._write(_ITEM_END)
        self._write(_SEQUENCE_END)


def _by_tag(data_set: Mapping[str, object]) -> dict[str, object]:
    elements = {key.upper(): element for key, element in data_set.items()}
    if len(elements) != len(data_set):
        raise UnreadableDicomError("The metadata repeats an attribute.")
    return elements


def _tag(key: str) -> tuple[int, int]:
    if len(key) != 8 or not all(digit in "0123456789ABCDEF" for digit in key):  # noqa: PLR2004 - hexadecimal digits
        raise UnreadableDicomError("A tag of the metadata is not eight hexadecimal digits.")
    group, number = int(key[:4], 16), int(key[4:], 16)
    if group in {0x0000, 0xFFFE, 0xFFFF}:
        raise UnreadableDicomError("The metadata has an element that no data set has.")
    return group, number


def _head(group: int, number: int, vr: str, length: int) -> bytes:
    if vr.encode() in LONG_VRS:
        return struct.pack("<HH2sxxL", group, number, vr.encode(), length)
    if length > _MAX_SHORT:
        raise UnreadableDicomError("A value of the metadata is too long for its value representation.")
    return struct.pack("<HH2sH", group, number, vr.encode(), length)


def _padded(value: bytes, pad: bytes) -> bytes:
    return value + pad if len(value) % 2 else value


def _binary(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "=", validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableDicomError("An InlineBinary of the metadata is not base64.") from None


def _encoded(vr: str, value: object) -> bytes:
    if not isinstance(value, list):
        raise UnreadableDicomError("A Value of the metadata is no list.")
    if not value:
        return b""
    if vr in _BINARY:
        raise UnreadableDicomError("A binary value of the metadata is neither inline nor bulk data.")
    if vr in _INTEGERS or vr in _FLOATS:
        number = _integer if vr in _INTEGERS else _float
        return b"".join(_packed(vr, number(each)) for each in value)
    if vr == "AT":
        return b"".join(struct.pack("<HH", *_attribute_tag(each)) for each in value)
    if vr in _ONE_TEXT and len(value) > 1:
        raise UnreadableDicomError("An attribute of the metadata has more values than it may.")
    texts = ["" if each is None else _text(vr, each) for each in value]
    try:
        return "\\".join(texts).encode()
    except UnicodeEncodeError:
        raise UnreadableDicomError("A text of the metadata is no Unicode.") from None


def _packed(vr: str, number: float) -> bytes:
    try:
        return struct.pack(_INTEGERS.get(vr) or _FLOATS[vr], number)
    except (struct.error, OverflowError):
        raise UnreadableDicomError("A number of the metadata does not fit its value representation.") from None


def _attribute_tag(value: object) -> tuple[int, int]:
    key = value.upper() if isinstance(value, str) else ""
    if len(key) != 8 or not all(digit in "0123456789ABCDEF" for digit in key):  # noqa: PLR2004 - hexadecimal digits
        raise UnreadableDicomError("A tag of the metadata is not eight hexadecimal digits.")
    return int(key[:4], 16), int(key[4:], 16)


def _integer(value: object) -> int:
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
            return int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise UnreadableDicomError("A number of the metadata is none.")


def _float(value: object) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise UnreadableDicomError("A number of the metadata is none.")


def _text(vr: str, value: object) -> str:
    if vr in _DECIMAL and isinstance(value, int | float) and not isinstance(value, bool):
        return _decimal(value)
    if vr == "PN" and isinstance(value, Mapping):
        groups = [value.get(group, "") for group in _GROUPS]
        if all(isinstance(group, str) and "=" not in group for group in groups):
            value = "=".join(groups).rstrip("=")
    if not isinstance(value, str) or (vr not in _ONE_TEXT and "\\" in value):
        raise UnreadableDicomError("A text of the metadata is none, or is several.")
    return value


def _decimal(number: float) -> str:
    """Return a number as text of 16 characters at most (PS3.5 section 6.2)."""
    text = str(number)
    digits = _LONGEST_DECIMAL
    while len(text) > _LONGEST_DECIMAL:
        text = f"{number:.{digits}g}"
        digits -= 1
    return text
