"""Comments as people write them."""

from dataclasses import dataclass
from typing import Final

__all__ = ["COMMENT_LENGTH", "CommentDraft"]

COMMENT_LENGTH: Final = 1024
"""Characters."""


@dataclass(frozen=True, slots=True)
class CommentDraft:
    """A comment that somebody wants to write; the text is trimmed and within its length."""

    comment: str
    to_user: str | None = None
    """A reference to the one person who may read it besides its author; ``None`` lets everybody read it who may."""
    issuer: str | None = None
    """Whose ``sub`` that reference is; ``None`` for an address, or the default issuer."""
