"""Rendering an instance or a frame as JPEG or PNG, with the one parameter that the API knows."""

import asyncio
import io
import re
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_accept
from local.healthcare_emulator.calls import Call
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import Row

__all__ = ["rendered"]

_FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG"}
_VIEWPORT: Final = re.compile(r"([0-9]{1,5}),([0-9]{1,5})(?:,([0-9]{1,5}),([0-9]{1,5}),([0-9]{1,5}),([0-9]{1,5}))?")
_MOST_SIDE: Final = 10_000
"""Pixels of a side of what is fitted into a viewport, and of the viewport."""
_LARGEST_FITTED: Final = 50 * 1024**2
"""Bytes of a frame that is fitted into a viewport."""


async def rendered(call: Call, row: Row, frame: int) -> None:
    """Answer ``.../rendered``: the pixels by their window or their range, fitted into the viewport."""
    query = call.query()
    if set(query) - {"viewport"}:
        raise GoogleError.bad_request("unsupported rendering parameter")
    media_type = _media_type(call.headers.get("accept", "*/*"))
    body = await asyncio.to_thread(_picture, row, frame, query.get("viewport"), _FORMATS[media_type])
    await call.answer(HTTPStatus.OK, body, media_type)


def _media_type(accept: str) -> str:
    try:
        ranges = sorted(parse_accept([accept]), key=lambda item: -item.quality)
    except MalformedMediaTypeError:
        ranges = []
    for wish in ranges:
        for media_type in _FORMATS:
            if wish.quality and wish.media_type.essence in {media_type, "image/*", "*/*"}:
                return media_type
    raise GoogleError(HTTPStatus.NOT_ACCEPTABLE, "not acceptable, allowed: " + ", ".join(_FORMATS))


def _picture(row: Row, frame: int, viewport: str | None, file_format: str) -> bytes:
    picture = _pixels(row, frame)
    if viewport is not None:
        if (
            picture.width * picture.height * len(picture.getbands()) > _LARGEST_FITTED
            or max(picture.size) > _MOST_SIDE
        ):
            raise GoogleError.bad_request("the frame is too large for a viewport")
        picture = _fitted(picture, viewport)
    made = io.BytesIO()
    picture.save(made, file_format, quality=90)
    return made.getvalue()


def _pixels(row: Row, frame: int) -> Image.Image:
    try:
        dataset = pydicom.dcmread(row.path)
        array: Any = pixel_array(dataset, index=frame - 1)
        if int(dataset.SamplesPerPixel) > 1:
            return Image.fromarray(_bytes(array, int(dataset.BitsStored)))
        grey = apply_voi_lut(apply_modality_lut(array, dataset), dataset)
        low, high = float(grey.min()), float(grey.max())
        scaled = (grey - low) * (255.0 / (high - low)) if high > low else np.zeros(grey.shape)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            scaled = 255.0 - scaled
        return Image.fromarray(scaled.astype(np.uint8))
    except Exception:  # noqa: BLE001 - pydicom raises whatever the bytes make it raise
        raise GoogleError.bad_request("the frame does not exist or cannot be rendered") from None


def _bytes(array: Any, bits: int) -> Any:
    return array if array.dtype == np.uint8 else (array >> (bits - 8)).astype(np.uint8)


def _fitted(picture: Image.Image, viewport: str) -> Image.Image:
    match = _VIEWPORT.fullmatch(viewport)
    if match is None:
        raise GoogleError.bad_request("invalid viewport")
    width, height = int(match[1]), int(match[2])
    if not (1 <= width <= _MOST_SIDE and 1 <= height <= _MOST_SIDE):
        raise GoogleError.bad_request("invalid viewport")
    if match[3] is not None:
        left, top, columns, rows = (int(match[number]) for number in range(3, 7))
        if not columns or not rows or left + columns > picture.width or top + rows > picture.height:
            raise GoogleError.bad_request("viewport lies outside the image")
        picture = picture.crop((left, top, left + columns, top + rows))
    factor = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BILINEAR)
