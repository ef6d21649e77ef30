"""People as they show in histories and comments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PARTICIPANT_WIDTH", "Participant", "participant_columns", "participant_of"]


PARTICIPANT_WIDTH: Final = 6
"""How many columns `participant_columns` are."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who did something, or to whom it was done."""

    email: str | None
    """Only an address that an issuer vouches for; others may be anybody's."""
    name: str | None
    iss: str
    sub: str
    can_access: bool
    """Whether they still reach the album or study, as far as whoever asks may know."""
    is_admin: bool | None
    """Whether they administer the album; ``None`` where there is none, or they are no member any longer."""


def participant_columns(user: str, *, can_access: str, is_admin: str = "CAST(NULL AS boolean)") -> str:
    """Return the columns of a person, for a SELECT.

    Parameters
    ----------
    user
        The alias of ``users``.
    can_access, is_admin
        SQL of the two facts.
    """
    email = f"CASE WHEN {user}.email_verified THEN lower({user}.email) END"
    return f"{email}, {user}.name, {user}.iss, {user}.sub, {can_access}, {is_admin}"


def participant_of(columns: Sequence[Any]) -> Participant | None:
    """Return the person of such columns; ``None`` where an outer join found nobody."""
    email, name, iss, sub, can_access, is_admin = columns
    return None if sub is None else Participant(email, name, iss, sub, bool(can_access), is_admin)
