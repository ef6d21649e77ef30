"""The files that the smoke run stores: real ones that pydicom ships, and variants of them made here."""

import dataclasses
import io
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pydicom
from pydicom import Dataset, FileDataset
from pydicom.uid import generate_uid

__all__ = ["DicomFile", "TestData", "load", "new_uid"]

_DATA: Final = Path(pydicom.__file__).parent / "data"
_MULTI_SERIES_FOLDER: Final = _DATA / "test_files/dicomdirtests/98892003"
_MULTI_SERIES_STUDY: Final = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.1"
_LARGE_BYTES: Final = 6 * 1024 * 1024
"""More than the 4 MiB up to which a part is held: such a part goes to the store as it arrives."""


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A PS3.10 file in memory and what it says of itself."""

    body: bytes
    study: str
    series: str
    instance: str
    modality: str
    patient_name: str

    @property
    def series_path(self) -> str:
        """Its series below ``/api``."""
        return f"/studies/{self.study}/series/{self.series}"

    @property
    def path(self) -> str:
        """The instance below ``/api``."""
        return f"{self.series_path}/instances/{self.instance}"

    @property
    def pixel_data(self) -> bytes:
        """Value of Pixel Data, of a file that is not compressed."""
        return bytes(_parse(self.body).PixelData)

    def frame(self, number: int) -> bytes:
        """Return the pixels of a frame, the first being 1, of a file that is not compressed."""
        pixels = self.pixel_data
        size = len(pixels) // int(_parse(self.body).get("NumberOfFrames", 1))
        return pixels[size * (number - 1) : size * number]

    def with_uids(
        self, *, study: str | None = None, series: str | None = None, instance: str | None = None
    ) -> "DicomFile":
        """Return a copy with other UIDs where given."""
        dataset = _parse(self.body)
        dataset.StudyInstanceUID = study or self.study
        dataset.SeriesInstanceUID = series or self.series
        dataset.SOPInstanceUID = instance or self.instance
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return _file(dataset)

    def with_changed_pixel(self) -> "DicomFile":
        """Return a copy with the same UIDs and one other pixel."""
        dataset = _parse(self.body)
        pixels = bytearray(dataset.PixelData)
        pixels[0] ^= 1
        dataset.PixelData = bytes(pixels)
        return _file(dataset)

    def enlarged(self) -> "DicomFile":
        """Return a copy with Pixel Data of 6 MiB."""
        dataset = _parse(self.body)
        dataset.Rows, dataset.Columns = 2048, _LARGE_BYTES // 2 // 2048
        dataset.PixelData = (bytes(range(256)) * (_LARGE_BYTES // 256))[:_LARGE_BYTES]
        return _file(dataset)

    def truncated(self) -> "DicomFile":
        """Return a copy whose body ends within its last element."""
        return dataclasses.replace(self, body=self.body[: len(self.body) - 64])


@dataclass(frozen=True, slots=True)
class TestData:
    """What Alice stores."""

    __test__ = False

    multi_series: tuple[DicomFile, ...]
    """An MR study of three series, with 7, 3 and 1 instances."""
    multi_frame: DicomFile
    jpeg_2000: DicomFile
    structured_report: DicomFile
    japanese: DicomFile

    @property
    def singles(self) -> tuple[DicomFile, ...]:
        """The studies of one file each."""
        return (self.multi_frame, self.jpeg_2000, self.structured_report, self.japanese)

    @property
    def everything(self) -> tuple[DicomFile, ...]:
        """All files."""
        return (*self.multi_series, *self.singles)

    @property
    def shared(self) -> tuple[DicomFile, ...]:
        """The files of the series that Alice shares, the largest."""
        counts = {file.series: self._of(file.series) for file in self.multi_series}
        return max(counts.values(), key=len)

    @property
    def withheld(self) -> tuple[DicomFile, ...]:
        """The files of the same study that she does not share."""
        return tuple(file for file in self.multi_series if file not in self.shared)

    def _of(self, series: str) -> tuple[DicomFile, ...]:
        return tuple(file for file in self.multi_series if file.series == series)


@cache
def load() -> TestData:
    """Read the files from the installed pydicom."""
    found = [_read(path) for path in sorted(_MULTI_SERIES_FOLDER.rglob("*")) if path.is_file()]
    data = TestData(
        multi_series=tuple(file for file in found if file.study == _MULTI_SERIES_STUDY),
        # As it is shipped, its file meta information names another instance than its data set, which we refuse.
        multi_frame=_read(_DATA / "test_files/rtdose.dcm").with_uids(),
        jpeg_2000=_read(_DATA / "test_files/JPEG2000.dcm"),
        structured_report=_read(_DATA / "test_files/test-SR.dcm"),
        japanese=_read(_DATA / "charset_files/chrH31.dcm"),
    )
    assert sorted(map(len, (data.shared, data.withheld))) == [4, 7], "pydicom ships other files than expected"
    return data


def new_uid() -> str:
    """Return a UID that was never used."""
    return str(generate_uid())


def _read(path: Path) -> DicomFile:
    body = path.read_bytes()
    return dataclasses.replace(_describe(_parse(body)), body=body)


def _parse(body: bytes) -> FileDataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(body))


def _file(dataset: FileDataset) -> DicomFile:
    output = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(output)
    return dataclasses.replace(_describe(dataset), body=output.getvalue())


def _describe(dataset: Dataset) -> DicomFile:
    return DicomFile(
        body=b"",
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        instance=str(dataset.SOPInstanceUID),
        modality=str(dataset.Modality),
        patient_name=str(dataset.PatientName),
    )
