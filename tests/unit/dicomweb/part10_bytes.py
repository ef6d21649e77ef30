"""PS3.10 files byte by byte, for tests: also such as no program would write."""

import struct

from kheops.dicomweb.part10 import Part10Scanner

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"


def scan(data: bytes, *, chunk: int = 1 << 20) -> Part10Scanner:
    scanner = Part10Scanner()
    for start in range(0, len(data), chunk):
        scanner.feed(data[start : start + chunk])
    scanner.close()
    return scanner


def short(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, element, vr, len(value)) + value


def long(group: int, element: int, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2sHL", group, element, vr, 0, length)


def bare(element: int, length: int) -> bytes:
    """Return an item or delimiter."""
    return struct.pack("<HHL", 0xFFFE, element, length)


UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = bare(0xE000, UNDEFINED), bare(0xE00D, 0), bare(0xE0DD, 0)
SOP_CLASS = short(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0")
SOP_INSTANCE = short(8, 0x18, b"UI", b"1.2.3.4\0")
STUDY = short(0x20, 0x0D, b"UI", b"1.2\0")
SERIES = short(0x20, 0x0E, b"UI", b"1.2.3\0")
UIDS = SOP_CLASS + SOP_INSTANCE + STUDY + SERIES


def file_of(data_set: bytes, *, syntax: str = EXPLICIT, meta: bytes = b"") -> bytes:
    elements = meta + short(2, 0x10, b"UI", syntax.encode().ljust(len(syntax) + len(syntax) % 2, b"\0"))
    return bytes(128) + b"DICM" + short(2, 0, b"UL", struct.pack("<L", len(elements))) + elements + data_set
