"""UIDs and ids that a person typed, checked before anything is asked, and as parts of a path."""

import re
from datetime import datetime
from typing import Final
from urllib.parse import quote

from kheops.cli.failure import CommandError, ExitCode
from kheops.errors import InvalidIdentifierError
from kheops.ids import album_id, series_instance_uid, study_instance_uid

__all__ = ["album", "dates", "segment", "series", "study"]

_DAY: Final = re.compile(r"[0-9]{8}", re.ASCII)


def study(text: str) -> str:
    """Return a Study Instance UID; raise `CommandError` if it is none."""
    try:
        return study_instance_uid(text)
    except InvalidIdentifierError:
        raise _wrong(text, "Study Instance UID, such as 1.2.840.113619.2.1") from None


def series(text: str) -> str:
    """Return a Series Instance UID; raise `CommandError` if it is none."""
    try:
        return series_instance_uid(text)
    except InvalidIdentifierError:
        raise _wrong(text, "Series Instance UID, such as 1.2.840.113619.2.1") from None


def album(text: str) -> str:
    """Return an album's id; raise `CommandError` if it is none. `kheops albums list` shows them."""
    try:
        return album_id(text)
    except InvalidIdentifierError:
        raise _wrong(text, "id of an album; `kheops albums list` shows them") from None


def dates(text: str) -> str:
    """Return a day or a range of days (PS3.4 section C.2.2.2.5); raise `CommandError` if ``--date`` is none."""
    first, hyphen, last = (part.strip(" ") for part in text.partition("-"))
    if not (first or last) or not all(_is_day(end) for end in (first, last) if end):
        raise CommandError(
            f"`--date {text}` is no day and no range of days: it is like 20260131, 20260101-20260131, 20260101- or "
            "-20260131.",
            code=ExitCode.WRONG_USE,
        )
    return f"{first}{hyphen}{last}"


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="@")


def _is_day(text: str) -> bool:
    if _DAY.fullmatch(text) is None:
        return False
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007 - a day of the calendar, at no place
    except ValueError:
        return False
    return True


def _wrong(text: str, what: str) -> CommandError:
    return CommandError(f"{text!r} is no {what}.", code=ExitCode.WRONG_USE)
