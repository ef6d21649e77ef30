"""Viewer tokens as they are asked for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from kheops.ids import AlbumId, StudyInstanceUID

__all__ = ["VIEWER_TOKENS_AT_ONCE", "VIEWER_TOKEN_LIFETIME", "ViewerDraft"]

VIEWER_TOKEN_LIFETIME: Final = timedelta(hours=5)
"""From its making, and never beyond the end of the capability token or session that it comes from."""
VIEWER_TOKENS_AT_ONCE: Final = 1_000
"""How many that have not ended a person may have, and each capability token by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewerDraft:
    """A viewer token that somebody wants.

    Parameters
    ----------
    study
        The study that it is for.
    inbox
        Whether only the inbox is its source.
    album
        The one album that is its source; with neither, everything that its parent reaches.
    read, write
        What it is to do.
    """

    study: StudyInstanceUID
    inbox: bool = False
    album: AlbumId | None = None
    read: bool
    write: bool
