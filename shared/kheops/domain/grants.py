"""What the policy gives out: grants as types that it alone creates, and refusals with a reason.

Storage and the archive demand these types, so that forgetting to ask is a type error. Only `kheops.domain.policy`
and its other half, `kheops.domain.album_policy`, call their constructors; a test searches the tree for others.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from kheops.domain.resources import InstanceRef, OriginAlbum, OriginUser, SeriesRef
from kheops.ids import AlbumPk, LinkPk, StudyInstanceUID, UserPk

__all__ = [
    "Admission",
    "AdmittedInstance",
    "AlbumAction",
    "Denied",
    "PermittedAlbum",
    "ReadScope",
    "ReadableInstance",
    "ReadableSeries",
    "Reason",
    "ReportGrant",
    "Scope",
    "SendableSeries",
    "Source",
    "StoreTarget",
    "ViewerGrant",
]


class Reason(StrEnum):
    """Why something was refused; stable names for logs, audit and tests."""

    NO_GRANT = "no-grant"
    """Nothing the caller holds reaches it. Hidden and absent both end here."""
    TOKEN_LACKS_READ = "token-lacks-read"  # noqa: S105 - a reason, no password
    TOKEN_LACKS_WRITE = "token-lacks-write"  # noqa: S105 - a reason, no password
    TOKEN_LACKS_APPROPRIATE = "token-lacks-appropriate"  # noqa: S105 - a reason, no password
    TOKEN_LACKS_DOWNLOAD = "token-lacks-download"  # noqa: S105 - a reason, no password
    TOKEN_KIND = "token-kind"  # noqa: S105 - a reason, no password
    """This kind of token can never do that."""
    OTHER_STUDY = "other-study"
    """The token is of another study."""
    ALBUM_ROLE = "album-role"
    """The caller's role in the album does not include it."""
    NOT_ADMINISTRATOR = "not-administrator"
    """The caller does not administer the installation."""
    ONESELF = "oneself"
    """Nobody does this to themself."""
    NOT_ORIGIN = "not-origin"
    """Only who created the series may add to it or take it back."""
    OTHER_RESERVATION = "other-reservation"
    """Another upload has reserved the series for another target."""
    FOREIGN_STUDY = "foreign-study"
    """The study is on record and the caller has no part in it."""
    SERIES_ELSEWHERE = "series-elsewhere"
    """The series is on record under another study."""
    BEING_DELETED = "being-deleted"

    @property
    def visible_to_caller(self) -> bool:
        """Whether the caller may learn it: it follows from their token or album role alone."""
        return self in {
            Reason.TOKEN_LACKS_READ,
            Reason.TOKEN_LACKS_WRITE,
            Reason.TOKEN_LACKS_APPROPRIATE,
            Reason.TOKEN_LACKS_DOWNLOAD,
            Reason.TOKEN_KIND,
            Reason.ALBUM_ROLE,
            Reason.NOT_ADMINISTRATOR,
            Reason.ONESELF,
        }


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal. Everything that is not an explicit grant is one."""

    reason: Reason


class AlbumAction(StrEnum):
    """What can be done to an album, under KHEOPS's permission names."""

    SEE = "SEE"
    LIST_USERS = "LIST_USERS"
    READ_COMMENT = "READ_COMMENT"
    WRITE_COMMENT = "WRITE_COMMENT"
    EDIT_FAVORITES = "EDIT_FAVORITES"
    READ_SERIES = "READ_SERIES"
    ADD_SERIES = "ADD_SERIES"
    SEND_SERIES = "SEND_SERIES"
    DELETE_SERIES = "DELETE_SERIES"
    ADD_USER = "ADD_USER"
    LEAVE = "LEAVE"
    EDIT_OWN_MEMBERSHIP = "EDIT_OWN_MEMBERSHIP"
    EDIT_ALBUM = "EDIT_ALBUM"
    REMOVE_USER = "REMOVE_USER"
    MANAGE_ADMINS = "MANAGE_ADMINS"
    MANAGE_GROUPS = "MANAGE_GROUPS"
    MANAGE_CAPABILITIES = "MANAGE_CAPABILITIES"
    GET_DICOM_SR = "GET_DICOM_SR"
    MANAGE_DICOM_SR = "MANAGE_DICOM_SR"
    MANAGE_WEBHOOK = "MANAGE_WEBHOOK"
    DELETE_ALBUM = "DELETE_ALBUM"


@dataclass(frozen=True, slots=True)
class Source:
    """Which of the caller's holdings a request is about; the default is all of them."""

    inbox: bool = False
    album: AlbumPk | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which holdings count, in terms that storage can put into a query.

    A series is in the scope iff an album holds it of which ``user``, a person in good standing, is a member, or one
    of ``groups`` of that person's issuer is, and that album is ``album`` (where given), an inbox (where ``inbox``),
    administered by ``user`` (where ``admin``), and one that they may send series from (where ``sending``); and it is
    of one of ``studies`` (where given) and of the selection of ``link`` (where given).
    """

    user: UserPk
    album: AlbumPk | None = None
    inbox: bool = False
    admin: bool = False
    studies: tuple[StudyInstanceUID, ...] | None = None
    groups: frozenset[str] = frozenset()
    """What the request presented; they make plain members, so that none counts where ``admin``."""
    sending: bool = False
    link: LinkPk | None = None
    """A link's selection narrows, as everything here does: it grants no series by itself."""


ReadScope = NewType("ReadScope", Scope)
"""A scope whose series the caller may read."""
ReadableSeries = NewType("ReadableSeries", SeriesRef)
"""A series that the caller may read, decided for this request."""
ReadableInstance = NewType("ReadableInstance", InstanceRef)
"""A confirmed instance of a series that the caller may read, decided for this request."""
SendableSeries = NewType("SendableSeries", SeriesRef)
"""A series that the caller may pass on."""
PermittedAlbum = NewType("PermittedAlbum", AlbumPk)
"""An album on which the caller may do what was asked."""
AdmittedInstance = NewType("AdmittedInstance", InstanceRef)
"""An instance that the caller may add to the store."""


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """Where an upload goes; created by `store_into` only."""

    album: PermittedAlbum
    origin: OriginUser | OriginAlbum


@dataclass(frozen=True, slots=True)
class ViewerGrant:
    """What a viewer token that somebody wants may be; created by `open_viewer` only."""

    source: Source
    read: bool
    write: bool


@dataclass(frozen=True, slots=True)
class ReportGrant:
    """What a report token that somebody wants may be; created by `open_report` only."""

    album: AlbumPk
    read: bool
    write: bool


class Admission(StrEnum):
    """How a part of an upload may go on."""

    NEW_SERIES = "new-series"
    SHARE_RESERVATION = "share-reservation"
    ADD = "add"
    TAKE_BACK = "take-back"
