"""Elements of the file meta information (PS3.10 section 7.1): Explicit VR Little Endian, held whole."""

import struct
from dataclasses import dataclass

from kheops.dicomweb.data_set import LONG_VRS

__all__ = ["MetaElement", "meta_element"]


@dataclass(frozen=True, slots=True)
class MetaElement:
    """Where the value of an element is, and how many bytes it has."""

    tag: int
    value_at: int
    length: int


def meta_element(held: bytes, position: int) -> MetaElement | None:
    """Read the head of the element at ``position``; ``None`` when more bytes are needed."""
    if len(held) - position < 8:  # noqa: PLR2004 - PS3.5 section 7.1.2: no head is shorter
        return None
    group, element, vr, length = struct.unpack_from("<HH2sH", held, position)
    tag = group << 16 | element
    if vr not in LONG_VRS:
        return MetaElement(tag, position + 8, length)
    if len(held) - position < 12:  # noqa: PLR2004 - the same with a length of 32 bits
        return None
    return MetaElement(tag, position + 12, struct.unpack_from("<L", held, position + 8)[0])
