"""The log of changes of grants: what a line says, and how lines are chained.

A line tells the state of one thing after a change, by names that mean the same in every database: people by (iss,
sub), albums by their id, series by UID. So lines can be applied again, and of several about one thing the last one
counts.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kheops.errors import BadRequestError

__all__ = ["EVENT", "GrantEntity", "GrantLine", "link", "parse_line"]

EVENT: Final = "grant.changed"
"""Event of the log line."""
_GENESIS: Final = b"kheops grants "


class GrantEntity(StrEnum):
    """What a line is about; stable names."""

    PERSON = "person"
    """Key ``iss, sub``; state ``suspended``. The end is an erasure."""
    ALBUM = "album"
    """Key ``id``; state: the flags of members."""
    MEMBER = "member"
    """Key ``album, iss, sub``; state ``administrator``."""
    GROUP = "group"
    """Key ``album, iss, value``."""
    HELD = "held"
    """A series in an album (key ``"album", id, series``) or inbox (key ``"inbox", iss, sub, series``)."""
    SERIES = "series"
    """Key ``series``; state ``study``, ``is_deleting``, ``legal_hold``, ``origin``. The end is a purge."""
    REPORT_PROVIDER = "report-provider"
    """Key ``client id``; its address was changed, or it was removed."""
    WEBHOOK = "webhook"
    """Key ``id``; it was changed, or deleted."""


_KEY_LENGTHS: Final = {
    GrantEntity.PERSON: {2},
    GrantEntity.ALBUM: {1},
    GrantEntity.MEMBER: {3},
    GrantEntity.GROUP: {3},
    GrantEntity.HELD: {3, 4},
    GrantEntity.SERIES: {1},
    GrantEntity.REPORT_PROVIDER: {1},
    GrantEntity.WEBHOOK: {1},
}


@dataclass(frozen=True, slots=True)
class GrantLine:
    """One change, with its place in the chain."""

    timeline: str
    """Of the database; a restored one begins another. They sort by when they began."""
    number: int
    """From 1 without gaps in a timeline."""
    at: str
    """When it was made, as ISO 8601 in UTC."""
    entity: GrantEntity
    key: Sequence[str]
    state: Mapping[str, object] | None
    """``None`` for the end of what the key names."""
    digest: bytes

    @property
    def change(self) -> dict[str, object]:
        """What it says, as the database keeps it."""
        state = None if self.state is None else dict(self.state)
        return {"entity": self.entity.value, "key": list(self.key), "state": state}

    def as_fields(self) -> dict[str, object]:
        """Return the fields of the line's JSON object; `parse_line` reads them."""
        return {
            "timeline": self.timeline,
            "number": self.number,
            "at": self.at,
            "change": self.change,
            "digest": self.digest.hex(),
        }


def link(before: bytes | None, *, timeline: str, number: int, at: str, change: Mapping[str, object]) -> bytes:
    """Return the digest of a line: SHA-256 over the digest before (``None`` at number 1) and what the line says."""
    said = json.dumps([timeline, number, at, change], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((before or _GENESIS + timeline.encode()) + said.encode()).digest()


def parse_line(text: str) -> GrantLine | None:
    """Return the change that a line of a log tells of; ``None`` for an empty line and one of another event.

    Parameters
    ----------
    text
        A JSON object: a line of ours, one of ``kheops audit-export``, or a LogEntry of Cloud Logging that has such a
        one as its ``jsonPayload``.

    Raises
    ------
    BadRequestError
        If it is no JSON object, or a change of grants that cannot be read: then nothing may be concluded from it.
    """
    if not text.strip():
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        raise BadRequestError("A line of the log is not JSON.") from None
    if isinstance(entry, dict) and isinstance(entry.get("jsonPayload"), dict):
        entry = entry["jsonPayload"]
    if not isinstance(entry, dict):
        raise BadRequestError("A line of the log is not a JSON object.")
    if entry.get("event") != EVENT:
        return None
    try:
        return _line(entry)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadRequestError("A change of grants in the log cannot be read.") from None


def _line(entry: Mapping[str, object]) -> GrantLine:
    change, number = entry["change"], entry["number"]
    if not isinstance(change, dict) or isinstance(number, bool) or not isinstance(number, int | float | str):
        raise TypeError
    # Cloud Logging keeps numbers as doubles.
    if int(number) != float(number) or int(number) < 1:
        raise ValueError
    entity, key, state = GrantEntity(change["entity"]), change["key"], change["state"]
    if len(key) not in _KEY_LENGTHS[entity] or not all(isinstance(part, str) for part in key):
        raise ValueError
    if state is not None and not isinstance(state, dict):
        raise TypeError
    if _has_nul(entry):
        # PostgreSQL's text has none, so none of ours can.
        raise ValueError
    timeline, at, digest = entry["timeline"], entry["at"], entry["digest"]
    if not isinstance(timeline, str) or not isinstance(at, str) or not isinstance(digest, str):
        raise TypeError
    return GrantLine(timeline, int(number), at, entity, tuple(key), state, bytes.fromhex(digest))


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
        case list():
            return any(map(_has_nul, value))
        case _:
            return False
