"""UIDs and ids that a person typed, checked before anything is asked, and as parts of a path."""

from urllib.parse import quote

from kheops.cli.failure import CommandError, ExitCode
from kheops.errors import InvalidIdentifierError
from kheops.ids import album_id, series_instance_uid, study_instance_uid

__all__ = ["album", "segment", "series", "study"]


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


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="@")


def _wrong(text: str, what: str) -> CommandError:
    return CommandError(f"{text!r} is no {what}.", code=ExitCode.WRONG_USE)
