"""Proof Key for Code Exchange (RFC 7636): whoever redeems a code is who asked for it."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Proof"]


@dataclass(frozen=True, slots=True)
class Proof:
    """A verifier, and the challenge made of it by S256."""

    verifier: str = field(repr=False)
    challenge: str

    @classmethod
    def new(cls) -> Self:
        """Return a random one."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        return cls(verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
