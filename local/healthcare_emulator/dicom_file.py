"""One PS3.10 file on disk: what it is, its metadata as DICOM JSON, and where its frames and bulk data lie in it."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pydicom
from pydicom import config as pydicom_config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pydicom.valuerep import VR

__all__ = ["BASE", "DicomFile", "Identity", "Piece", "UnreadableFileError"]

# The store takes what it is given and complains of nothing.
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE

BASE: Final = "https://store.emulator.invalid/4b1d9c52/dicomWeb"
"""Stands in kept metadata for the store's address, which may change between two starts."""

_DEFER: Final = 64 * 1024
"""Bytes; longer values stay in the file."""
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_PIXEL_DATA: Final = frozenset({Tag(0x7FE00008), Tag(0x7FE00009), Tag(0x7FE00010)})
_ALWAYS_BULK: Final = frozenset({VR.OB, VR.OW, VR.UN, "OB or OW"})
_BULK_ABOVE_BYTES: Final = {VR.OD: 2048, VR.OF: 2048, VR.OL: 2048, VR.OV: 2048}
_BULK_ABOVE_VM: Final = frozenset({VR.AT, VR.FD, VR.FL, VR.UL, VR.US, VR.SV, VR.UV})
_VM_LIMIT: Final = 512
_SEQUENCE_LIMIT: Final = 1024 * 1024
"""Bytes; longer sequences are left out of metadata."""


class UnreadableFileError(Exception):
    """The file is no PS3.10 file that can be stored."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file says that it is."""

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes: of the file, or (``held``) in memory."""

    offset: int
    length: int
    held: bytes | None = None


class DicomFile:
    """A stored file, read without its long values.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    UnreadableFileError
        If it cannot be parsed to its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._dataset = pydicom.dcmread(path, defer_size=_DEFER)
            self._check_ends(path.stat().st_size)
        except Exception as error:  # pydicom raises whatever the bytes make it raise
            raise UnreadableFileError("DICOM file could not be parsed") from error

    def _check_ends(self, size: int) -> None:
        if self._syntax == DeflatedExplicitVRLittleEndian:
            return
        for tag in self._dataset.keys():  # noqa: SIM118 - a Dataset iterates over converted elements
            raw = self._raw(tag)
            if (
                isinstance(raw, RawDataElement)
                and raw.length != _UNDEFINED_LENGTH
                and raw.value_tell + raw.length > size
            ):
                raise UnreadableFileError("DICOM file ends within an element")

    @property
    def _syntax(self) -> str:
        return str(self._dataset.file_meta.get("TransferSyntaxUID", ""))

    def identity(self) -> Identity:
        """Return the file's UIDs; raise `UnreadableFileError` if one is missing or malformed."""
        values = []
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            value = str(self._dataset.get(keyword, "") or "")
            if not value or len(value) > 64 or not set(value) <= set("0123456789."):
                raise UnreadableFileError(f"missing or invalid {keyword}")
            values.append(value)
        if not self._syntax:
            raise UnreadableFileError("missing TransferSyntaxUID")
        return Identity(values[0], values[1], values[2], values[3], self._syntax)

    def text(self, keyword: str) -> str:
        """Return an attribute as text; empty if it is absent or cannot be read."""
        try:
            return str(self._dataset.get(keyword, "") or "")
        except Exception:  # noqa: BLE001 - as in the constructor
            return ""

    # Metadata --------------------------------------------------------------------------------------------------

    def metadata(self) -> bytes:
        """Return the DICOM JSON object, with bulk data by URI below `BASE`."""
        identity = self.identity()
        instance = f"{BASE}/studies/{identity.study}/series/{identity.series}/instances/{identity.instance}"
        model = self._model(self._dataset, f"{instance}/bulkdata")
        return json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode()

    def _model(self, dataset: Dataset, uri: str) -> dict[str, Any]:
        model = {}
        for tag in sorted(dataset.keys()):
            if tag.element == 0:
                continue
            raw = dataset.get_item(tag, keep_deferred=True)
            element = self._element(dataset, tag, raw, f"{uri}/{tag:08X}")
            if element is not None:
                model[f"{tag:08X}"] = element
        return model

    def _element(
        self, dataset: Dataset, tag: BaseTag, raw: DataElement | RawDataElement | None, uri: str
    ) -> dict[str, Any] | None:
        if isinstance(raw, RawDataElement) and raw.value is None and raw.length != 0 and raw.VR != VR.SQ:
            return {"vr": _written_vr(raw.VR), "BulkDataURI": uri}
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001 - as in the constructor
            return {"vr": _written_vr(getattr(raw, "VR", None))}
        if element.VR == VR.SQ:
            items = [self._model(item, f"{uri}/{number}") for number, item in enumerate(element.value or [])]
            if len(json.dumps(items)) > _SEQUENCE_LIMIT:
                return None
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        if _is_bulk(element, tag):
            return {"vr": _written_vr(element.VR), "BulkDataURI": uri}
        try:
            value = element.to_json_dict(None, _SEQUENCE_LIMIT)
            json.dumps(value, allow_nan=False)
        except Exception:  # noqa: BLE001 - as in the constructor
            return {"vr": _written_vr(element.VR)}
        return value

    # Bulk data -------------------------------------------------------------------------------------------------

    def bulkdata(self, path: str) -> Piece | None:
        """Return where the value of ``TAG`` or ``TAG/ITEM/TAG...`` lies; ``None`` if there is none."""
        steps = path.split("/")
        dataset = self._dataset
        try:
            while len(steps) > 1:
                sequence = dataset[Tag(int(steps[0], 16))]
                if sequence.VR != VR.SQ:
                    return None
                dataset = sequence.value[int(steps[1])]
                steps = steps[2:]
            tag = Tag(int(steps[0], 16))
        except (KeyError, ValueError, IndexError, TypeError, OverflowError):
            return None
        raw = dataset.get_item(tag, keep_deferred=True) if tag in dataset else None
        if raw is None:
            return None
        if dataset is self._dataset and self._syntax != DeflatedExplicitVRLittleEndian:
            located = self._located(raw)
            if located is not None:
                return located
        value = raw.value or dataset[tag].value
        return Piece(0, len(value), value) if isinstance(value, bytes) and value else None

    def _located(self, raw: DataElement | RawDataElement) -> Piece | None:
        if not isinstance(raw, RawDataElement):
            return None
        if raw.length != _UNDEFINED_LENGTH:
            return Piece(raw.value_tell, raw.length)
        with self._path.open("rb") as file:
            file.seek(raw.value_tell)
            return Piece(raw.value_tell, _end_of_items(file) - raw.value_tell)

    # Frames ----------------------------------------------------------------------------------------------------

    def frames(self) -> list[list[Piece]]:
        """Return where each frame lies, in its fragments; empty if the file has no frames that can be cut out."""
        raw = self._raw(Tag(0x7FE00010)) if Tag(0x7FE00010) in self._dataset else None
        if not isinstance(raw, RawDataElement) or self._syntax in {
            DeflatedExplicitVRLittleEndian,
            ExplicitVRBigEndian,
        }:
            return []
        count = self.number_of_frames()
        if raw.length != _UNDEFINED_LENGTH:
            return self._native_frames(raw, count)
        with self._path.open("rb") as file:
            file.seek(raw.value_tell)
            return _encapsulated_frames(file, count)

    def number_of_frames(self) -> int:
        """Return how many frames the file says that it has; 0 if it has no pixel data."""
        if Tag(0x7FE00010) not in self._dataset:
            return 0
        return int(self._dataset.get("NumberOfFrames", 1) or 1)

    def _native_frames(self, raw: RawDataElement, count: int) -> list[list[Piece]]:
        data = self._dataset
        pixels = int(data.Rows) * int(data.Columns)
        bits = pixels * int(data.get("SamplesPerPixel", 1)) * int(data.BitsAllocated)
        if data.get("PhotometricInterpretation") == "YBR_FULL_422":
            bits = bits * 2 // 3
        if bits % 8 or raw.length < bits // 8 * count:
            return []
        size = bits // 8
        return [[Piece(raw.value_tell + number * size, size)] for number in range(count)]

    def _raw(self, tag: BaseTag) -> DataElement | RawDataElement | None:
        return self._dataset.get_item(tag, keep_deferred=True)


