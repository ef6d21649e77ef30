"""What the archive has: files, who is rejected, and whose patient is whose."""

import hashlib
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pydicom

from local.healthcare_emulator.dicom_file import DicomFile, Identity

__all__ = ["AS_RECEIVED", "Held", "Holdings"]

AS_RECEIVED: Final = "AS_RECEIVED"
_QUALITY: Final = "113001"
_EXPIRED: Final = "113039"
_KEY_OBJECT: Final = "1.2.840.10008.5.1.4.1.1.88.59"
_RESTORED: Final = {_EXPIRED}
_IGNORED: Final = {_QUALITY}


@dataclass(slots=True)
class Held:
    """An object."""

    identity: Identity
    path: Path
    patient_name: str
    """As the archive has it: of the first object with the same Patient ID and issuer."""
    issuer: str
    rejected: str | None = None

    def bytes_through(self, entity: str) -> bytes:
        """Return the file as an application entity gives it."""
        body = self.path.read_bytes()
        if entity == AS_RECEIVED:
            return body
        dataset = pydicom.dcmread(io.BytesIO(body))
        dataset.PatientName = self.patient_name
        dataset.IssuerOfPatientID = self.issuer
        stream = io.BytesIO()
        dataset.save_as(stream)
        return stream.getvalue()


class Holdings:
    """All objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._objects: dict[str, Held] = {}
        self._patients: dict[tuple[str, str], str] = {}

    def add(self, body: bytes, changes: dict[str, str]) -> tuple[Identity, int | None]:
        """Keep an object unless its SOP Instance UID is known; return what it says it is, and a failure reason.

        Raises
        ------
        UnreadableFileError
            If it is no DICOM file.
        """
        if changes:
            body = _changed(body, changes)
        path = self._folder / f"{uuid.uuid4().hex}.dcm"
        path.write_bytes(body)
        try:
            file = DicomFile(path)
            identity = file.identity()
        except BaseException:
            path.unlink()
            raise
        known = self._objects.get(identity.instance)
        if known is None:
            self._objects[identity.instance] = self._held(file, identity, path)
            return identity, None
        path.unlink()
        if known.rejected in _RESTORED:
            known.rejected = None
        elif known.rejected is not None and known.rejected not in _IGNORED:
            return identity, 0xA771
        return identity, None

    def _held(self, file: DicomFile, identity: Identity, path: Path) -> Held:
        name = file.text("PatientName")
        issuer = file.text("IssuerOfPatientID")
        if not issuer:
            digest = hashlib.sha256(f"{name}/{file.text('PatientBirthDate')}".encode()).hexdigest()[:8]
            issuer = f"DCM4CHEE.{digest}"
        return Held(identity, path, self._patients.setdefault((file.text("PatientID"), issuer), name), issuer)

    def find(self, entity: str, *, study: str = "*", series: str = "*", instances: list[str]) -> list[Held]:
        """Return what matches patterns, in no order that means anything."""
        found = [
            each
            for each in self._objects.values()
            if (entity == AS_RECEIVED or each.rejected is None)
            and fnmatchcase(each.identity.study, study)
            and fnmatchcase(each.identity.series, series)
            and ("*" in instances or any(fnmatchcase(each.identity.instance, pattern) for pattern in instances))
        ]
        return sorted(found, key=lambda each: hashlib.sha256(each.identity.instance.encode()).digest())

    def reject(self, found: list[Held], code: str) -> int:
        """Reject objects; for quality, a key object tells so in a series of its own."""
        for each in found:
            each.rejected = code
        if code == _QUALITY:
            self.add(_key_object(found[0].path), {})
        return len(found)

    def purge(self, code: str) -> int:
        """Delete all that is rejected for a reason; return how many."""
        gone = [uid for uid, each in self._objects.items() if each.rejected == code]
        for uid in gone:
            self._objects.pop(uid).path.unlink()
        return len(gone)

    def delete(self, found: list[Held]) -> None:
        """Delete objects."""
        for each in found:
            self._objects.pop(each.identity.instance).path.unlink()

    def __iter__(self) -> Iterator[Held]:
        return iter(self._objects.values())


def _changed(body: bytes, changes: dict[str, str]) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(body))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _key_object(of: Path) -> bytes:
    source = pydicom.dcmread(of, stop_before_pixels=True)
    note = pydicom.Dataset()
    note.SOPClassUID, note.SOPInstanceUID = _KEY_OBJECT, pydicom.uid.generate_uid()
    note.StudyInstanceUID, note.SeriesInstanceUID = source.StudyInstanceUID, pydicom.uid.generate_uid()
    note.PatientName, note.PatientID, note.Modality = source.get("PatientName", ""), source.get("PatientID", ""), "KO"
    note.file_meta = pydicom.dataset.FileMetaDataset()
    note.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    note.file_meta.MediaStorageSOPClassUID = note.SOPClassUID
    note.file_meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID
    stream = io.BytesIO()
    note.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
