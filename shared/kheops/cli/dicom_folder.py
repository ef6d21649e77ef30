"""DICOM files in folders: which there are, and what each says it is, without holding any."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kheops.cli.failure import CommandError, ExitCode
from kheops.dicomweb.part10 import Part10Scanner, UnreadableDicomError

__all__ = ["DicomFile", "Found", "find_dicom"]

_PREAMBLE: Final = 128
_CHUNK: Final = 64 * 1024
_MOST_HEAD: Final = 16 * 1024 * 1024
"""Bytes in which the identifiers have to come; icons and long private elements may stand before them."""
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
"""SOP Class of a DICOMDIR (PS3.4), which is of the medium and no object of a study."""


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A file with an object of a study."""

    path: Path
    size: int
    study: str
    series: str
    instance: str


@dataclass(slots=True)
class Found:
    """What lies in the folders."""

    files: list[DicomFile] = field(default_factory=list)
    others: int = 0
    """Files that are no DICOM files: passed over."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Files that begin as DICOM files do, or cannot be opened, with what is wrong."""
    copies: int = 0
    """Files with the very bytes of another one."""


def find_dicom(paths: Iterable[Path]) -> Found:
    """Look through files and folders, with all folders below them.

    Symbolic links to folders are not followed. Of several files of one object the first counts; the others are copies
    if they have the same bytes, else they are named as unreadable, since which one is meant cannot be known.

    Raises
    ------
    CommandError
        If a path does not exist.
    """
    found, seen = Found(), dict[str, DicomFile]()
    for path in paths:
        if not path.exists():
            raise CommandError(f"There is no file or folder {path}.", code=ExitCode.WRONG_USE)
        for file in _walk(path, found):
            _look_at(file, found, seen)
    return found


def _walk(path: Path, found: Found) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return

    def note(error: OSError) -> None:
        found.unreadable[Path(error.filename)] = error.strerror or "it cannot be read"

    for folder, folders, names in os.walk(path, onerror=note):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _look_at(path: Path, found: Found, seen: dict[str, DicomFile]) -> None:
    if not path.is_file():  # a socket or pipe would never end
        found.others += 1
        return
    try:
        file = _identified(path)
    except UnreadableDicomError as error:
        found.unreadable[path] = error.detail or "it is no DICOM file that can be read"
        return
    except OSError as error:
        found.unreadable[path] = error.strerror or "it cannot be read"
        return
    if file is None:
        found.others += 1
        return
    first = seen.setdefault(file.instance, file)
    if first is file:
        found.files.append(file)
    elif _same(first.path, path):
        found.copies += 1
    else:
        found.unreadable[path] = f"it has the SOP Instance UID of {first.path}, and other bytes"


def _identified(path: Path) -> DicomFile | None:
    """Return what a file is; ``None`` if it is no DICOM file, or a DICOMDIR."""
    with path.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        chunk = opened.read(_CHUNK)
        if chunk[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
            return None
        if _DIRECTORY.encode() in chunk[: _PREAMBLE + 512]:
            return None
        scanner, read = Part10Scanner(), 0
        while chunk:
            scanner.feed(chunk)
            read += len(chunk)
            if scanner.head_complete or read >= _MOST_HEAD:
                break
            chunk = opened.read(_CHUNK)
        else:
            scanner.close()
        head = scanner.identity()
    return DicomFile(
        path=path,
        size=size,
        study=head.study_instance_uid,
        series=head.series_instance_uid,
        instance=head.sop_instance_uid,
    )


def _same(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(_CHUNK):
            if chunk != second.read(_CHUNK):
                return False
    return True
