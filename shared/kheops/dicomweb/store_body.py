"""The forms of a STOW-RS request (PS3.18 section 10.5.1), as its Content-Type names them."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, MediaType, parse_media_type
from kheops.dicomweb.multipart import boundary_of
from kheops.errors import UnsupportedMediaTypeError

__all__ = ["BodyForm", "StoreBody", "file_id_of", "store_body"]

_ACCEPTED: Final = (
    'Send multipart/related with type="application/dicom", "application/dicom+json" or "application/dicom+xml", '
    "multipart/form-data, or application/dicom."
)
_LONGEST_FILE_ID: Final = 64
"""Characters of a field name that are told again; the report of 50,000 failures has one each."""
_NAME: Final = re.compile(r';\s*name\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^";\s]+))', re.IGNORECASE)


class BodyForm(Enum):
    """What a request holds."""

    FILE = auto()
    """One PS3.10 file, and nothing around it."""
    FILES = auto()
    """A PS3.10 file in each part."""
    FORM_DATA = auto()
    """A PS3.10 file in each field of a form, whatever the field says of its media type."""
    JSON = auto()
    """Metadata in the DICOM JSON Model, and bulk data."""
    XML = auto()
    """Metadata in the Native DICOM Model, and bulk data."""


@dataclass(frozen=True, slots=True)
class StoreBody:
    """How a request's body is read."""

    form: BodyForm
    boundary: bytes = b""
    """Of a multipart body."""


_OF_PART_TYPE: Final = {
    "application/dicom": BodyForm.FILES,
    "application/dicom+json": BodyForm.JSON,
    "application/json": BodyForm.JSON,
    "application/dicom+xml": BodyForm.XML,
}


def store_body(content_type: str) -> StoreBody:
    """Return how a body of this Content-Type is read.

    ``type`` may be quoted or not (OsiriX sends it bare), absent (files), and hold parameters of its own. Parameters
    that say what the bytes say (``transfer-syntax``, ``charset``), and ``start``, mean nothing.

    Raises
    ------
    UnsupportedMediaTypeError
        If it is none of the forms.
    BadMultipartError
        If it is multipart without a good boundary.
    """
    try:
        media_type = parse_media_type(content_type)
    except MalformedMediaTypeError:
        raise UnsupportedMediaTypeError(_ACCEPTED) from None
    match media_type.essence:
        case "application/dicom":
            return StoreBody(BodyForm.FILE)
        case "multipart/form-data":
            return StoreBody(BodyForm.FORM_DATA, boundary_of(content_type))
        case "multipart/related":
            form = _OF_PART_TYPE.get(_part_type(media_type))
            if form is not None:
                return StoreBody(form, boundary_of(content_type))
        case _:
            pass
    raise UnsupportedMediaTypeError(_ACCEPTED)


def _part_type(media_type: MediaType) -> str:
    text = media_type.parameters.get("type", "application/dicom")
    try:
        return parse_media_type(text).essence
    except MalformedMediaTypeError:
        return ""


def file_id_of(content_disposition: str) -> str:
    """Return the name of a form's field (RFC 7578 section 4.2), as a failure tells it again; empty if it has none."""
    found = _NAME.search(content_disposition)
    if found is None:
        return ""
    quoted, plain = found.groups()
    name = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return name[:_LONGEST_FILE_ID]
