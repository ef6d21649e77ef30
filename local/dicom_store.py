"""The DICOM store of a stack as a script sees it: its address, its credential, and the settings of the services."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["DicomStore", "basic_authorization"]


@dataclass(frozen=True, slots=True)
class DicomStore:
    """A running store."""

    dicomweb: str
    """Root of its DICOMweb routes."""
    authorization: Callable[[], str]
    """Gives an ``Authorization`` header that is good now. It is a credential to everything in the store."""
    settings: Mapping[str, str]
    """Environment of the services that makes them use this store."""


def basic_authorization(user: str, password: str) -> str:
    """Return an ``Authorization`` header of HTTP Basic (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
