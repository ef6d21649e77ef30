"""Objects that show something, with what the catalog knows of them; and pictures that come back."""

import io
import struct
from collections.abc import Iterable
from typing import Any

import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.contract.archive.objects import Stored, new_uid
from tests.contract.archive.real_stores import RealStore
from tests.dicom_files import ref_of
from tests.service.read.catalog import Holder
from tests.service.read.client import Answer
from tests.service.read.conftest import Service
from tests.service.read.test_retrieve import put

EXPLICIT = "1.2.840.10008.1.2.1"
MPEG4 = "1.2.840.10008.1.2.4.102"
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
VIDEO_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
SOFTCOPY_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
NOTHING = "Available media types: application/dicom by retrieving the instance"


PDF = b"%PDF-1.7\n" + bytes(range(256)) * 1000 + b"\n%%EOF\n"
VIDEO = struct.pack(">L", 24) + b"ftypmp42" + bytes(range(256)) * 800


def put_known(service: Service, store: RealStore, items: Iterable[Stored], *holders: Holder) -> None:
    """Put objects into store and catalog, with what the catalog would know of them."""
    items = list(items)
    put(service, store, items, *holders)
    for item in items:
        data = item.dataset
        service.catalog.execute(
            "UPDATE instances SET sop_class_uid = :sop_class, transfer_syntax_uid = :syntax, "
            'number_of_frames = :frames, "rows" = :rows, "columns" = :columns WHERE sop_instance_uid = :uid',
            sop_class=str(data.SOPClassUID),
            syntax=str(data.file_meta.TransferSyntaxUID),
            frames=_text(data.get("NumberOfFrames")),
            rows=_text(data.get("Rows")),
            columns=_text(data.get("Columns")),
            uid=item.ref.sop_instance_uid,
        )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def made(sop_class: str, syntax: str = EXPLICIT, *, study: str | None = None, **elements: object) -> Stored:
    """Return an object of a class, with further elements by keyword."""
    ref = ref_of(study or new_uid(), new_uid(), new_uid())
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(ref.sop_instance_uid)
    meta.TransferSyntaxUID = UID(syntax)
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = sop_class, ref.sop_instance_uid
    data.StudyInstanceUID, data.SeriesInstanceUID = ref.study_instance_uid, ref.series_instance_uid
    data.PatientID = "P"
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return Stored(ref, stream.getvalue())


def picture(answer: Answer, media_type: str = "image/jpeg") -> Image.Image:
    assert (answer.status, answer.header("content-type")) == (200, media_type), answer.body
    assert answer.complete
    assert answer.header("cache-control") == "private, no-cache"
    assert answer.header("content-disposition") is None
    return Image.open(io.BytesIO(answer.body))


def a_pdf(study: str | None = None) -> Stored:
    return made(
        PDF_CLASS,
        study=study,
        EncapsulatedDocument=PDF,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        ConceptNameCodeSequence=[Dataset()],
    )


def a_video() -> Stored:
    item = made(VIDEO_CLASS, MPEG4, NumberOfFrames=25, Rows=8, Columns=8, SamplesPerPixel=3, BitsAllocated=8)
    data = item.dataset
    data.PixelData = encapsulate([VIDEO], has_bot=True)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=True)
    return Stored(item.ref, stream.getvalue())


def uri_of(item: Stored, **parameters: object) -> str:
    ref = item.ref
    named = {
        "requestType": "WADO",
        "studyUID": ref.study_instance_uid,
        "seriesUID": ref.series_instance_uid,
        "objectUID": ref.sop_instance_uid,
        **parameters,
    }
    return "/wado?" + "&".join(f"{name}={value}" for name, value in named.items() if value is not None)
