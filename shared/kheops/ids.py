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
    "InvitationId",
    "LinkId",
    "LinkPk",
    "LinkVisitPk",
    "ReportProviderId",
    "ReportTokenPk",
    "SeriesInstanceUID",
    "SeriesPk",
    "SopClassUID",
    "SopInstanceUID",
    "StudyInstanceUID",
    "TransferSyntaxUID",
    "UserPk",
    "ViewerTokenPk",
    "WebhookDeliveryId",
    "WebhookId",
    "album_id",
    "capability_id",
    "invitation_id",
    "link_id",
    "new_album_id",
    "new_capability_id",
    "new_invitation_id",
    "new_link_id",
    "new_report_provider_id",
    "new_webhook_delivery_id",
    "new_webhook_id",
    "report_provider_id",
    "series_instance_uid",
    "sop_class_uid",
    "sop_instance_uid",
    "study_instance_uid",
    "transfer_syntax_uid",
    "webhook_id",
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
LinkId = NewType("LinkId", str)
"""What the public sees of a link: ten letters and digits; not its secret."""
InvitationId = NewType("InvitationId", str)
"""What the public sees of an invitation: ten letters and digits."""
ReportProviderId = NewType("ReportProviderId", str)
"""The ``client_id`` of a report provider: 22 letters and digits; no secret."""
WebhookId = NewType("WebhookId", str)
"""What the public sees of a webhook: twenty letters and digits."""
WebhookDeliveryId = NewType("WebhookDeliveryId", str)
"""What the public sees of one delivery of a webhook, KHEOPS's trigger: thirty letters and digits."""

UserPk = NewType("UserPk", int)
AlbumPk = NewType("AlbumPk", int)
SeriesPk = NewType("SeriesPk", int)
ViewerTokenPk = NewType("ViewerTokenPk", int)
LinkPk = NewType("LinkPk", int)
LinkVisitPk = NewType("LinkVisitPk", int)
ReportTokenPk = NewType("ReportTokenPk", int)

_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
_UID_LENGTH: Final = 64
"""PS3.5 section 9.1. Leading zeros in a component are borne: real archives are full of them."""
_ID: Final = re.compile(r"[A-Za-z0-9]{10}", re.ASCII)
_WEBHOOK_ID: Final = re.compile(r"[A-Za-z0-9]{20}", re.ASCII)
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{22}", re.ASCII)
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


def report_provider_id(text: str) -> ReportProviderId:
    """Return ``text`` as a report provider's id; raise `InvalidIdentifierError` unless 22 letters or digits."""
    if _CLIENT_ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not a client id")
    return ReportProviderId(text)


def link_id(text: str) -> LinkId:
    """Return ``text`` as a link's public id; raise `InvalidIdentifierError` unless it is ten letters or digits."""
    if _ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not a link id")
    return LinkId(text)


def invitation_id(text: str) -> InvitationId:
    """Return ``text`` as an invitation's public id; raise `InvalidIdentifierError` unless ten letters or digits."""
    if _ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not an invitation id")
    return InvitationId(text)


def webhook_id(text: str) -> WebhookId:
    """Return ``text`` as a webhook's id; raise `InvalidIdentifierError` unless 20 letters or digits."""
    if _WEBHOOK_ID.fullmatch(text) is None:
        raise InvalidIdentifierError("not a webhook id")
    return WebhookId(text)


def new_album_id() -> AlbumId:
    """Return a random album id. Uniqueness is the database's constraint, not a promise made here."""
    return AlbumId(_random(10))


def new_capability_id() -> CapabilityId:
    """Return a random capability id. Uniqueness is the database's constraint, not a promise made here."""
    return CapabilityId(_random(10))


def new_report_provider_id() -> ReportProviderId:
    """Return a random report provider's id. Uniqueness is the database's constraint, not a promise made here."""
    return ReportProviderId(_random(22))


def new_link_id() -> LinkId:
    """Return a random link id. Uniqueness is the database's constraint, not a promise made here."""
    return LinkId(_random(10))


def new_invitation_id() -> InvitationId:
    """Return a random invitation id. Uniqueness is the database's constraint, not a promise made here."""
    return InvitationId(_random(10))


def new_webhook_id() -> WebhookId:
    """Return a random webhook id. Uniqueness is the database's constraint, not a promise made here."""
    return WebhookId(_random(20))


def new_webhook_delivery_id() -> WebhookDeliveryId:
    """Return a random id of a delivery. Uniqueness is the database's constraint, not a promise made here."""
    return WebhookDeliveryId(_random(30))


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
