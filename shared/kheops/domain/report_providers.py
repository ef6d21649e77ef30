"""Report providers: programs of others to which members of an album hand studies (KHEOPS: DICOM SR providers)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from kheops.ids import StudyInstanceUID

__all__ = [
    "ASSERTION_TYPE",
    "PROVIDERS_OF_ALBUM",
    "PROVIDER_NAME_LENGTH",
    "PROVIDER_URL_LENGTH",
    "REPORT_CODE_LIFETIME",
    "REPORT_STUDIES",
    "REPORT_TOKEN_LIFETIME",
    "CodeExchange",
    "ProviderDraft",
    "ReportDraft",
    "same_origin",
]

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""How a provider shows that it is itself (RFC 7523 section 2.2)."""
PROVIDER_NAME_LENGTH: Final = 1024
"""Characters."""
PROVIDER_URL_LENGTH: Final = 1024
"""Characters."""
PROVIDERS_OF_ALBUM: Final = 100
"""How many an album may have."""
REPORT_CODE_LIFETIME: Final = timedelta(minutes=2)
"""RFC 6749 section 4.1.2 asks for ten minutes at most; a browser needs seconds to hand it on."""
REPORT_TOKEN_LIFETIME: Final = timedelta(hours=1)
"""As KHEOPS says in ``expires_in``."""
REPORT_STUDIES: Final = 100
"""Studies of one report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDraft:
    """A report provider that somebody wants to register.

    Parameters
    ----------
    name
        What people call it.
    url
        Where its configuration document is.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDraft:
    """A report that somebody asks a provider for.

    Parameters
    ----------
    studies
        Of which studies.
    code_challenge
        ``S256`` of a verifier that the exchange of the code must then bring (RFC 7636), if one was given.
    """

    studies: tuple[StudyInstanceUID, ...]
    code_challenge: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeExchange:
    """What a provider brings to have its code exchanged (RFC 6749 section 4.1.3)."""

    code: str
    redirect_uri: str
    code_verifier: str | None = None


def same_origin(one: str, other: str) -> bool:
    """Return whether two URLs have the same scheme, host and port (RFC 6454 section 5); false for malformed ones."""
    origins = [_origin(one), _origin(other)]
    return None not in origins and origins[0] == origins[1]


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    if standard is None or not parts.hostname or parts.username is not None or parts.password is not None:
        return None
    return parts.scheme, parts.hostname, standard if port is None else port
