"""Albums as people describe them."""

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Final

from kheops.domain.resources import AlbumFlags

__all__ = [
    "ALBUM_DESCRIPTION_LENGTH",
    "ALBUM_NAME_LENGTH",
    "ALBUM_SORTS",
    "AlbumDraft",
    "AlbumEdit",
    "AlbumFilter",
    "AlbumSort",
    "Days",
    "FlagChanges",
    "Page",
]

ALBUM_NAME_LENGTH: Final = 255
"""Characters."""
ALBUM_DESCRIPTION_LENGTH: Final = 2048
"""Characters."""
_PAGE_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class AlbumDraft:
    """An album that somebody wants to create; the texts are trimmed and within their lengths."""

    name: str
    description: str = ""
    flags: AlbumFlags = field(default_factory=AlbumFlags)


@dataclass(frozen=True, slots=True)
class FlagChanges:
    """New values of what plain members may do; ``None`` leaves one as it is."""

    add_user: bool | None = None
    download_series: bool | None = None
    send_series: bool | None = None
    delete_series: bool | None = None
    add_series: bool | None = None
    write_comments: bool | None = None


@dataclass(frozen=True, slots=True)
class AlbumEdit:
    """Changes to an album, and to the caller's own membership; ``None`` leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    flags: FlagChanges = field(default_factory=FlagChanges)
    notification_new_series: bool | None = None
    notification_new_comment: bool | None = None

    @property
    def touches_album(self) -> bool:
        """Whether anything changes that only an administrator may change."""
        flags = [getattr(self.flags, each.name) for each in fields(FlagChanges)]
        return any(value is not None for value in (self.name, self.description, *flags))

    @property
    def touches_membership(self) -> bool:
        """Whether the caller's own notifications change."""
        return self.notification_new_series is not None or self.notification_new_comment is not None


@dataclass(frozen=True, slots=True)
class Days:
    """A range of days in UTC, both ends in it; ``None`` leaves an end open."""

    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class AlbumFilter:
    """Which of their albums somebody wants listed; nothing set means all."""

    favorite: bool = False
    can_add_series: bool = False
    can_create_capability: bool = False
    name: str | None = None
    """Without regard to case; ``*`` stands for any run of characters."""
    sounds_like: bool = False
    """Whether a name will do that sounds like ``name`` (Soundex)."""
    created: Days = field(default_factory=Days)
    last_event: Days = field(default_factory=Days)
    modality: str | None = None
    """Of a series that the album holds; without regard to case."""


ALBUM_SORTS: Final = (
    "created_time",
    "last_event_time",
    "name",
    "number_of_users",
    "number_of_studies",
    "number_of_comments",
)
"""KHEOPS's keys of order."""


@dataclass(frozen=True, slots=True)
class AlbumSort:
    """The order of a list of albums."""

    key: str = "created_time"
    """One of `ALBUM_SORTS`."""
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    limit: int = _PAGE_LIMIT
    """Rows at most: 1 to 1000."""
    offset: int = 0
    """Rows left out before."""

    def __post_init__(self) -> None:
        """Lower a limit above 1000 to that: the total tells that there is more."""
        object.__setattr__(self, "limit", min(self.limit, _PAGE_LIMIT))
