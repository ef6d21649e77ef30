"""E-mail addresses as far as they say who somebody is."""

import re
from typing import Final

__all__ = ["in_small_letters", "mailbox_of"]

_MAILBOX: Final = re.compile(r"[!-?A-~]+@[!-?A-~]+", re.ASCII)
_SMALL: Final = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}


def mailbox_of(address: str) -> str | None:
    """Return the one spelling by which an address is compared; ``None`` for one that cannot stand for somebody.

    That is ASCII alone, with small letters (RFC 5321 section 2.4 leaves the case of a mailbox to its host; none is
    known that tells them apart). Beyond ASCII, several letters look or fold alike, the Kelvin sign and ``k`` among
    them: whoever has the one address must not be taken for whoever has the other.
    """
    trimmed = address.strip(" ")
    return in_small_letters(trimmed) if _MAILBOX.fullmatch(trimmed) is not None else None


def in_small_letters(text: str) -> str:
    """Return a text with the ASCII letters made small, and with no other changed."""
    return text.translate(_SMALL)
