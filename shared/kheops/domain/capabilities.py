"""Capability tokens as people describe them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from kheops.domain.principals import CapabilityPermissions
from kheops.ids import AlbumId

__all__ = ["CAPABILITY_TITLE_LENGTH", "CapabilityDraft", "CapabilityScope"]

CAPABILITY_TITLE_LENGTH: Final = 255
"""Characters."""


class CapabilityScope(StrEnum):
    """What a capability token reaches: what its owner reaches, or one album."""

    USER = "user"
    ALBUM = "album"


@dataclass(frozen=True, slots=True)
class CapabilityDraft:
    """A capability token that somebody wants to create."""

    title: str
    album: AlbumId | None
    """The album of a token of album scope; ``None`` makes one of user scope."""
    permissions: CapabilityPermissions
    not_before: datetime
    expires_at: datetime

    @property
    def scope(self) -> CapabilityScope:
        """The kind of token."""
        return CapabilityScope.USER if self.album is None else CapabilityScope.ALBUM
