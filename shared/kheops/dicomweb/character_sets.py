"""Text of DICOM elements, decoded by Specific Character Set (PS3.5 section 6.1, PS3.3 section C.12.1.1.2)."""

import re
import threading
import warnings
from typing import Final

__all__ = ["decode_text"]

_NAME: Final = re.compile(r"ISO[ _-]IR[ _-]([0-9]{1,3})", re.ASCII)
_PERSON_NAME_DELIMITERS: Final = frozenset(b"\n\r\t\f^=\\")
_TEXT_DELIMITERS: Final = frozenset(b"\n\r\t\f\\")
_WARNINGS_LOCK: Final = threading.Lock()
"""`warnings.catch_warnings` changes the whole process: two of them must not overlap."""


def decode_text(raw: bytes, *, vr: str, specific_character_set: str) -> str:
    """Return the text of an element's value; never fails.

    Parameters
    ----------
    raw
        The value as stored.
    vr
        Its value representation: delimiters that end a code extension differ for ``PN``.
    specific_character_set
        The value of (0008,0005), items separated by backslashes. A character set that DICOM does not define counts
        as ISO 8859-1.

    Notes
    -----
    What cannot be decoded becomes U+FFFD. A person name is decoded whole, not group by group: in ISO 2022 text the
    bytes of ``=`` and ``^`` also occur inside characters.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    # Loaded for the first text that is not plain only: most services never decode any.
    from pydicom.charset import STAND_ALONE_ENCODINGS, decode_bytes, python_encoding

    names = [_NAME.sub(r"ISO_IR \1", name.strip().upper()) for name in specific_character_set.split("\\")]
    if names[0] in STAND_ALONE_ENCODINGS:
        names = names[:1]
    # Only DICOM's names: pydicom would take any codec of Python's, some of which are slow on purpose-made input.
    encodings = [python_encoding.get(name, "iso8859") for name in names]
    delimiters = _PERSON_NAME_DELIMITERS if vr == "PN" else _TEXT_DELIMITERS
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return decode_bytes(raw, encodings, set(delimiters))