def _is_bulk(element: DataElement, tag: BaseTag) -> bool:
    if element.is_empty:
        return False
    if tag in _PIXEL_DATA or element.VR in _ALWAYS_BULK:
        return True
    limit = _BULK_ABOVE_BYTES.get(VR(element.VR)) if element.VR in set(VR) else None
    if limit is not None and isinstance(element.value, bytes):
        return len(element.value) > limit
    return element.VR in _BULK_ABOVE_VM and element.VM > _VM_LIMIT


def _written_vr(vr: str | None) -> str:
    return "UN" if vr is None else "OW" if vr == "OB or OW" else str(vr)


def _items(file: BinaryIO) -> Iterator[Piece]:
    """Give the items from the file's position to the sequence delimiter, which is read too."""
    while True:
        head = file.read(8)
        if len(head) != 8:
            raise UnreadableFileError("encapsulated pixel data ends early")
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            return
        if (group, element) != (0xFFFE, 0xE000) or length == _UNDEFINED_LENGTH:
            raise UnreadableFileError("encapsulated pixel data is malformed")
        yield Piece(file.tell(), length)
        file.seek(length, 1)


def _end_of_items(file: BinaryIO) -> int:
    for _ in _items(file):
        pass
    return file.tell()


def _encapsulated_frames(file: BinaryIO, count: int) -> list[list[Piece]]:
    start = file.tell()
    offsets = parse_basic_offsets(file)
    fragments_start = file.tell()
    file.seek(start)
    fragments = list(_items(file))[1:]
    number = len(fragments)
    if count == 1:
        return [fragments]
    if count == number:
        return [[fragment] for fragment in fragments]
    if len(offsets) != count:
        return []
    starts = [fragments_start + offset for offset in offsets]
    frames: list[list[Piece]] = [[] for _ in range(count)]
    for fragment in fragments:
        owner = sum(start <= fragment.offset - 8 for start in starts) - 1
        frames[owner].append(fragment)
    return frames
