"""Where the value of a secret setting is kept, when the setting itself does not hold it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["FileReference", "SecretManagerReference", "SecretReference", "is_strong", "parse_reference"]

_SECRET_MANAGER: Final = re.compile(
    r"sm://projects/(?P<project>[a-z0-9][a-z0-9:.-]{0,61}[a-z0-9])"
    r"/secrets/(?P<secret>[A-Za-z0-9_-]{1,255})/versions/(?P<version>latest|[1-9][0-9]{0,9})",
    re.ASCII,
)
"""Resource names of `projects.secrets.versions` in the Secret Manager API, version 1."""
_LENGTH: Final = 32
"""Characters; 32 of base64 or hex carry at least 128 bits, the least that NIST SP 800-131A allows."""


@dataclass(frozen=True, slots=True)
class SecretManagerReference:
    """A secret in Google Cloud's Secret Manager.

    Parameters
    ----------
    secret
        Its resource name, ``projects/P/secrets/S``.
    version
        The number of the newest version to use; ``None`` for the newest that is enabled, looked for again and again.
    """

    secret: str
    version: int | None


@dataclass(frozen=True, slots=True)
class FileReference:
    """A file whose content is the secret, without the line's end."""

    path: Path


SecretReference = SecretManagerReference | FileReference


def parse_reference(text: str) -> SecretReference | None:
    """Return what the value of a secret setting refers to; ``None`` if the value is the secret itself.

    Parameters
    ----------
    text
        ``sm://projects/P/secrets/S/versions/V`` with a number or ``latest``, ``file:/path``, or a secret.

    Raises
    ------
    ValueError
        If it begins as a reference and is none. The message does not repeat it.
    """
    if text.startswith("sm:"):
        match = _SECRET_MANAGER.fullmatch(text)
        if match is None:
            raise ValueError("must look like sm://projects/P/secrets/S/versions/V, with a number or latest as V")
        version = None if match["version"] == "latest" else int(match["version"])
        return SecretManagerReference(f"projects/{match['project']}/secrets/{match['secret']}", version)
    if text.startswith("file:"):
        path = Path(text.removeprefix("file:"))
        if not path.is_absolute():
            raise ValueError("must look like file:/path, from the root")
        return FileReference(path)
    return None


def is_strong(secret: str) -> bool:
    """Return whether a key is long enough, and not obviously made by hand."""
    return len(secret) >= _LENGTH and len(set(secret)) >= _LENGTH // 4
