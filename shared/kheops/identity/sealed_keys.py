"""Keys that other people gave us to sign with: kept encrypted, since a hash of them would sign nothing."""

import base64
import hashlib
import hmac
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

__all__ = ["KeySealer"]

_PURPOSE: Final = b"kheops webhook secret"


class KeySealer:
    """Seals signing keys for the database, so that whoever reads it alone cannot sign.

    Parameters
    ----------
    pepper
        The installation's key (``KHEOPS_TOKEN_PEPPER``), from which one of its own is derived. Under another pepper,
        what was sealed cannot be opened.
    """

    def __init__(self, pepper: bytes) -> None:
        self._box = Fernet(base64.urlsafe_b64encode(hmac.digest(pepper, _PURPOSE, hashlib.sha256)))

    def seal(self, key: str) -> bytes:
        """Return a key encrypted and authenticated."""
        return self._box.encrypt(key.encode())

    def open(self, sealed: bytes) -> str | None:
        """Return what `seal` sealed; ``None`` if the pepper has changed since."""
        try:
            return self._box.decrypt(sealed).decode()
        except InvalidToken:
            return None
