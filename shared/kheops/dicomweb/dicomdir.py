"""The DICOMDIR of a file-set (PS3.3 annex F, PS3.10 section 8), written from catalog values.

Records are added in the order patient, study, series, instance; the offsets that link them are filled in at the end.
A few hundred bytes an instance are held, in one buffer.
"""

import struct
from dataclasses import dataclass
from typing import Final

from kheops.ids import SopInstanceUID

__all__ = ["Dicomdir", "DirectoryInstance", "DirectoryPatient", "DirectorySeries", "DirectoryStudy"]

_MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_IMPLEMENTATION: Final = "1.2.826.0.1.3680043.10.1640.1"
_FILE_SET_ID: Final = "KHEOPS_ZIP"
_UNKNOWN: Final = "UNKNOWN"
_LONG_VRS: Final = frozenset({b"OB", b"SQ", b"UT"})
_UTF_8: Final = "ISO_IR 192"
_IN_USE: Final = 0xFFFF

# (SOP class, its record type): PS3.3 section F.4, for what is no image. What is not listed is an image.
_RECORD_TYPES: Final = {
    "1.2.840.10008.5.1.4.1.1.11": "PRESENTATION",
    "1.2.840.10008.5.1.4.1.1.88": "SR DOCUMENT",
    "1.2.840.10008.5.1.4.1.1.88.59": "KEY OBJECT DOC",
    "1.2.840.10008.5.1.4.1.1.9": "WAVEFORM",
    "1.2.840.10008.5.1.4.1.1.104": "ENCAP DOC",
    "1.2.840.10008.5.1.4.1.1.66.1": "REGISTRATION",
    "1.2.840.10008.5.1.4.1.1.66.2": "FIDUCIAL",
    "1.2.840.10008.5.1.4.1.1.66": "RAW DATA",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT DOSE",
    "1.2.840.10008.5.1.4.1.1.481.3": "RT STRUCTURE SET",
    "1.2.840.10008.5.1.4.1.1.481.5": "RT PLAN",
    "1.2.840.10008.5.1.4.1.1.4.2": "SPECTROSCOPY",
    "1.2.840.10008.5.1.4.1.1.45": "VALUE MAP",
}


@dataclass(frozen=True, slots=True)
class DirectoryPatient:
    """Values of a PATIENT record."""

    patient_id: str | None
    patient_name: str | None


@dataclass(frozen=True, slots=True)
class DirectoryStudy:
    """Values of a STUDY record."""

    study_instance_uid: str
    study_date: str | None
    study_time: str | None
    study_description: str | None
    study_id: str | None
    accession_number: str | None


@dataclass(frozen=True, slots=True)
class DirectorySeries:
    """Values of a SERIES record."""

    series_instance_uid: str
    modality: str | None
    series_number: str | None


