"""Base64url as JOSE has it (RFC 7515 section 2): one spelling for each value, and no other is taken for it."""

import base64
import binascii
import re
from typing import Final

__all__ = ["decode_base64url"]

_ALPHABET: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def decode_base64url(text: str) -> bytes | None:
    """Return the bytes that ``text`` stands for; ``None`` for what no encoder writes.

    That is padding, line breaks and letters of another alphabet, and bits behind the last byte that are not zero
    (RFC 4648 section 3.5). Python's own decoder passes over all of these, so that one token would have many texts.
    """
    if _ALPHABET.fullmatch(text) is None:
        return None
    try:
        value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return value if base64.urlsafe_b64encode(value).rstrip(b"=") == text.encode() else None
