"""Comments as people write them."""

from dataclasses import dataclass
from typing import Final

from kheops.domain.named_people import NamedPerson

__all__ = ["COMMENT_LENGTH", "CommentDraft"]

COMMENT_LENGTH: Final = 1024
"""Characters."""


@dataclass(frozen=True, slots=True)
class CommentDraft:
    """A comment that somebody wants to write; the text is trimmed and within its length."""

    comment: str
    to_user: NamedPerson | None = None
    """The one person who may read it besides its author; ``None`` lets everybody read it who may."""
