"""How the permission matrix is written: tables of one letter a cell, read into rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from typing_extensions import override

from tests.matrices.world import SERIES, series_of

__all__ = ["READING", "Action", "Outcome", "Row", "read_table"]


class Outcome(StrEnum):
    """What comes of a request, and its sign in a table."""

    ALLOWED = "+"
    """2xx, and it is there or done."""
    WITHOUT = "0"
    """200, and what was asked about is not in the answer."""
    ABSENT = "."
    """404, as for what does not exist."""
    FORBIDDEN = "F"
    """403: the token or the role in the album does not include it, whatever the object."""
    UNAUTHENTICATED = "U"
    """401."""
    REFUSED = "N"
    """Failure reason 0x0124 for the instance."""


class Action(StrEnum):
    """What is asked for; the object is a series but where something else is named."""

    SEARCH_STUDIES = "search studies"
    SEARCH_SERIES_OF_STUDY = "search series of study"
    SEARCH_ALL_SERIES = "search all series"
    SEARCH_INSTANCES = "search instances"
    STUDY_METADATA = "study metadata"
    SERIES_METADATA = "series metadata"
    INSTANCE_METADATA = "instance metadata"
    RETRIEVE_STUDY = "retrieve study"
    RETRIEVE_SERIES = "retrieve series"
    RETRIEVE_INSTANCE = "retrieve instance"
    RETRIEVE_FRAMES = "retrieve frames"
    RETRIEVE_BULKDATA = "retrieve bulk data"
    RETRIEVE_BY_URI = "retrieve by WADO-URI"
    RENDER_INSTANCE = "render an instance"
    RENDER_BY_URI = "render by WADO-URI"
    THUMBNAIL_OF_SERIES = "thumbnail of a series"
    SEARCH_IN_ALBUM_1 = "search in album 1"
    SEARCH_IN_ALBUM_2 = "search in album 2"
    SEARCH_IN_INBOX = "search in inbox"
    RETRIEVE_FROM_ALBUM_1 = "retrieve from album 1"
    RETRIEVE_FROM_ALBUM_2 = "retrieve from album 2"
    RETRIEVE_FROM_INBOX = "retrieve from inbox"
    SEE_ALBUM = "see"
    """An album."""
    LIST_ALBUMS = "list albums"
    """An album in the list."""
    LIST_MEMBERS = "list members"
    """Of an album."""
    LIST_REPORT_PROVIDERS = "list report providers"
    """Of an album."""
    LIST_WEBHOOKS = "list webhooks"
    """Of an album."""
    LEAVE = "leave"
    """An album."""
    MAKE_CAPABILITY = "make a capability"
    """For an album, or of user scope."""
    SEE_CAPABILITY = "see a capability"
    """One of the world's tokens."""
    REVOKE_CAPABILITY = "revoke a capability"
    """One of the world's tokens."""
    STORE_STUDY = "store a new study"
    """Into the inbox, an album token's into its album; or an album."""
    STORE_SERIES = "store a new series"
    """Into a study on record, without naming a target."""
    STORE_SERIES_VIA_ALBUM_1 = "store a new series via album 1"
    """Into a study on record."""
    STORE_SERIES_VIA_ALBUM_2 = "store a new series via album 2"
    """Into a study on record."""
    STORE_INSTANCE = "store an instance"
    """Into a series on record, without naming a target."""
    STORE_INSTANCE_VIA_ALBUM_1 = "store an instance via album 1"
    STORE_INSTANCE_VIA_ALBUM_2 = "store an instance via album 2"
    PUT_INTO_ALBUM_1 = "put into album 1"
    PUT_INTO_ALBUM_2 = "put into album 2"
    SEND = "send to tom"
    SEND_FROM_ALBUM_1 = "send from album 1 to tom"
    SEND_FROM_ALBUM_2 = "send from album 2 to tom"
    TAKE = "take into the inbox"
    """An album token's: into its album."""
    REMOVE = "remove from the inbox"
    """An album token's: from its album."""
    REMOVE_FROM_ALBUM_1 = "remove from album 1"
    REMOVE_FROM_ALBUM_2 = "remove from album 2"
    DOWNLOAD_STUDY = "download a study"
    """The one that the series is of."""
    DOWNLOAD_SERIES = "download a series"
    DOWNLOAD_ALBUM_1 = "download album 1"
    DOWNLOAD_ALBUM_2 = "download album 2"
    DOWNLOAD_INBOX = "download the inbox"


_SEARCHES: Final = (
    Action.SEARCH_STUDIES,
    Action.SEARCH_SERIES_OF_STUDY,
    Action.SEARCH_ALL_SERIES,
    Action.SEARCH_INSTANCES,
)
_OF_STUDIES: Final = (Action.STUDY_METADATA, Action.RETRIEVE_STUDY)
_WHOLE: Final = frozenset({Action.RETRIEVE_STUDY, Action.RETRIEVE_SERIES})
"""What links for viewing only do not include."""
READING: Final = (
    *_SEARCHES,
    *_OF_STUDIES,
    Action.SERIES_METADATA,
    Action.INSTANCE_METADATA,
    Action.RETRIEVE_SERIES,
    Action.RETRIEVE_INSTANCE,
    Action.RETRIEVE_FRAMES,
    Action.RETRIEVE_BULKDATA,
    Action.RETRIEVE_BY_URI,
    Action.RENDER_INSTANCE,
    Action.RENDER_BY_URI,
    Action.THUMBNAIL_OF_SERIES,
)
"""What a table called ``read`` stands for: one rule for all of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the matrix."""

    principal: str
    action: Action
    object: str
    expected: Outcome

    @override
    def __str__(self) -> str:
        return f"{self.principal}: {self.action} {self.object}"


def read_table(text: str) -> Iterator[Row]:
    """Give the rows of a table.

    First come the actions, with commas between them, or ``read``, or ``read by parts`` for what of it is not a whole
    study or series at once; then the columns, where a word that ends in a dot
    stands before all names of its group; then the objects, each with its cells. Bars between groups are for the eye,
    but for the first. In these tables ``.`` means not there: 404, but in a search, and in what concerns a whole
    study of which another series is there, it is an answer without the series.
    """
    lines = text.strip().splitlines()
    start = next(number for number, line in enumerate(lines) if "|" in line)
    named = " ".join(lines[:start])
    reading = {"read": READING, "read by parts": tuple(action for action in READING if action not in _WHOLE)}
    actions = reading.get(named) or tuple(Action(name.strip()) for name in named.split(","))
    principals = list(_columns(lines[start]))
    cells: dict[tuple[str, str], Outcome] = {}
    for line in lines[start + 1 :]:
        about, _, letters = line.partition("|")
        for principal, letter in zip(principals, letters.replace("|", " ").split(), strict=True):
            cells[principal, about.strip()] = Outcome(letter)
    for (principal, about), outcome in cells.items():
        for action in actions:
            expected = outcome
            if named in reading and outcome is Outcome.ABSENT:
                expected = _not_there(action, [cells[principal, each] for each in series_of(SERIES[about].study)])
            yield Row(principal, action, about, expected)


def _columns(line: str) -> Iterator[str]:
    for group in line.split("|")[1:]:
        prefix = ""
        for word in group.split():
            if word.endswith("."):
                prefix = word
            else:
                yield prefix + word


def _not_there(action: Action, of_the_study: list[Outcome]) -> Outcome:
    if action in _SEARCHES or (action in _OF_STUDIES and Outcome.ALLOWED in of_the_study):
        return Outcome.WITHOUT
    return Outcome.ABSENT
