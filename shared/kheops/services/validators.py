"""Validators of answers (RFC 9110 section 8.8): what a client has need not be sent again.

An instance on record never changes, so what is made of it is the same as long as it is asked for in the same way. So
the validator follows from the digest of the file and from what was asked, and the store is not asked for it. It is a
weak one: a multipart body has another boundary each time.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from kheops.archive.port import ArchiveStream
from kheops.services.store_answers import Renamed

__all__ = ["NotModified", "Tagged", "tagged", "validator_of"]

_LENGTH: Final = 16
"""Bytes of a validator: two that are the same by chance need 2**64 of one object."""


class Tagged(Renamed):
    """An answer with a validator."""

    __slots__ = ("validator",)

    def __init__(self, inner: ArchiveStream, validator: str) -> None:
        super().__init__(inner, inner.content_type)
        self.validator = validator


class NotModified:
    """The answer that what the client has is good; it has no body, and the store was not asked."""

    status = 304
    content_type = ""
    content_length: int | None = None
    content_range: str | None = None

    def __init__(self, validator: str) -> None:
        self.validator = validator

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give nothing."""
        return
        yield b""

    def abort(self) -> None:
        """Do nothing."""


def validator_of(sha256: bytes | None, *asked: object) -> str | None:
    """Return the validator of what is made of an instance; ``None`` where its digest is not on record.

    Parameters
    ----------
    sha256
        Of the file.
    asked
        All that the representation depends on besides.
    """
    if sha256 is None:
        return None
    digest = hashlib.sha256(sha256 + repr(asked).encode()).digest()[:_LENGTH]
    return f'W/"{urlsafe_b64encode(digest).decode().rstrip("=")}"'


async def tagged(
    validator: str | None, known: frozenset[str], opening: Callable[[], Awaitable[ArchiveStream]]
) -> ArchiveStream:
    """Return what ``opening`` opens with its validator, or say that the client has it.

    Parameters
    ----------
    validator
        Of what would be opened; ``None`` if it has none.
    known
        What the client has, by ``If-None-Match``: opaque tags without ``W/``, which weak comparison passes over.
    opening
        Asks the store.
    """
    if validator is None:
        return await opening()
    if validator.removeprefix("W/") in known:
        return NotModified(validator)
    return Tagged(await opening(), validator)
