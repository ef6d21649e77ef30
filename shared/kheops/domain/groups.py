"""Groups of people, as their issuers name them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

__all__ = ["GROUP_NAME_LENGTH", "Group", "GroupMember", "is_group_name"]

GROUP_NAME_LENGTH: Final = 255
"""Characters."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group: what an issuer says of people in a claim. The same value from another issuer is another group."""

    iss: str
    value: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A group that is in an album; whoever presents it is a plain member for that request."""

    group: Group
    added_at: datetime


def is_group_name(value: str) -> bool:
    """Return whether a text can be the value of a group: printable, 1 to 255 characters."""
    return 0 < len(value) <= GROUP_NAME_LENGTH and value.isprintable()
