"""Where instances are kept: a file each, their metadata beside them, and an index in SQLite.

A file is complete and on the disk before the index names it; what the index does not name is swept away at start.
"""

import hashlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from local.healthcare_emulator.dicom_file import DicomFile, Identity

__all__ = ["BeingDeletedError", "ConflictingInstanceError", "Draft", "Row", "Shelf"]

SEARCHABLE: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDate",
    "Modality",
)
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS instances (
    {", ".join(f"{keyword} TEXT NOT NULL" for keyword in SEARCHABLE)},
    sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID)
);
CREATE TABLE IF NOT EXISTS operations (id TEXT PRIMARY KEY, study TEXT NOT NULL, series TEXT, done INTEGER NOT NULL);
"""


class BeingDeletedError(Exception):
    """The study or series is being deleted; ``args[0]`` is the identity of what was to be added."""


class ConflictingInstanceError(Exception):
    """The store has other bytes under the same three UIDs."""


@dataclass(frozen=True, slots=True)
class Row:
    """An instance of the index."""

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    path: Path
    size: int
    modality: str

    @property
    def metadata_path(self) -> Path:
        """Where its metadata lies."""
        return self.path.with_suffix(".json")


class Draft:
    """An instance that is arriving: a temporary file and a running digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Add the next bytes."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def flush(self) -> None:
        """Make what was written readable by `path`."""
        self._file.flush()

    def finish(self) -> str:
        """Bring the file to the disk and return its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Drop it. Harmless after `Shelf.add`."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


class Shelf:
    """The stored instances of one DICOM store. Methods block; they may be called from any thread.

    Parameters
    ----------
    folder
        Where everything lies; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._drafts = folder / "drafts"
        self._objects.mkdir(parents=True, exist_ok=True)
        self._drafts.mkdir(exist_ok=True)
        self._lock = threading.Lock()
        self._adding = threading.Lock()
        self._db = sqlite3.connect(folder / "index.sqlite", check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        self._sweep()

    def _sweep(self) -> None:
        for draft in self._drafts.iterdir():
            draft.unlink()
        known = {row[0] for row in self._db.execute("SELECT file FROM instances")}
        for path in self._objects.glob("*/*"):
            if path.stem not in known:
                path.unlink()

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing ---------------------------------------------------------------------------------------------------

    def draft(self) -> Draft:
        """Return a place for the bytes of an instance that is arriving."""
        return Draft(self._drafts / f"{uuid.uuid4().hex}.dcm")

    def add(self, draft: Draft) -> Identity:
        """Keep a complete draft, or nothing if the same bytes are kept already.

        Raises
        ------
        UnreadableFileError
            If it is no DICOM file.
        ConflictingInstanceError
            If other bytes are kept under its UIDs; ``args[0]`` is its identity.
        BeingDeletedError
            If an operation that deletes its study or series has not ended.
        """
        sha256 = draft.finish()
        try:
            file = DicomFile(draft.path)
            identity = file.identity()
            with self._adding:
                if self._is_being_deleted(identity):
                    raise BeingDeletedError(identity)
                held = self._digest_of(identity)
                if held is None:
                    self._keep(draft, file, identity, sha256)
            if held not in {None, sha256}:
                raise ConflictingInstanceError(identity)
            return identity
        finally:
            draft.discard()

    def _is_being_deleted(self, identity: Identity) -> bool:
        with self._lock:
            running = self._db.execute(
                "SELECT 1 FROM operations WHERE done = 0 AND study = ?1 AND coalesce(series, ?2) = ?2",
                (identity.study, identity.series),
            )
            return running.fetchone() is not None

    def _digest_of(self, identity: Identity) -> str | None:
        where, values = _below(identity.study, identity.series, identity.instance)
        with self._lock:
            row = self._db.execute(f"SELECT sha256 FROM instances WHERE {where}", values).fetchone()
        return None if row is None else str(row[0])

    def _keep(self, draft: Draft, file: DicomFile, identity: Identity, sha256: str) -> None:
        name = draft.path.stem
        folder = self._objects / name[:2]
        folder.mkdir(exist_ok=True)
        metadata = draft.path.with_suffix(".json")
        with metadata.open("wb") as stream:
            stream.write(file.metadata())
            stream.flush()
            os.fsync(stream.fileno())
        metadata.rename(folder / metadata.name)
        draft.path.rename(folder / draft.path.name)
        _sync_folder(folder)
        values = [
            identity.study,
            identity.series,
            identity.instance,
            *(file.text(keyword) for keyword in SEARCHABLE[3:]),
            identity.sop_class,
            identity.transfer_syntax,
            name,
            draft.size,
            sha256,
        ]
        with self._lock, self._db:
            self._db.execute(f"INSERT INTO instances VALUES ({','.join('?' * len(values))})", values)

    def delete(self, study: str, series: str | None = None, instance: str | None = None) -> int:
        """Delete an instance, a series or a study; return how many instances that were."""
        where, values = _below(study, series, instance)
        with self._lock, self._db:
            rows = self._db.execute(f"DELETE FROM instances WHERE {where} RETURNING file", values).fetchall()
        for (name,) in rows:
            self._remove(self._path(name))
        return len(rows)

    @staticmethod
    def _remove(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        path.with_suffix(".class").unlink(missing_ok=True)

    # Reading ---------------------------------------------------------------------------------------------------

    def find(self, study: str, series: str | None = None, instance: str | None = None) -> list[Row]:
        """Return the instances of a study, a series, or the one named; in a stable order."""
        where, values = _below(study, series, instance)
        return self.select(where, values, group=(), limit=-1, offset=0)

    def everything(self) -> list[Row]:
        """Return all instances, in a stable order."""
        return self.select("1", (), group=(), limit=-1, offset=0)

    def select(self, where: str, values: Sequence[Any], *, group: Sequence[str], limit: int, offset: int) -> list[Row]:
        """Return rows that match, one for each value of ``group``, in a stable order."""
        grouping = f"GROUP BY {', '.join(group)}" if group else ""
        statement = (
            "SELECT StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, sop_class, transfer_syntax, file, size,"
            f" Modality FROM instances WHERE {where} {grouping}"
            " ORDER BY StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID LIMIT ? OFFSET ?"
        )
        with self._lock:
            rows = self._db.execute(statement, (*values, limit, offset)).fetchall()
        return [
            Row(study, series, instance, sop_class, transfer_syntax, self._path(name), size, modality)
            for study, series, instance, sop_class, transfer_syntax, name, size, modality in rows
        ]

    def _path(self, name: str) -> Path:
        return self._objects / name[:2] / f"{name}.dcm"

    # Operations ------------------------------------------------------------------------------------------------

    def begin_operation(self, study: str, series: str | None) -> str:
        """Note that a deletion has begun; return its id."""
        identifier = str(uuid.uuid4().int % 10**19)
        with self._lock, self._db:
            self._db.execute("INSERT INTO operations VALUES (?, ?, ?, 0)", (identifier, study, series))
        return identifier

    def finish_operation(self, identifier: str) -> None:
        """Note that it has ended."""
        with self._lock, self._db:
            self._db.execute("UPDATE operations SET done = 1 WHERE id = ?", (identifier,))

    def operation_done(self, identifier: str) -> bool | None:
        """Return whether it has ended; ``None`` if there is none."""
        with self._lock:
            row = self._db.execute("SELECT done FROM operations WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else bool(row[0])

    def unfinished_operations(self) -> list[tuple[str, str, str | None]]:
        """Return id, study and series of the deletions that a stop cut short."""
        with self._lock:
            return self._db.execute("SELECT id, study, series FROM operations WHERE done = 0").fetchall()


def _below(study: str, series: str | None, instance: str | None) -> tuple[str, list[str]]:
    where, values = "StudyInstanceUID = ?", [study]
    if series is not None:
        where, values = where + " AND SeriesInstanceUID = ?", [*values, series]
    if instance is not None:
        where, values = where + " AND SOPInstanceUID = ?", [*values, instance]
    return where, values


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
