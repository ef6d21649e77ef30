"""Retrieving: objects, frames, bulk data, metadata and pictures."""

import io
import json
import re
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from starlette.responses import Response

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_accept
from local.healthcare_emulator.dicom_file import BASE, DicomFile, Piece
from tests.fakes.dcm4chee.answers import RefusedError, as_json, multipart
from tests.fakes.dcm4chee.objects import AS_RECEIVED, Held

__all__ = ["bulkdata", "frames", "metadata", "objects", "rendered"]

_DICOM: Final = "application/dicom"
_OCTETS: Final = "application/octet-stream"
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_ANY: Final = {"*", "*/*"}
_PIXEL_DATA: Final = "7FE00010"
_NATIVE: Final = {"1.2.840.10008.1.2", _EXPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
_IMAGE_TYPES: Final = {
    "50": "image/jpeg",
    "51": "image/jpeg",
    "70": "image/jpeg",
    "90": "image/jp2",
    "91": "image/jp2",
}
_FORMATS: Final = {"image/jpeg": "JPEG", "image/gif": "GIF", "image/png": "PNG"}


def _wishes(accept: str) -> list[tuple[bool, str, str | None]]:
    """Return what an Accept names, best first: whether multipart, which type, which transfer syntax."""
    try:
        ranges = sorted(parse_accept([accept]), key=lambda item: -item.quality)
    except MalformedMediaTypeError:
        raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept") from None
    wishes = []
    for item in ranges:
        media_type = item.media_type
        is_multipart = media_type.type == "multipart" or media_type.essence == "*/*"
        essence = media_type.parameters.get("type", "*") if is_multipart else media_type.essence
        wishes.append((is_multipart, essence, media_type.parameters.get("transfer-syntax")))
    return wishes


def objects(accept: str, entity: str, found: list[Held], *, base: str) -> Response:
    """Answer with whole objects, or with their pixel data, by what is accepted."""
    for is_multipart, essence, syntax in _wishes(accept):
        if not is_multipart:
            continue
        if essence in _ANY or essence == _DICOM:
            return _files(found, entity, "*" if essence in _ANY else syntax, base)
        if len(found) == 1:
            parts = _pixel_parts(found[0], essence, base)
            if parts:
                return multipart(parts)
    raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept")


def _files(found: list[Held], entity: str, syntax: str | None, base: str) -> Response:
    parts = []
    broken = False
    for each in found:
        stored = each.identity.transfer_syntax
        body = each.bytes_through(entity)
        written = stored
        if syntax in {None, _EXPLICIT}:
            body, written = _explicit(body, stored), _EXPLICIT
        elif syntax not in {"*", stored}:
            written, broken = "1.2.840.10008.1.2", True
        parts.append((f"{_DICOM};transfer-syntax={written}", _address(base, each), body))
    return multipart(parts, broken=broken)


def _explicit(body: bytes, stored: str) -> bytes:
    if stored == _EXPLICIT:
        return body
    dataset = pydicom.dcmread(io.BytesIO(body))
    if stored not in _NATIVE:
        dataset.decompress()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def _address(base: str, held: Held) -> str:
    identity = held.identity
    return f"{base}/studies/{identity.study}/series/{identity.series}/instances/{identity.instance}"


def _image_type(held: Held) -> str | None:
    syntax = held.identity.transfer_syntax
    if syntax in _NATIVE:
        return None
    return "image/dicom-rle" if syntax == "1.2.840.10008.1.2.5" else _IMAGE_TYPES[syntax.rpartition(".")[2]]


def _read(held: Held, pieces: list[Piece]) -> bytes:
    body = held.path.read_bytes()
    return b"".join(piece.held or body[piece.offset : piece.offset + piece.length] for piece in pieces)


def _encoded(held: Held, essence: str, number: int) -> bytes | None:
    """Return a frame in what is accepted, ``None`` if that is not to be had."""
    image_type = _image_type(held)
    pieces = DicomFile(held.path).frames()
    if essence == image_type:
        return _read(held, pieces[number - 1])
    if essence not in {_OCTETS, *_ANY}:
        return None
    if image_type is None:
        return _read(held, pieces[number - 1])
    return bytes(pixel_array(held.path, index=number - 1).tobytes())


def _pixel_parts(held: Held, essence: str, base: str) -> list[tuple[str, str, bytes]]:
    address = _address(base, held)
    count = len(DicomFile(held.path).frames())
    if not count:
        return []
    image_type = _image_type(held)
    encoded = [data for number in range(1, count + 1) if (data := _encoded(held, essence, number)) is not None]
    if not encoded:
        return []
    if image_type is None or essence == _OCTETS:
        return [(_OCTETS, address, b"".join(encoded))]
    return [(image_type, f"{address}/frames/{number}", data) for number, data in enumerate(encoded, 1)]


def frames(accept: str, held: Held, numbers: str, *, base: str) -> Response:
    """Answer with frames; those beyond the last are left out."""
    if re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", numbers) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "frames")
    count = len(DicomFile(held.path).frames())
    asked = [int(each) for each in numbers.split(",")]
    there = [each for each in asked if each <= count]
    for is_multipart, essence, _ in _wishes(accept):
        if not is_multipart:
            continue
        if not there:
            raise RefusedError(HTTPStatus.NOT_FOUND, "Frame length is zero.")
        encoded = [_encoded(held, essence, number) for number in there]
        if any(each is None for each in encoded):
            continue
        part_type = essence if essence not in _ANY else _OCTETS
        address = _address(base, held)
        parts = [(part_type, f"{address}/frames/{n}", data or b"") for n, data in zip(there, encoded, strict=True)]
        return multipart(parts, status=200 if there == asked else 206)
    raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept")


def bulkdata(accept: str, held: Held, path: str, *, base: str) -> Response:
    """Answer with the value of an attribute; multipart only."""
    if not any(is_multipart and essence in {_OCTETS, *_ANY} for is_multipart, essence, _ in _wishes(accept)):
        raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept")
    piece = DicomFile(held.path).bulkdata(path)
    if piece is None:
        raise RefusedError(HTTPStatus.NOT_FOUND, "No such bulkdata")
    return multipart([(_OCTETS, f"{_address(base, held)}/bulkdata/{path}", _read(held, [piece]))])


def metadata(entity: str, found: list[Held], *, base: str) -> Response:
    """Answer with DICOM JSON."""
    models = []
    for each in found:
        model: dict[str, Any] = json.loads(DicomFile(each.path).metadata().replace(BASE.encode(), base.encode()))
        if "BulkDataURI" in model.get(_PIXEL_DATA, {}):
            model[_PIXEL_DATA]["BulkDataURI"] = _address(base, each)
        if entity != AS_RECEIVED:
            model["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": each.patient_name}]}
            model["00100021"] = {"vr": "LO", "Value": [each.issuer]}
        models.append(model)
    return as_json(models, media_type="application/dicom+json")


