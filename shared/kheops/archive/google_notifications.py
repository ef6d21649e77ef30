"""Notifications of a DICOM store of the Cloud Healthcare API, as Pub/Sub brings them.

There are two forms, and both have the resource name of the instance as their data. Those of ``notificationConfigs``
say in the attribute ``action`` what was done; those of the older ``notificationConfig`` have no attributes, and come
for what was stored and, if so set, imported.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kheops.domain.resources import InstanceRef
from kheops.errors import BadRequestError, InvalidIdentifierError
from kheops.ids import series_instance_uid, sop_instance_uid, study_instance_uid

__all__ = ["Change", "StoreNotification", "parse_notification"]

_NAME: Final = re.compile(
    r"projects/[^/]+/(?P<store>locations/[^/]+/datasets/[^/]+/dicomStores/[^/]+)"
    r"/dicomWeb/studies/(?P<study>[^/]+)/series/(?P<series>[^/]+)/instances/(?P<instance>[^/]+)",
    re.ASCII,
)
_NO_NAME: Final = "The message's data must be the name of a DICOM instance."
_LONGEST: Final = 4096
"""Characters of a message's data; a resource name with the longest names and UIDs has some 600."""


class Change(StrEnum):
    """What was done to an instance."""

    STORED = "stored"
    DELETED = "deleted"
    NONE = "none"
    """Nothing that the catalog has."""
    UNKNOWN = "unknown"
    """By an action that is not known here."""


_ACTIONS: Final[Mapping[str | None, Change]] = {
    None: Change.STORED,
    "StoreInstances": Change.STORED,
    "ImportDicomData": Change.STORED,
    "DeleteInstances": Change.DELETED,
    "SetBlobSettings": Change.NONE,
}


@dataclass(frozen=True, slots=True)
class StoreNotification:
    """One change of one instance, some time ago."""

    ref: InstanceRef
    change: Change
    store: str
    """``locations/L/datasets/D/dicomStores/S``; the project is left out, since it has a number and a name."""

    def is_of(self, store_url: str) -> bool:
        """Return whether it is about the store of an address as settings have it."""
        return store_url.endswith(f"/{self.store}")


def parse_notification(data: str, attributes: Mapping[str, str]) -> StoreNotification:
    """Return what a Pub/Sub message says.

    Parameters
    ----------
    data
        The message's ``data``, base64.
    attributes
        Its ``attributes``; empty in the older form.

    Raises
    ------
    BadRequestError
        If the data is not the resource name of an instance.
    """
    try:
        name = base64.b64decode(data[:_LONGEST], validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise BadRequestError(_NO_NAME) from None
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadRequestError(_NO_NAME)
    try:
        ref = InstanceRef(
            study_instance_uid(match["study"]),
            series_instance_uid(match["series"]),
            sop_instance_uid(match["instance"]),
        )
    except InvalidIdentifierError:
        raise BadRequestError(_NO_NAME) from None
    return StoreNotification(ref, _ACTIONS.get(attributes.get("action"), Change.UNKNOWN), match["store"])
