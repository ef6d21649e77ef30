"""Links as people describe them: an address that shows an album, or chosen series, to whoever has it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from kheops.domain.resources import SeriesRef
from kheops.ids import AlbumId, StudyInstanceUID

__all__ = [
    "LINK_LIFETIME",
    "LINK_SELECTION",
    "LINK_TITLE_LENGTH",
    "LINK_USES",
    "LINK_VISIT",
    "PASSCODE_LEAST",
    "PASSCODE_MOST",
    "PASSCODE_TRIES",
    "PASSCODE_TRIES_IN_A_ROW",
    "PASSCODE_WAIT",
    "LinkDraft",
]

LINK_TITLE_LENGTH: Final = 255
"""Characters."""
LINK_SELECTION: Final = 1_000
"""Studies and series that one link may name, and series that it may come to."""
LINK_USES: Final = 1_000_000
"""The highest limit of uses."""
LINK_LIFETIME: Final = timedelta(days=7)
"""Of a link for which no end was asked; the installation's maximum goes before."""
LINK_VISIT: Final = timedelta(hours=1)
"""How long what was opened with a link stays open, and never beyond the link's end."""

PASSCODE_LEAST: Final = 6
"""Characters: with `PASSCODE_TRIES`, six digits are guessed once in 20,000 links."""
PASSCODE_MOST: Final = 128
"""Characters."""
PASSCODE_TRIES_IN_A_ROW: Final = 5
"""Wrong ones, after which the link waits."""
PASSCODE_WAIT: Final = timedelta(minutes=15)
PASSCODE_TRIES: Final = 50
"""Wrong ones in a link's whole life, after which it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDraft:
    """A link that somebody wants.

    Parameters
    ----------
    title
        What its creator calls it; whoever opens a link to a selection sees it.
    album
        The album that it shows, whatever is in there at the time; goes with no selection.
    studies
        Studies of which it shows the series that its creator may send when it is made, and no later ones.
    series
        Series that it shows.
    passcode
        What must be known besides the address; `PASSCODE_LEAST` to `PASSCODE_MOST` characters.
    max_uses
        How often it may be opened; ``None`` as often as one likes.
    expires_at
        Its end; ``None`` in `LINK_LIFETIME`.
    download
        Whether what it shows may be retrieved by whole studies and series, as files.
    """

    title: str
    album: AlbumId | None = None
    studies: tuple[StudyInstanceUID, ...] = ()
    series: tuple[SeriesRef, ...] = ()
    passcode: str | None = field(default=None, repr=False)
    max_uses: int | None = None
    expires_at: datetime | None = None
    download: bool = False
