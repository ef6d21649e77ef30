"""Small DICOM files for the tests, made by pydicom."""

import io
from functools import cache

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from kheops.domain.resources import InstanceRef
from kheops.ids import series_instance_uid, sop_instance_uid, study_instance_uid

__all__ = ["a_file", "multipart", "new_uid", "ref_of"]

_CT = "1.2.840.10008.5.1.4.1.1.2"


def new_uid() -> str:
    """Return a fresh UID."""
    return str(generate_uid())


def a_file(
    *,
    study: str,
    series: str,
    instance: str,
    modality: str = "CT",
    patient_name: str = "Doe^Jane",
    pixels: bytes = b"\1\2\3\4",
    number: int = 1,
    **elements: object,
) -> bytes:
    """Return a small PS3.10 file with these UIDs.

    Parameters
    ----------
    study, series, instance
        UIDs.
    modality, patient_name, number
        Attributes that the catalog keeps.
    pixels
        An even number of bytes.
    elements
        Further elements by keyword.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_CT)
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = _CT
    data.SOPInstanceUID = instance
    data.StudyInstanceUID = study
    data.SeriesInstanceUID = series
    data.Modality = modality
    data.PatientName = patient_name
    data.PatientID = "P-1"
    data.StudyDate = "20260102"
    data.InstanceNumber = number
    data.SeriesNumber = 1
    data.Rows, data.Columns, data.BitsAllocated = 1, min(len(pixels), 65_534), 8
    data.SamplesPerPixel, data.BitsStored, data.HighBit, data.PixelRepresentation = 1, 8, 7, 0
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels
    data["PixelData"].VR = "OB"
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def ref_of(study: str, series: str, instance: str) -> InstanceRef:
    """Return the reference of an instance."""
    return InstanceRef(study_instance_uid(study), series_instance_uid(series), sop_instance_uid(instance))


def multipart(*files: bytes, boundary: str = "b0undary", close: bool = True) -> bytes:
    """Return a STOW-RS body of these files."""
    parts = b"".join(
        f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + body + b"\r\n" for body in files
    )
    return parts + (f"--{boundary}--\r\n".encode() if close else b"")


@cache
def bundled(name: str) -> bytes:
    """Return one of pydicom's own test files."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with open(path, "rb") as file:  # noqa: PTH123 - get_testdata_file gives text
        return file.read()


def uids_of(body: bytes) -> InstanceRef:
    """Return the UIDs inside a file."""
    data = pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True)
    return ref_of(data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID)
