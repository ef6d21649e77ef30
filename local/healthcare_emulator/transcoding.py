"""Other transfer syntaxes than the stored one, as far as pydicom's decoders and Pillow's encoders go.

A transcoded object is held in memory.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from pydicom.valuerep import VR

from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import Row

__all__ = ["ENCODED_FRAMES", "PNG", "can_transcode", "file_as", "frame_as"]

PNG: Final = "image/png"
"""Stands where a transfer syntax does: PNG has none in DICOM."""
ENCODED_FRAMES: Final[Mapping[tuple[str, str | None], str]] = {
    ("application/octet-stream", None): str(ExplicitVRLittleEndian),
    ("application/octet-stream", str(ExplicitVRLittleEndian)): str(ExplicitVRLittleEndian),
    ("image/jpeg", str(JPEGBaseline8Bit)): str(JPEGBaseline8Bit),
    ("image/jp2", None): str(JPEG2000Lossless),
    ("image/jp2", str(JPEG2000Lossless)): str(JPEG2000Lossless),
    ("image/dicom-rle", None): str(RLELossless),
    ("image/dicom-rle", str(RLELossless)): str(RLELossless),
    (PNG, None): PNG,
    (PNG, str(ExplicitVRLittleEndian)): PNG,
}
"""What frames are made of for a media type and a transfer syntax, where they are not stored so."""

_NATIVE: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})
_SOURCES: Final = _NATIVE | {ExplicitVRBigEndian}
_LARGEST_FILE: Final = 1024**3
"""Bytes of a file that is transcoded at most."""
_LARGEST_FRAME: Final = 150 * 1024**2
"""Bytes of a frame, decoded."""


def can_transcode(row: Row, target: str) -> bool:
    """Return whether `file_as` and `frame_as` can make ``target`` of an instance, judged by its head."""
    source = UID(row.transfer_syntax)
    if row.size > _LARGEST_FILE:
        return False
    if source in _SOURCES and target in _NATIVE:
        return True
    if source not in _SOURCES and not _has_decoder(source):
        return False
    head = pydicom.dcmread(row.path, stop_before_pixels=True)
    bits = int(head.get("BitsAllocated", 0))
    if bits not in {8, 16} or _frame_bytes(head) > _LARGEST_FRAME:
        return False
    if target in _NATIVE or target == RLELossless:
        return True
    if head.get("SamplesPerPixel", 1) == 3 and bits != 8:
        return False
    if target == JPEGBaseline8Bit:
        return bits == 8 and not head.PixelRepresentation
    return target in {JPEG2000Lossless, PNG} and not head.PixelRepresentation


def file_as(row: Row, target: str) -> bytes:
    """Return an instance as a file in another transfer syntax.

    Raises
    ------
    GoogleError
        If its pixels cannot be decoded after all.
    """
    dataset = pydicom.dcmread(row.path)
    source = UID(row.transfer_syntax)
    frames = []
    if "PixelData" in dataset and not (source in _SOURCES and target in _NATIVE):
        frames = [_encoded(frame, dataset, target) for frame in _decoded(row, dataset)]
    if source == ExplicitVRBigEndian:
        dataset.walk(_swap_words)
    if frames:
        if target in _NATIVE:
            data = b"".join(frames)
            dataset.PixelData = data + b"\0" * (len(data) % 2)
            dataset["PixelData"].VR = VR.OW if int(dataset.BitsAllocated) > 8 else VR.OB
        else:
            dataset.PixelData = encapsulate(frames)
            dataset["PixelData"].VR = VR.OB
            dataset["PixelData"].is_undefined_length = True
        if target == JPEGBaseline8Bit:
            dataset.LossyImageCompression = "01"
            if dataset.PhotometricInterpretation == "RGB":
                dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.file_meta.TransferSyntaxUID = UID(target)
    stream = io.BytesIO()
    pydicom.dcmwrite(
        stream,
        dataset,
        implicit_vr=target == ImplicitVRLittleEndian,
        little_endian=True,
        enforce_file_format=True,
        overwrite=True,
    )
    return stream.getvalue()


def frame_as(row: Row, number: int, target: str) -> bytes:
    """Return a frame, counted from 1, in another encoding; raise as `file_as` does."""
    dataset = pydicom.dcmread(row.path)
    (frame,) = _decoded(row, dataset, index=number - 1)
    return _encoded(frame, dataset, target)


def _has_decoder(source: UID) -> bool:
    try:
        return get_decoder(source).is_available
    except NotImplementedError:
        return False


def _frame_bytes(head: Dataset) -> int:
    return int(head.Rows) * int(head.Columns) * int(head.get("SamplesPerPixel", 1)) * int(head.BitsAllocated) // 8


def _swap_words(_: Dataset, element: Any) -> None:
    # pydicom leaves words as they were read.
    if element.VR == VR.OW and element.value:
        element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()


def _decoded(row: Row, dataset: Dataset, *, index: int | None = None) -> Iterator[Any]:
    """Give decoded frames, by pixel, and write what they are into the data set."""
    source = UID(row.transfer_syntax)
    # What a lossy encoding keeps as YBR is given as RGB, as pydicom does by itself; all else as it is.
    raw = source in _SOURCES or source == RLELossless
    indices = range(int(dataset.get("NumberOfFrames", 1) or 1)) if index is None else [index]
    try:
        decoder = get_decoder(source)
        for each in indices:
            array, properties = decoder.as_array(dataset, index=each, raw=raw)
            dataset.PhotometricInterpretation = properties["photometric_interpretation"]
            if array.ndim == 3:
                dataset.PlanarConfiguration = 0
            yield array
    except Exception:  # noqa: BLE001 - pydicom raises whatever the bytes make it raise
        raise GoogleError.bad_request("the pixel data cannot be transcoded") from None


def _encoded(frame: Any, dataset: Dataset, target: str) -> bytes:
    if target in _NATIVE:
        return bytes(frame.astype(frame.dtype.newbyteorder("<")).tobytes())
    if target == RLELossless:
        return get_encoder(RLELossless).encode(
            frame,
            rows=dataset.Rows,
            columns=dataset.Columns,
            samples_per_pixel=dataset.SamplesPerPixel,
            bits_allocated=dataset.BitsAllocated,
            bits_stored=dataset.BitsStored,
            pixel_representation=dataset.PixelRepresentation,
            photometric_interpretation=dataset.PhotometricInterpretation,
            number_of_frames=1,
        )
    stream = io.BytesIO()
    image = Image.fromarray(frame)
    if target == JPEGBaseline8Bit:
        image.save(stream, "JPEG", quality=90, subsampling="4:2:2")
    elif target == PNG:
        image.save(stream, "PNG")
    else:
        image.save(stream, "JPEG2000", irreversible=False, no_jp2=True, mct=0)
    return stream.getvalue()
