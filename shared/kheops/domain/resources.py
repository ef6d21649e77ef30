"""What is acted on: references to DICOM objects, and the facts that a decision needs about them."""

from dataclasses import dataclass
from enum import StrEnum

from kheops.ids import AlbumPk, SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, UserPk

__all__ = [
    "AlbumFlags",
    "AlbumRole",
    "Holding",
    "InstanceRef",
    "Origin",
    "OriginAlbum",
    "OriginUser",
    "SeriesFacts",
    "SeriesOnRecord",
    "SeriesRef",
    "SeriesState",
    "StoreFacts",
]


@dataclass(frozen=True, slots=True)
class SeriesRef:
    """A series by its UIDs. Knowing one is never a grant."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """An instance by its UIDs. Knowing one is never a grant."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SopInstanceUID

    @property
    def series(self) -> SeriesRef:
        """The series that the instance says it belongs to."""
        return SeriesRef(self.study_instance_uid, self.series_instance_uid)


@dataclass(frozen=True, slots=True)
class AlbumFlags:
    """What an album lets its plain members do, under KHEOPS's names."""

    add_user: bool = False
    download_series: bool = True
    send_series: bool = True
    delete_series: bool = False
    add_series: bool = True
    write_comments: bool = True


@dataclass(frozen=True, slots=True)
class AlbumRole:
    """One person's standing in one album (an inbox is an album of one)."""

    album: AlbumPk
    is_inbox: bool
    is_admin: bool
    flags: AlbumFlags
    by_group: bool = False
    """Whether they are in it by a group that the request presented, and not by themselves."""


Holding = AlbumRole
"""A way by which somebody reaches a series: their role in an album that holds it."""


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series that the caller reaches by at least one holding.

    For a series that is hidden, and for one that does not exist, storage returns none of these: the code cannot
    tell them apart.
    """

    ref: SeriesRef
    holdings: tuple[Holding, ...]


class SeriesState(StrEnum):
    """Where a cataloged series stands (design: storing)."""

    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    ORPHAN = "orphan"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class OriginUser:
    """The series was created by an upload into this person's inbox."""

    user: UserPk


@dataclass(frozen=True, slots=True)
class OriginAlbum:
    """The series was created by an upload into this album."""

    album: AlbumPk


Origin = OriginUser | OriginAlbum


@dataclass(frozen=True, slots=True)
class SeriesOnRecord:
    """What the catalog has of a series that somebody wants to add to; read under the row's lock."""

    study_instance_uid: StudyInstanceUID
    state: SeriesState
    origin: Origin | None
    """``None``: the data came by another way than an upload through us, and is nobody's to claim."""
    reserved_for: AlbumPk | None


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """All that the decision about one part of an upload depends on, read in one transaction."""

    series: SeriesOnRecord | None
    study_on_record: bool
    """Whether the catalog has any series of the study, in any state, visible to the caller or not."""
    study_open: bool
    """Whether the caller reads a series of the study, is the origin of one, or shares a reservation of one."""
    origin_role: AlbumRole | None
    """The caller's role in the album that is the series' origin, if it is one and there is a role."""
    target_holds: bool = False
    """Whether the target holds the series already."""
    reach: SeriesFacts | None = None
    """The series as the caller reaches it, where their token may read; what may be sent on follows from it."""