@dataclass(frozen=True, slots=True)
class DirectoryInstance:
    """Values of the record of an instance."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    instance_number: str | None
    file_id: tuple[str, ...]
    """Components of its name in the file-set (PS3.10 section 8.2): up to eight of eight characters each."""


@dataclass(slots=True)
class _Open:
    """The last record of a level: where its links are, and where the link to what lies below it is."""

    next_at: int
    lower_at: int


class Dicomdir:
    """Collects the records of a file-set.

    Parameters
    ----------
    sop_instance_uid
        Of the directory itself.
    """

    def __init__(self, sop_instance_uid: SopInstanceUID) -> None:
        meta = b"".join(
            (
                _element(0x0002, 0x0001, b"OB", b"\x00\x01"),
                _element(0x0002, 0x0002, b"UI", _uid(_MEDIA_STORAGE_DIRECTORY)),
                _element(0x0002, 0x0003, b"UI", _uid(sop_instance_uid)),
                _element(0x0002, 0x0010, b"UI", _uid(_EXPLICIT_LITTLE_ENDIAN)),
                _element(0x0002, 0x0012, b"UI", _uid(_IMPLEMENTATION)),
            )
        )
        self._bytes = bytearray(
            bytes(128) + b"DICM" + _element(0x0002, 0x0000, b"UL", struct.pack("<I", len(meta))) + meta
        )
        self._bytes += _element(0x0004, 0x1130, b"CS", _text(_FILE_SET_ID))
        self._first_at = self._link(0x1200)
        self._last_at = self._link(0x1202)
        self._bytes += _element(0x0004, 0x1212, b"US", struct.pack("<H", 0))
        self._bytes += struct.pack("<HH2sHI", 0x0004, 0x1220, b"SQ", 0, 0)
        self._sequence_at = len(self._bytes)
        self._levels: list[_Open] = []

    def add_patient(self, patient: DirectoryPatient) -> None:
        """Begin a patient; what is added next is theirs."""
        self._record(
            0,
            "PATIENT",
            _element(0x0010, 0x0010, b"PN", _text(patient.patient_name or "")),
            _element(0x0010, 0x0020, b"LO", _text(patient.patient_id or _UNKNOWN)),
        )

    def add_study(self, study: DirectoryStudy) -> None:
        """Begin a study of the patient added last."""
        self._record(
            1,
            "STUDY",
            _element(0x0008, 0x0020, b"DA", _text(study.study_date or "")),
            _element(0x0008, 0x0030, b"TM", _text(study.study_time or "")),
            _element(0x0008, 0x0050, b"SH", _text(study.accession_number or "")),
            _element(0x0008, 0x1030, b"LO", _text(study.study_description or "")),
            _element(0x0020, 0x000D, b"UI", _uid(study.study_instance_uid)),
            _element(0x0020, 0x0010, b"SH", _text(study.study_id or "")),
        )

    def add_series(self, series: DirectorySeries) -> None:
        """Begin a series of the study added last."""
        self._record(
            2,
            "SERIES",
            _element(0x0008, 0x0060, b"CS", _text(series.modality or "OT")),
            _element(0x0020, 0x000E, b"UI", _uid(series.series_instance_uid)),
            _element(0x0020, 0x0011, b"IS", _text(series.series_number or "0")),
        )

    def add_instance(self, instance: DirectoryInstance) -> None:
        """Add an instance of the series added last."""
        self._record(
            3,
            _record_type(instance.sop_class_uid),
            _element(0x0020, 0x0013, b"IS", _text(instance.instance_number or "0")),
            reference=b"".join(
                (
                    _element(0x0004, 0x1500, b"CS", _text("\\".join(instance.file_id))),
                    _element(0x0004, 0x1510, b"UI", _uid(instance.sop_class_uid)),
                    _element(0x0004, 0x1511, b"UI", _uid(instance.sop_instance_uid)),
                    _element(0x0004, 0x1512, b"UI", _uid(instance.transfer_syntax_uid)),
                )
            ),
        )

    def finish(self) -> bytes:
        """Return the file; nothing can be added after that."""
        struct.pack_into("<I", self._bytes, self._sequence_at - 4, len(self._bytes) - self._sequence_at)
        return bytes(self._bytes)

    def _record(self, level: int, record_type: str, *elements: bytes, reference: bytes = b"") -> None:
        if level > len(self._levels):
            raise ValueError("a record without what it belongs to")
        start = len(self._bytes)
        self._enter(level, start)
        self._bytes += struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        next_at = self._link(0x1400)
        self._bytes += _element(0x0004, 0x1410, b"US", struct.pack("<H", _IN_USE))
        lower_at = self._link(0x1420)
        self._bytes += _element(0x0004, 0x1430, b"CS", _text(record_type)) + reference
        self._bytes += _element(0x0008, 0x0005, b"CS", _text(_UTF_8))
        for element in elements:
            self._bytes += element
        struct.pack_into("<I", self._bytes, start + 4, len(self._bytes) - start - 8)
        del self._levels[level:]
        self._levels.append(_Open(next_at, lower_at))

    def _enter(self, level: int, start: int) -> None:
        """Link the record that begins at ``start`` from its elder sister, or else from its parent."""
        if len(self._levels) > level:
            struct.pack_into("<I", self._bytes, self._levels[level].next_at, start)
        elif level:
            struct.pack_into("<I", self._bytes, self._levels[level - 1].lower_at, start)
        else:
            struct.pack_into("<I", self._bytes, self._first_at, start)
        if not level:
            struct.pack_into("<I", self._bytes, self._last_at, start)

    def _link(self, element: int) -> int:
        """Write an offset that is not known yet; return where it stands."""
        self._bytes += _element(0x0004, element, b"UL", bytes(4))
        return len(self._bytes) - 4


def _record_type(sop_class_uid: str) -> str:
    """Return the record type of the class, or of the longest listed root that it is under."""
    parts = sop_class_uid.split(".")
    for length in range(len(parts), 0, -1):
        found = _RECORD_TYPES.get(".".join(parts[:length]))
        if found is not None:
            return found
    return "IMAGE"


def _element(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    if vr in _LONG_VRS:
        return struct.pack("<HH2sHI", group, element, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, element, vr, len(value)) + value


def _text(value: str) -> bytes:
    encoded = value.encode("utf-8")
    return encoded + b" " * (len(encoded) % 2)


def _uid(value: str) -> bytes:
    encoded = value.encode("ascii")
    return encoded + b"\x00" * (len(encoded) % 2)
