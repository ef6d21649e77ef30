"""DICOM's values as people write them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

__all__ = ["iso_date", "listed", "moment", "person_name"]

_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")


def person_name(text: str) -> str:
    """Return a PN value (PS3.5 section 6.2.1) in reading order, its other scripts in brackets."""
    groups = [_name_group(group) for group in text.split("=")]
    shown = [group for group in groups if group]
    if not shown:
        return ""
    first, *others = shown
    return f"{first} ({', '.join(others)})" if others else first


def _name_group(group: str) -> str:
    family, given, middle, prefix, suffix = (part.strip() for part in [*group.split("^"), "", "", "", "", ""][:5])
    before = " ".join(part for part in (prefix, given, middle) if part)
    return ", ".join(part for part in (family, before, suffix) if part)


def iso_date(text: str) -> str:
    """Return a DA value as ISO 8601 writes it; anything else as it is."""
    match = _DATE.fullmatch(text)
    return text if match is None else "-".join(match.groups())


def listed(values: Iterable[str]) -> str:
    """Return values with commas between them."""
    return ", ".join(values)


def moment(at: datetime) -> str:
    """Return a time to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
