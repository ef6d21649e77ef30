"""Validated identifiers.

Each is a ``str`` of its own type, so that a study cannot be passed for a series. Only the functions of this
module create them from text that came from outside.
"""

import re
import secrets
import string
from typing import Final, NewType

from kheops.errors import InvalidIdentifierError

__all__ = [
    "AlbumId",
    "AlbumPk",
    "CapabilityId",
    "SeriesInstanceUID",
    "SeriesPk",
    "SopClassUID",
    "SopInstanceUID",
    "StudyInstanceUID",
    "TransferSyntaxUID",
    "UserPk",
    "ViewerTokenPk",
    "album_id",
    "capability_id",
    "new_album_id",
    "new_capability_id",
    "series_instance_uid",
    "sop_class_uid",
    "sop_instance_uid",
    "study_instance_uid",
    "transfer_syntax_uid",
]

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SopInstanceUID = NewType("SopInstanceUID", str)
SopClassUID = NewType("SopClassUID", str)
TransferSyntaxUID = NewType("TransferSyntaxUID", str)

AlbumId = NewType("AlbumId", str)
"""What the public sees of an album: ten letters and digits."""
CapabilityId = NewType("CapabilityId", str)
"""What the public sees of a capability token: ten letters and digits; not its secret."""

UserPk = NewType("UserPk", int)
AlbumPk = NewType("AlbumPk", int)
SeriesPk = NewType("SeriesPk", int)
ViewerTokenPk = NewType("ViewerTokenPk", int)

_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_UID_LENGTH: Final = 64
"""PS3.5 section 9.1. Leading zeros in a component are borne: real archives are full of them."""
_ID: Final = re.compile(r"[A-Za-z0-9]{10}", re.ASCII)
_ALPHABET: Final = string.ascii_letters + string.digits


def _uid(text: str) -> str:
    if len(text) > _UID_LENGTH or _UID.fullmatch(text) is None:
        raise InvalidIdentifierError("not a DICOM UID: digits and dots, 64 at most")
    return text


def study_instance_uid(text: str) -> StudyInstanceUID:
    """Return ``text`` as a Study Instance UID; raise `InvalidIdentifierError` unless it follows PS3.5 9.1."""
    return StudyInstanceUID(_uid(text))


def series_instance_uid(text: str) -> SeriesInstanceUID:
    """Return ``text`` as a Series Instance UID; raise `InvalidIdentifierError` unless it follows PS3.5 9.1."""
    return SeriesInstanceUID(_uid(text))


def sop_instance_uid(text: str) -> SopInstanceUID:
    """Return ``text`` as a SOP Instance UID; raise `InvalidIdentifierError` unless it follows PS3.5 9.1."""
    return SopInstanceUID(_uid(text))


def sop_class_uid(text: str) -> SopClassUID:
    """Return ``text`` as a SOP Class UID; raise `InvalidIdentifierError` unless it follows PS3.5 9.1."""
    return SopClassUID(_uid(text))


def transfer_syntax_uid(text: str) -> TransferSyntaxUID:
    """Return ``text`` as a Transfer Syntax UID; raise `InvalidIdentifierError` unless it follows PS3.5 9.1."""
    return TransferSyntaxUID(_uid(text))


def album_id(text: str) -> AlbumId:
    """Return ``text`` as an album's public id; raise `InvalidIdentifierError` unless it is ten letters or digits."""
    if _ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not an album id")
    return AlbumId(text)


def capability_id(text: str) -> CapabilityId:
    """Return ``text`` as a capability's public id; raise `InvalidIdentifierError` unless ten letters or digits."""
    if _ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not a capability id")
    return CapabilityId(text)


def new_album_id() -> AlbumId:
    """Return a random album id. Uniqueness is the database's constraint, not a promise made here."""
    return AlbumId(_random(10))


def new_capability_id() -> CapabilityId:
    """Return a random capability id. Uniqueness is the database's constraint, not a promise made here."""
    return CapabilityId(_random(10))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