def rendered(accept: str, query: dict[str, str], held: Held, frame: int | None) -> Response:
    """Answer with a picture as a single body."""
    count = len(DicomFile(held.path).frames())
    if not count:
        raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "not an image")
    if frame is not None and frame > count:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Frame length is zero.")
    offered = ["image/gif"] if frame is None and count > 1 else list(_FORMATS)
    chosen = next((essence for _, essence, _ in _wishes(accept) if essence in offered), None)
    if chosen is None:
        raise RefusedError(HTTPStatus.NOT_ACCEPTABLE, "Accept")
    picture = _picture(held, (frame or 1) - 1, query.get("window"))
    if "viewport" in query:
        picture = _fitted(picture, query["viewport"])
    made = io.BytesIO()
    picture.save(made, _FORMATS[chosen], quality=int(query.get("quality", "75")))
    return Response(made.getvalue(), media_type=chosen)


def _picture(held: Held, index: int, window: str | None) -> Image.Image:
    dataset = pydicom.dcmread(held.path)
    array: Any = pixel_array(dataset, index=index)
    if int(dataset.SamplesPerPixel) > 1:
        return Image.fromarray(array)
    grey = apply_modality_lut(array, dataset)
    if window is None:
        grey = apply_voi_lut(grey, dataset)
        low, high = float(grey.min()), float(grey.max())
    else:
        centre, width = map(float, window.split(",")[:2])
        low, high = centre - width / 2, centre + width / 2
    scaled = np.clip((grey - low) * (255.0 / max(high - low, 1.0)), 0, 255)
    return Image.fromarray(scaled.astype(np.uint8))


def _fitted(picture: Image.Image, viewport: str) -> Image.Image:
    numbers = [int(each) for each in viewport.split(",")]
    if len(numbers) > 2:
        left, top, columns, rows = numbers[2:]
        picture = picture.crop((left, top, left + columns, top + rows))
    factor = min(numbers[0] / picture.width, numbers[1] / picture.height)
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))
