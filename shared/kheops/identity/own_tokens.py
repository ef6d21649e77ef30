"""Secrets of our own tokens: made, recognised, and hashed for keeping.

A capability secret has KHEOPS's form, so that clients and links made for KHEOPS go on working: 22 letters and digits,
131 bits. Those of viewer and report tokens, and of visits by a link, are longer, and begin with a letter of their
own. Only their keyed hashes are ever stored; whoever reads the database can neither use them nor try guesses.
"""

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

from kheops.identity.keyring import Keyring

__all__ = [
    "CAPABILITY_LENGTH",
    "VIEWER_TOKEN_LENGTH",
    "hash_secret",
    "hashes",
    "looks_like_capability",
    "looks_like_report_token",
    "looks_like_viewer_token",
    "looks_like_visit",
    "new_report_code",
    "new_report_secret",
    "new_secret",
    "new_viewer_secret",
    "new_visit_secret",
]

CAPABILITY_LENGTH: Final = 22
"""Characters of 62 kinds: 131 bits, more than the 128 that OWASP ASVS 7.2.3 asks of reference tokens."""
VIEWER_TOKEN_LENGTH: Final = 43
"""Characters of 62 kinds behind the ``v`` (``r`` of report tokens, ``c`` of codes, ``l`` of visits): 256 bits."""

_ALPHABET: Final = string.ascii_letters + string.digits
_CAPABILITY: Final = re.compile(rf"[A-Za-z0-9]{{{CAPABILITY_LENGTH}}}", re.ASCII)
_VIEWER_TOKEN: Final = re.compile(rf"v[A-Za-z0-9]{{{VIEWER_TOKEN_LENGTH}}}", re.ASCII)
_REPORT_TOKEN: Final = re.compile(rf"r[A-Za-z0-9]{{{VIEWER_TOKEN_LENGTH}}}", re.ASCII)
_VISIT: Final = re.compile(rf"l[A-Za-z0-9]{{{VIEWER_TOKEN_LENGTH}}}", re.ASCII)
_PEPPER_BYTES: Final = 32


def new_secret() -> str:
    """Return a new random capability secret. It is shown once, and never stored or logged."""
    return _random(CAPABILITY_LENGTH)


def new_viewer_secret() -> str:
    """Return the random secret of a new viewer token. It is shown once, and never stored or logged."""
    return "v" + _random(VIEWER_TOKEN_LENGTH)


def new_report_secret() -> str:
    """Return the random secret of a new report token. It is shown once, and never stored or logged."""
    return "r" + _random(VIEWER_TOKEN_LENGTH)


def new_report_code() -> str:
    """Return a random authorization code. It is shown once, and never stored or logged."""
    return "c" + _random(VIEWER_TOKEN_LENGTH)


def new_visit_secret() -> str:
    """Return the random token of somebody who opened a link. It is given out once, and never stored or logged."""
    return "l" + _random(VIEWER_TOKEN_LENGTH)


def looks_like_capability(token: str) -> bool:
    """Return whether ``token`` has the form of a capability secret; no JWT has it."""
    return _CAPABILITY.fullmatch(token) is not None


def looks_like_viewer_token(token: str) -> bool:
    """Return whether ``token`` has the form of a viewer token; no JWT and no capability secret has it."""
    return _VIEWER_TOKEN.fullmatch(token) is not None


def looks_like_report_token(token: str) -> bool:
    """Return whether ``token`` has the form of a report token; no JWT and no other token of ours has it."""
    return _REPORT_TOKEN.fullmatch(token) is not None


def looks_like_visit(token: str) -> bool:
    """Return whether ``token`` has the form of a visit's token; no JWT and no other token of ours has it."""
    return _VISIT.fullmatch(token) is not None


def hash_secret(secret: str, pepper: bytes) -> bytes:
    """Return the keyed hash under which ``secret`` is stored and looked up: HMAC-SHA-256, 32 bytes.

    Parameters
    ----------
    secret
        A token as its bearer sends it.
    pepper
        The installation's key (``KHEOPS_TOKEN_PEPPER``), 32 bytes at least. Other peppers give other hashes.

    Raises
    ------
    ValueError
        If the pepper is too short to protect anything.
    """
    if len(pepper) < _PEPPER_BYTES:
        raise ValueError(f"the pepper must have {_PEPPER_BYTES} bytes at least")
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def hashes(secret: str, peppers: Keyring) -> tuple[bytes, ...]:
    """Return the hashes under which ``secret`` may be on record, that of the current pepper first."""
    return tuple(hash_secret(secret, pepper) for pepper in peppers.accepted)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
