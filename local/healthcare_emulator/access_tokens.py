"""Access tokens of the emulated service account, signed with a key of the data folder: they outlive a restart."""

import hashlib
import hmac
import secrets
import time
from pathlib import Path
from typing import Final

__all__ = ["AccessTokens"]

_PREFIX: Final = "ya29.emulator."
_KEY_BYTES: Final = 32


class AccessTokens:
    """Issues tokens, and knows its own again.

    Parameters
    ----------
    key_file
        Where the key is kept; made if it is not there.
    lifetime
        Seconds that a token lives.
    """

    def __init__(self, key_file: Path, *, lifetime: int) -> None:
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_bytes(secrets.token_bytes(_KEY_BYTES))
        self._key = key_file.read_bytes()
        self.lifetime = lifetime

    def issue(self) -> str:
        """Return a new token."""
        claims = f"{int(time.time()) + self.lifetime}.{secrets.token_hex(8)}"
        return f"{_PREFIX}{claims}.{self._signature(claims)}"

    def accept(self, token: str) -> bool:
        """Return whether ``token`` is one of ours that still holds."""
        if not token.startswith(_PREFIX) or not token.isascii():
            return False
        claims, _, signature = token.removeprefix(_PREFIX).rpartition(".")
        if not hmac.compare_digest(signature, self._signature(claims)):
            return False
        return int(claims.partition(".")[0]) > time.time()

    def _signature(self, claims: str) -> str:
        return hmac.new(self._key, claims.encode(), hashlib.sha256).hexdigest()
