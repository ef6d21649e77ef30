"""DICOM objects for the contract suite: files that pydicom ships, each time under new UIDs."""

import io
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pydicom.data
from pydicom.uid import UID, generate_uid

from kheops.archive.port import ArchiveStream, HeldInstance
from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of
from kheops.domain.policy import AdmittedInstance, ReadableInstance, ReadableSeries
from kheops.domain.resources import InstanceRef
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

__all__ = ["Stored", "in_pieces", "new_uid", "pixel_data", "read", "read_parts", "stored_object", "study_of_series"]

_DATA = Path(pydicom.data.__file__).parent


def new_uid() -> str:
    return str(generate_uid())


@dataclass(frozen=True)
class Stored:
    """An object, its bytes, and the references that the policy would have made."""

    ref: InstanceRef
    body: bytes

    @property
    def held(self) -> HeldInstance:
        return HeldInstance(AdmittedInstance(self.ref), self.body)

    @property
    def admitted(self) -> AdmittedInstance:
        return AdmittedInstance(self.ref)

    @property
    def readable(self) -> ReadableInstance:
        return ReadableInstance(self.ref)

    @property
    def readable_series(self) -> ReadableSeries:
        return ReadableSeries(self.ref.series)

    @property
    def dataset(self) -> pydicom.Dataset:
        return pydicom.dcmread(io.BytesIO(self.body))


def stored_object(
    name: str,
    *,
    study: str | None = None,
    series: str | None = None,
    instance: str | None = None,
    comment: str = "",
) -> Stored:
    """Return one of pydicom's files under the given UIDs, or new ones."""
    path = next(_DATA.glob(f"*/{name}"))
    dataset = pydicom.dcmread(path)
    study, series, instance = study or new_uid(), series or new_uid(), instance or new_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = study, series, instance
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    if comment:
        dataset.ImageComments = comment
    stream = io.BytesIO()
    dataset.save_as(stream)
    ref = InstanceRef(StudyInstanceUID(study), SeriesInstanceUID(series), SopInstanceUID(instance))
    return Stored(ref, stream.getvalue())


def study_of_series(*sizes: int) -> list[list[Stored]]:
    """Return a study of as many series as ``sizes``, each of so many instances."""
    study = new_uid()
    return [
        [stored_object("MR_small.dcm", study=study, series=series) for _ in range(size)]
        for size in sizes
        for series in [new_uid()]
    ]


def pixel_data(stored: Stored) -> bytes:
    return bytes(stored.dataset.PixelData)


async def in_pieces(data: bytes, *, size: int = 10_000, cut_after: int | None = None) -> AsyncGenerator[bytes, None]:
    """Give ``data`` in pieces; with ``cut_after`` raise once so many bytes are out."""
    for start in range(0, len(data), size):
        if cut_after is not None and start >= cut_after:
            raise CutError
        yield data[start : start + size]


class CutError(Exception):
    """What a body that is cut off raises."""


async def read(stream: ArchiveStream) -> bytes:
    return b"".join([chunk async for chunk in stream.chunks()])


async def read_parts(stream: ArchiveStream) -> list[tuple[str, bytes]]:
    """Return the parts of a multipart answer: Content-Type and data."""
    reader = MultipartReader(boundary_of(stream.content_type))
    parts: list[tuple[str, bytes]] = []
    async for chunk in stream.chunks():
        for event in reader.feed(chunk):
            if isinstance(event, PartBegin):
                parts.append((event.headers["content-type"], b""))
            elif isinstance(event, PartData):
                parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event.data))
    reader.close()
    return parts
