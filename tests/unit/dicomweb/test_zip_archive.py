"""ZIP archives are written forwards, and everybody's reader opens them."""

import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kheops.dicomweb.zip_archive import EntryMismatchError, ZipArchive

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
READERS = {"Info-ZIP": ["unzip", "-t"], "7-Zip": ["7zz", "t"]}


def stored(archive: ZipArchive, name: str, data: bytes, *, pieces: int = 3) -> bytes:
    entry = archive.stored(name, size=len(data), crc32=zlib.crc32(data))
    step = len(data) // pieces + 1
    fed = b"".join(entry.feed(data[start : start + step]) for start in range(0, len(data), step))
    return entry.begin() + fed + entry.end()


def deflated(archive: ZipArchive, name: str, data: bytes) -> bytes:
    entry = archive.deflated(name)
    return entry.begin() + entry.feed(data) + entry.end()


def whole(*entries: tuple[str, bytes, bool]) -> bytes:
    archive = ZipArchive(MOMENT)
    body = b"".join((deflated if is_deflated else stored)(archive, name, data) for name, data, is_deflated in entries)
    return body + b"".join(archive.end())


ENTRIES = (
    ("DICOM/SE000001/IM000001", b"\x00\x01" * 5000, False),
    ("DICOM/SE000001/IM000002", b"", False),
    ("DICOM/SE000001/IM000003", b"compressible " * 4000, True),
    ("DICOM/SE000001/IM000004", b"", True),
    ("DICOMDIR", b"directory", False),
)


def test_python_reads_every_entry_as_it_was() -> None:
    with zipfile.ZipFile(io.BytesIO(whole(*ENTRIES))) as read:
        assert read.testzip() is None
        assert [(each.filename, read.read(each)) for each in read.infolist()] == [entry[:2] for entry in ENTRIES]
        assert {each.date_time for each in read.infolist()} == {(2026, 2, 3, 4, 5, 6)}
        kinds = {each.filename: each.compress_type for each in read.infolist()}
        assert kinds == {
            name: zipfile.ZIP_DEFLATED if is_deflated else zipfile.ZIP_STORED for name, _, is_deflated in ENTRIES
        }


@pytest.mark.parametrize("reader", READERS)
def test_other_readers_find_no_fault(reader: str, tmp_path: Path) -> None:
    command = READERS[reader]
    assert shutil.which(command[0]) is not None, f"{command[0]} is set up by local/setup.sh"
    path = tmp_path / "a.zip"
    path.write_bytes(whole(*ENTRIES))
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_entry_of_known_size_can_be_read_from_a_stream() -> None:
    # Its head says what follows: no reader has to wait for the directory.
    data = b"pixels" * 100
    archive = ZipArchive(MOMENT)
    body = stored(archive, "A", data)
    flags, method = struct.unpack_from("<HH", body, 6)
    assert (flags, method) == (0, 0)
    assert struct.unpack_from("<I", body, 14) == (zlib.crc32(data),)
    assert struct.unpack_from("<QQ", body, 30 + 1 + 4) == (len(data), len(data))


def test_an_archive_that_is_not_ended_is_refused() -> None:
    archive = ZipArchive(MOMENT)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(stored(archive, "A", b"data")))


@pytest.mark.parametrize(
    ("said", "sent"),
    [(b"abc", b"abd"), (b"abc", b"ab"), (b"abc", b"abcd"), (b"", b"a"), (b"a", b"")],
    ids=["other bytes", "fewer", "more", "some for none", "none for some"],
)
def test_data_that_are_not_what_was_said_do_not_become_an_entry(said: bytes, sent: bytes) -> None:
    archive = ZipArchive(MOMENT)
    entry = archive.stored("A", size=len(said), crc32=zlib.crc32(said))
    entry.begin()

    def use() -> None:
        entry.feed(sent)
        entry.end()

    with pytest.raises(EntryMismatchError):
        use()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a\\b", "a\nb", "ä", "a/.", "a/"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    archive = ZipArchive(MOMENT)
    with pytest.raises(ValueError, match="safe name"):
        archive.stored(name, size=0, crc32=0)
    with pytest.raises(ValueError, match="safe name"):
        archive.deflated(name)


def test_more_than_65535_entries_and_offsets_beyond_4_gib_are_written_as_zip64() -> None:
    archive = ZipArchive(MOMENT)
    for number in range(70_000):
        entry = archive.stored(f"A/{number:06}", size=0, crc32=0)
        entry.begin()
        entry.end()
    # As if 5 GiB had been sent before: the entry's place does not fit four bytes.
    archive._offset += 5 * 2**30
    entry = archive.stored("LAST", size=3, crc32=zlib.crc32(b"abc"))
    head = entry.begin()
    entry.feed(b"abc")
    entry.end()
    directory, ends = archive.end()
    assert struct.unpack_from("<QQ", ends, 24) == (70_001, 70_001)
    assert struct.unpack_from("<H", ends, len(ends) - 22 + 10) == (0xFFFF,)
    last = directory[directory.rindex(b"PK\x01\x02") :]
    size, compressed, offset = struct.unpack_from("<QQQ", last, 46 + len("LAST") + 4)
    heads = 70_000 * (30 + len("A/000000") + 20)
    assert (size, compressed, offset) == (3, 3, heads + 5 * 2**30)
    assert struct.unpack_from("<QQ", ends, 40) == (len(directory), offset + len(head) + 3)


def test_what_is_held_of_an_entry_is_small() -> None:
    archive = ZipArchive(MOMENT)
    for number in range(1000):
        stored(archive, f"DICOM/SE000001/IM{number:06}", b"x" * 1000)
    assert len(b"".join(archive.end())) < 1000 * 128
