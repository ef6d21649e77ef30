"""A ZIP archive written forwards, entry by entry, with ZIP64 throughout (APPNOTE.TXT 6.3.10).

The standard library's `zipfile` cannot put a known size and CRC before the data of an entry without seeking back; an
entry that is stored as it is and has neither in front of it cannot be read from a stream. So this is a writer of its
own, for just what is needed here. It holds the central directory, about a hundred bytes an entry, and no data.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

__all__ = ["DeflatedEntry", "EntryMismatchError", "StoredEntry", "ZipArchive"]

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_EXTRA: Final = struct.Struct("<HHQQ")
_EXTRA_WITH_OFFSET: Final = struct.Struct("<HHQQQ")
_DESCRIPTOR: Final = struct.Struct("<IIQQ")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_END: Final = struct.Struct("<IHHHHIIH")

_VERSION: Final = 45
"""4.5: ZIP64."""
_MADE_BY_UNIX: Final = 3 << 8 | _VERSION
_STORED: Final = 0
_DEFLATED: Final = 8
_SIZES_FOLLOW: Final = 1 << 3
_IN_EXTRA: Final = 0xFFFFFFFF
_MANY: Final = 0xFFFF
_FILE_MODE: Final = 0o100644 << 16
_FIRST_YEAR: Final = 1980


class EntryMismatchError(Exception):
    """The data of an entry are not those that its head promised: the archive must not be ended."""


@dataclass(slots=True)
class _Written:
    method: int
    flags: int
    size: int
    compressed: int
    crc32: int
    offset: int


class ZipArchive:
    """Gives the bytes of an archive in the order in which they are sent.

    Parameters
    ----------
    moment
        What every entry is dated with.

    Notes
    -----
    Each entry is begun, fed and ended before the next one; `end` gives the central directory. Who stops before `end`
    leaves an archive that every reader refuses.
    """

    def __init__(self, moment: datetime) -> None:
        year = max(moment.year, _FIRST_YEAR)
        self._time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
        self._date = (year - _FIRST_YEAR) << 9 | moment.month << 5 | moment.day
        self._directory = bytearray()
        self._count = 0
        self._offset = 0

    def stored(self, name: str, *, size: int, crc32: int) -> "StoredEntry":
        """Return an entry whose data are sent as they are, with size (bytes) and CRC-32 known beforehand.

        Raises
        ------
        ValueError
            If the name is not plain printable ASCII, is absolute, or goes upwards.
        """
        return StoredEntry(self, _name(name), _Written(_STORED, 0, size, size, crc32, self._offset))

    def deflated(self, name: str) -> "DeflatedEntry":
        """Return an entry whose size and CRC-32 come behind its data, which are deflated lightly.

        Raises
        ------
        ValueError
            As `stored`.
        """
        return DeflatedEntry(self, _name(name), _Written(_DEFLATED, _SIZES_FOLLOW, 0, 0, 0, self._offset))

    def end(self) -> Iterator[bytes]:
        """Give the central directory and its end records."""
        yield bytes(self._directory)
        start, size = self._offset, len(self._directory)
        yield (
            _END_64.pack(0x06064B50, 44, _MADE_BY_UNIX, _VERSION, 0, 0, self._count, self._count, size, start)
            + _LOCATOR_64.pack(0x07064B50, 0, start + size, 1)
            + _END.pack(
                0x06054B50,
                0,
                0,
                min(self._count, _MANY),
                min(self._count, _MANY),
                min(size, _IN_EXTRA),
                min(start, _IN_EXTRA),
                0,
            )
        )

    def _head(self, name: bytes, entry: _Written) -> bytes:
        # Where the sizes follow, their places hold zero, and all ones say that they are eight bytes long there.
        known = entry.flags & _SIZES_FOLLOW == 0
        extra = _EXTRA.pack(1, 16, entry.size, entry.compressed)
        head = _LOCAL.pack(
            0x04034B50,
            _VERSION,
            entry.flags,
            entry.method,
            self._time,
            self._date,
            entry.crc32 if known else 0,
            _IN_EXTRA,
            _IN_EXTRA,
            len(name),
            len(extra),
        )
        return head + name + extra

    def _done(self, name: bytes, entry: _Written, sent: int) -> None:
        extra = _EXTRA_WITH_OFFSET.pack(1, 24, entry.size, entry.compressed, entry.offset)
        self._directory += _CENTRAL.pack(
            0x02014B50,
            _MADE_BY_UNIX,
            _VERSION,
            entry.flags,
            entry.method,
            self._time,
            self._date,
            entry.crc32,
            _IN_EXTRA,
            _IN_EXTRA,
            len(name),
            len(extra),
            0,
            0,
            0,
            _FILE_MODE,
            _IN_EXTRA,
        )
        self._directory += name + extra
        self._count += 1
        self._offset += sent


class StoredEntry:
    """An entry of `ZipArchive.stored`."""

    def __init__(self, archive: ZipArchive, name: bytes, entry: _Written) -> None:
        self._archive = archive
        self._name = name
        self._entry = entry
        self._crc32 = 0
        self._size = 0
        self._sent = 0

    def begin(self) -> bytes:
        """Return the head of the entry."""
        head = self._archive._head(self._name, self._entry)  # noqa: SLF001 - two halves of one thing
        self._sent = len(head)
        return head

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the entry and return what is to be sent.

        Raises
        ------
        EntryMismatchError
            If there are more of them than was said.
        """
        self._size += len(data)
        if self._size > self._entry.size:
            raise EntryMismatchError
        self._crc32 = zlib.crc32(data, self._crc32)
        return data

    def end(self) -> bytes:
        """Note the entry in the directory and return what is to be sent behind its data.

        Raises
        ------
        EntryMismatchError
            If size or CRC-32 are others than was said.
        """
        if (self._size, self._crc32) != (self._entry.size, self._entry.crc32):
            raise EntryMismatchError
        self._archive._done(self._name, self._entry, self._sent + self._size)  # noqa: SLF001 - as above
        return b""


class DeflatedEntry:
    """An entry of `ZipArchive.deflated`."""

    def __init__(self, archive: ZipArchive, name: bytes, entry: _Written) -> None:
        self._archive = archive
        self._name = name
        self._entry = entry
        self._sent = 0
        self._deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, -zlib.MAX_WBITS)

    def begin(self) -> bytes:
        """Return the head of the entry."""
        head = self._archive._head(self._name, self._entry)  # noqa: SLF001 - two halves of one thing
        self._sent = len(head)
        return head

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the entry and return what is to be sent, which may be nothing yet."""
        self._entry.size += len(data)
        self._entry.crc32 = zlib.crc32(data, self._entry.crc32)
        return self._compressed(self._deflate.compress(data))

    def end(self) -> bytes:
        """Note the entry in the directory and return what is to be sent behind its data."""
        entry = self._entry
        tail = self._compressed(self._deflate.flush())
        tail += _DESCRIPTOR.pack(0x08074B50, entry.crc32, entry.compressed, entry.size)
        self._archive._done(self._name, entry, self._sent + entry.compressed + _DESCRIPTOR.size)  # noqa: SLF001 - as above
        return tail

    def _compressed(self, data: bytes) -> bytes:
        self._entry.compressed += len(data)
        return data


def _name(name: str) -> bytes:
    parts = name.split("/")
    if not (name.isascii() and name.isprintable()) or "\\" in name or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("not a safe name of an entry")
    return name.encode("ascii")
