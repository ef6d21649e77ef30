"""Keys that other people gave us to sign with: kept encrypted, since a hash of them would sign nothing."""

import base64
import hashlib
import hmac
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from kheops.identity.keyring import Keyring

__all__ = ["KeySealer"]

_PURPOSE: Final = b"kheops webhook secret"


class KeySealer:
    """Seals signing keys for the database, so that whoever reads it alone cannot sign.

    Parameters
    ----------
    peppers
        The installation's keys (``KHEOPS_TOKEN_PEPPER``), from each of which one of its own is derived. What was
        sealed under a pepper that is accepted no longer cannot be opened.
    """

    def __init__(self, peppers: Keyring) -> None:
        self._peppers = peppers

    def seal(self, key: str) -> bytes:
        """Return a key encrypted and authenticated."""
        return self._box().encrypt(key.encode())

    def open(self, sealed: bytes) -> str | None:
        """Return what `seal` sealed; ``None`` if its pepper is accepted no longer."""
        try:
            return self._box().decrypt(sealed).decode()
        except InvalidToken:
            return None

    def _box(self) -> MultiFernet:
        return MultiFernet(
            Fernet(base64.urlsafe_b64encode(hmac.digest(pepper, _PURPOSE, hashlib.sha256)))
            for pepper in self._peppers.accepted
        )
