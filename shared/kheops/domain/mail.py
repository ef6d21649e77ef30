"""Mail: what one message is, and what it may never hold."""

import re
from dataclasses import dataclass
from typing import Final

from kheops.errors import BadRequestError

__all__ = ["MAIL_SUBJECT_LENGTH", "MAIL_TEXT_LENGTH", "Mail", "one_line"]

MAIL_SUBJECT_LENGTH: Final = 255
"""Characters."""
MAIL_TEXT_LENGTH: Final = 64 * 1024
"""Characters."""

_ADDRESS_LENGTH: Final = 254
"""Octets of a path in RFC 5321 section 4.5.3.1.3, less its angle brackets."""
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*",
    re.ASCII,
)
"""A mailbox without quotes, comments or a name (RFC 5322 section 3.4.1): one recipient, whoever reads it."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message in plain text to one address.

    Parameters
    ----------
    recipient
        One mailbox, ``local@domain``; no name, no list.
    subject
        One line of at most `MAIL_SUBJECT_LENGTH` characters, never empty.
    text
        The body, its lines ended by LF; at most `MAIL_TEXT_LENGTH` characters. Never patient data.

    Raises
    ------
    BadRequestError
        If a part breaks its rule: a line break in the recipient or subject would start a header of its own.
    """

    recipient: str
    subject: str
    text: str

    def __post_init__(self) -> None:
        if len(self.recipient) > _ADDRESS_LENGTH or _ADDRESS.fullmatch(self.recipient) is None:
            raise BadRequestError("The recipient must be one e-mail address.")
        if not self.subject.strip() or len(self.subject) > MAIL_SUBJECT_LENGTH or _CONTROL.search(self.subject):
            raise BadRequestError(f"The subject of a mail must be one line of 1 to {MAIL_SUBJECT_LENGTH} characters.")
        if not self.text.strip() or len(self.text) > MAIL_TEXT_LENGTH or _CONTROL_IN_TEXT.search(self.text):
            raise BadRequestError(
                f"The text of a mail must have 1 to {MAIL_TEXT_LENGTH} characters, and no control character but line "
                "ends and tabs."
            )
        if _SURROGATE.search(self.subject + self.text):
            raise BadRequestError("A mail must be well-formed Unicode.")


def one_line(text: str, *, most: int) -> str:
    """Return a text that people gave, such as a name, without what would make lines in a mail or hide in it.

    Parameters
    ----------
    text
        What they gave.
    most
        Characters; what is longer ends in an ellipsis.
    """
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}\u2026"
