"""One value of a PS3.10 file as it arrives: an encapsulated document, or the bit stream of a video.

Nothing of the file is held but the head of the file meta information; the value comes out in pieces as they go in.
"""

from typing import Final

from typing_extensions import override

from kheops.dicomweb.data_set import DataSetWalker, NotDicomError, UnreadableDicomError
from kheops.dicomweb.meta_element import meta_element

__all__ = ["ValueReader"]

_PREFIX: Final = 132
_MAX_META: Final = 256 * 1024
_META_GROUP: Final = 0x0002
_TRANSFER_SYNTAX: Final = 0x00020010
_IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
_OTHER_ENCODINGS: Final = frozenset(
    {
        "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.95",
        "1.2.840.10008.1.2.4.205",
    }
)
"""Big endian, and deflated: in none of them are documents or videos stored."""
_UNDEFINED: Final = 0xFFFFFFFF
_MOST: Final = _UNDEFINED - 1


class _ValueWalker(DataSetWalker):
    """Walks on and gives out the value of one element of the top level; fragments without their offset table."""

    def __init__(self, tag: int, *, explicit_vr: bool) -> None:
        super().__init__(explicit_vr=explicit_vr, little_endian=True, wanted={tag: _MOST})
        self._tag = tag
        self._fragments: int | None = None
        self._finished: list[bytes] = []
        self.length: int | None = None
        self.begun = False
        self.ended = False

    def drain(self) -> bytes:
        """Return what has arrived of the value since the last time."""
        found = b"".join(self._finished) + bytes(self._kept)
        self._finished.clear()
        self._kept.clear()
        return found

    @override
    def _begin_value(self, tag: int, vr: bytes, length: int) -> None:
        if len(self._open) == 1 and tag == self._tag and not self.begun:
            self.begun = True
            if length == _UNDEFINED:
                self._fragments = 0
            else:
                self.length = length
        super()._begin_value(tag, vr, length)

    @override
    def _in_sequence(self, encoding: int, tag: int, length: int) -> None:
        super()._in_sequence(encoding, tag, length)
        if self._fragments is None:
            return
        if len(self._open) == 1:
            self._fragments, self.ended = None, True
        elif self._skip:
            if self._fragments:
                self._kept_tag = self._tag
            self._fragments += 1
        else:
            self._fragments += 1

    @override
    def _keep(self) -> None:
        if self._kept_tag is None:
            return
        self._finished.append(bytes(self._kept))
        self._kept.clear()
        self._kept_tag = None
        self.ended = self.ended or self._fragments is None


class ValueReader:
    """Reads a file for the value of one element of its top level.

    Parameters
    ----------
    tag
        The element; its value may be in fragments (PS3.5 section A.4), which are put together.
    """

    def __init__(self, tag: int) -> None:
        self._tag = tag
        self._head = b""
        self._walker: _ValueWalker | None = None

    @property
    def begun(self) -> bool:
        """Whether the value has begun."""
        return self._walker is not None and self._walker.begun

    @property
    def ended(self) -> bool:
        """Whether it is complete; what follows in the file is of no interest."""
        return self._walker is not None and self._walker.ended

    @property
    def length(self) -> int | None:
        """Bytes of a value that has begun and is not in fragments."""
        return None if self._walker is None else self._walker.length

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the file and return what of them is of the value.

        Raises
        ------
        UnreadableDicomError
            If they are no PS3.10 file, or of an encoding that is none of documents and videos.
        """
        if self._walker is None:
            self._head += chunk
            rest = self._read_head()
            if rest is None or self._walker is None:
                return b""
            chunk = rest
        if self._walker.ended:
            return b""
        self._walker.feed(chunk)
        return self._walker.drain()

    def _read_head(self) -> bytes | None:
        """Read the file meta information once it is there; return what follows it."""
        held = self._head
        if len(held) > _PREFIX - 1 and held[_PREFIX - 4 : _PREFIX] != b"DICM":
            raise NotDicomError("The stored object is no PS3.10 file.")
        if len(held) > _MAX_META:
            raise UnreadableDicomError("The file meta information is too long.")
        position, syntax = _PREFIX, ""
        while (element := meta_element(held, position)) is not None:
            if element.tag >> 16 != _META_GROUP:
                if not syntax or syntax in _OTHER_ENCODINGS:
                    raise UnreadableDicomError("The file is not encoded as documents and videos are.")
                self._walker = _ValueWalker(self._tag, explicit_vr=syntax != _IMPLICIT_LITTLE_ENDIAN)
                self._head = b""
                return held[position:]
            end = element.value_at + element.length
            if len(held) < end:
                return None
            if element.tag == _TRANSFER_SYNTAX:
                syntax = held[element.value_at : end].decode("ascii", "replace").rstrip("\0 ")
            position = end
        return None
