"""Passcodes of links, kept as Argon2id hashes (RFC 9106): people choose them, so that they can be guessed."""

import asyncio
import unicodedata
from typing import Final

__all__ = ["Passcodes"]

_AT_ONCE: Final = 2
"""Computed side by side in one process: each takes 19 MiB and some tens of milliseconds of a core."""


class Passcodes:
    """Hashes passcodes and compares them, off the event loop.

    The parameters are the least that the OWASP Password Storage Cheat Sheet asks of Argon2id: 19 MiB, two passes, one
    lane. Two spellings that Unicode holds for the same text (NFC) are the same passcode.
    """

    def __init__(self) -> None:
        from argon2 import PasswordHasher  # few processes ever need it

        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hashed(self, passcode: str) -> str:
        """Return what is kept of a passcode: an encoded hash with a salt of its own."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _normal(passcode))

    async def is_right(self, passcode: str, kept: str) -> bool:
        """Return whether ``passcode`` is the one of which `hashed` made ``kept``."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, passcode, kept)

    def _verify(self, passcode: str, kept: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            return self._hasher.verify(kept, _normal(passcode))
        except (VerificationError, InvalidHashError):
            return False


def _normal(passcode: str) -> str:
    return unicodedata.normalize("NFC", passcode)
