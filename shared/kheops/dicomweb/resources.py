"""Paths below ``/api`` that name DICOM resources, as typed values and back.

`parse` takes the raw path as the server received it, before any decoding, and knows no other spelling of a resource
than one: UIDs are digits and dots, nothing is percent-encoded but a user's reference, no segment is empty. What it
does not know is ``None``, which the router answers as it answers everything else that is not there. So a colon (the
Healthcare API's custom verbs), ``..``, ``%2e`` or ``%2f`` never gets further than this module.
"""

import re
from dataclasses import dataclass
from typing import Final, assert_never
from urllib.parse import quote, unquote_to_bytes

from kheops.errors import InvalidIdentifierError
from kheops.ids import (
    AlbumId,
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    album_id,
    series_instance_uid,
    sop_instance_uid,
    study_instance_uid,
)

__all__ = [
    "Bulkdata",
    "Comments",
    "Favorites",
    "Fetch",
    "Frames",
    "InAlbum",
    "InstancesOf",
    "Metadata",
    "OfUser",
    "OhifMetadata",
    "Rendered",
    "Resource",
    "Series",
    "SeriesOf",
    "SopInstance",
    "Studies",
    "Study",
    "Thumbnail",
    "is_bulkdata_path",
    "parse",
    "to_path",
]

_MAX_PATH: Final = 8192
_MAX_FRAMES: Final = 1000
_FRAME: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_UID: Final = r"(?=[0-9.]{1,64}/)([0-9]+(?:\.[0-9]+)*)"
_ONE_FRAME: Final = re.compile(rf"/studies/{_UID}/series/{_UID}/instances/{_UID}/frames/([1-9][0-9]{{0,8}})", re.ASCII)
"""The path that viewers ask for most, read in one step; `parse` has the same for it without this."""
_BULKDATA: Final = re.compile(r"[0-9A-Za-z._-]+(?:/[0-9A-Za-z._-]+)*", re.ASCII)
_MAX_BULKDATA: Final = 512
_MAX_USER: Final = 320
"""Characters of an e-mail address: 64, the at sign, 255."""
_USER: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@|-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_USER_SAFE: Final = "@!$&'()*+,;=:"


@dataclass(frozen=True, slots=True)
class Studies:
    """``/studies``: search, and store."""


@dataclass(frozen=True, slots=True)
class Study:
    """``/studies/{S}``: retrieve, store into, claim, remove."""

    study_instance_uid: StudyInstanceUID


@dataclass(frozen=True, slots=True)
class Series:
    """``/studies/{S}/series/{R}``: retrieve, claim, remove."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID


@dataclass(frozen=True, slots=True)
class SopInstance:
    """``/studies/{S}/series/{R}/instances/{I}``: retrieve."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SopInstanceUID


@dataclass(frozen=True, slots=True)
class SeriesOf:
    """``/studies/{S}/series``: search."""

    study: Study


@dataclass(frozen=True, slots=True)
class InstancesOf:
    """``.../instances`` below a study or series: search."""

    of: Study | Series


@dataclass(frozen=True, slots=True)
class Metadata:
    """``.../metadata`` of a study, series or instance: retrieve."""

    of: Study | Series | SopInstance


@dataclass(frozen=True, slots=True)
class Frames:
    """``.../frames/1,2``: retrieve; numbers start at 1 and keep the order asked for."""

    instance: SopInstance
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bulkdata:
    """``.../instances/{I}/bulkdata/{path}``: retrieve; ``path`` satisfies `is_bulkdata_path`."""

    instance: SopInstance
    path: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """``.../rendered`` of a study, series, instance or frames: retrieve."""

    of: Study | Series | SopInstance | Frames


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """``.../thumbnail`` of a study, series, instance or frames: retrieve."""

    of: Study | Series | SopInstance | Frames


@dataclass(frozen=True, slots=True)
class InAlbum:
    """``.../albums/{A}`` of a study or series: put into the album, remove from it."""

    of: Study | Series
    album: AlbumId


@dataclass(frozen=True, slots=True)
class OfUser:
    """``.../users/{U}`` of a study or series: send to a person.

    ``user`` is decoded: an e-mail address or a ``sub``, not yet known to be anybody's.
    """

    of: Study | Series
    user: str


@dataclass(frozen=True, slots=True)
class Favorites:
    """``.../favorites`` of a study or series; KHEOPS also takes a trailing slash here."""

    of: Study | Series


@dataclass(frozen=True, slots=True)
class Comments:
    """``/studies/{S}/comments``."""

    study: Study


@dataclass(frozen=True, slots=True)
class Fetch:
    """``/studies/{S}/fetch`` and ``/studies/{S}/series/fetch``."""

    of: Study | SeriesOf


@dataclass(frozen=True, slots=True)
class OhifMetadata:
    """``/studies/{S}/ohifmetadata``."""

    study: Study


Resource = (
    Studies
    | Study
    | Series
    | SopInstance
    | SeriesOf
    | InstancesOf
    | Metadata
    | Frames
    | Bulkdata
    | Rendered
    | Thumbnail
    | InAlbum
    | OfUser
    | Favorites
    | Comments
    | Fetch
    | OhifMetadata
)


def parse(path: bytes | str) -> Resource | None:
    """Return the resource that a raw path names.

    Parameters
    ----------
    path
        The path behind ``/api`` or ``/api/link/{token}``, undecoded, without the query string; starts with
        ``/studies``.

    Returns
    -------
    Resource or None
        ``None`` for every path that is not exactly one of the forms above. Which resource has which methods is the
        router's to know.
    """
    if isinstance(path, bytes):
        try:
            path = path.decode("ascii")
        except UnicodeDecodeError:
            return None
    if len(path) > _MAX_PATH:
        return None
    frame = _ONE_FRAME.fullmatch(path)
    if frame is not None:
        study, series, instance, number = frame.groups()
        uids = StudyInstanceUID(study), SeriesInstanceUID(series), SopInstanceUID(instance)
        return Frames(SopInstance(*uids), (int(number),))
    match path.split("/"):
        case ["", "studies"]:
            return Studies()
        case ["", "studies", study, *rest]:
            try:
                return _below_study(Study(study_instance_uid(study)), rest)
            except InvalidIdentifierError:
                return None
        case _:
            return None


def _below_study(study: Study, rest: list[str]) -> Resource | None:
    match rest:
        case ["series"]:
            return SeriesOf(study)
        case ["comments"]:
            return Comments(study)
        case ["fetch"]:
            return Fetch(study)
        case ["series", "fetch"]:
            return Fetch(SeriesOf(study))
        case ["ohifmetadata"]:
            return OhifMetadata(study)
        case ["series", series, *below]:
            return _below_series(Series(study.study_instance_uid, series_instance_uid(series)), below)
        case _:
            return _of_study_or_series(study, rest)


def _below_series(series: Series, rest: list[str]) -> Resource | None:
    match rest:
        case ["instances", instance, *below]:
            uid = sop_instance_uid(instance)
            return _below_instance(SopInstance(series.study_instance_uid, series.series_instance_uid, uid), below)
        case _:
            return _of_study_or_series(series, rest)


def _of_study_or_series(of: Study | Series, rest: list[str]) -> Resource | None:
    match rest:
        case []:
            return of
        case ["instances"]:
            return InstancesOf(of)
        case ["metadata"]:
            return Metadata(of)
        case ["rendered"]:
            return Rendered(of)
        case ["thumbnail"]:
            return Thumbnail(of)
        case ["albums", album]:
            return InAlbum(of, album_id(album))
        case ["users", reference]:
            user = _user(reference)
            return None if user is None else OfUser(of, user)
        case ["favorites"] | ["favorites", ""]:
            return Favorites(of)
        case _:
            return None


def _below_instance(instance: SopInstance, rest: list[str]) -> Resource | None:
    match rest:
        case []:
            return instance
        case ["metadata"]:
            return Metadata(instance)
        case ["rendered"]:
            return Rendered(instance)
        case ["thumbnail"]:
            return Thumbnail(instance)
        case ["frames", numbers, *below]:
            frames = _frames(numbers)
            return None if frames is None else _below_frames(Frames(instance, frames), below)
        case ["bulkdata", *segments]:
            path = "/".join(segments)
            return Bulkdata(instance, path) if is_bulkdata_path(path) else None
        case _:
            return None


def _below_frames(frames: Frames, rest: list[str]) -> Resource | None:
    match rest:
        case []:
            return frames
        case ["rendered"]:
            return Rendered(frames)
        case ["thumbnail"]:
            return Thumbnail(frames)
        case _:
            return None


def _frames(text: str) -> tuple[int, ...] | None:
    numbers = text.split(",")
    if len(numbers) > _MAX_FRAMES or not all(_FRAME.fullmatch(number) for number in numbers):
        return None
    return tuple(map(int, numbers))


def _user(segment: str) -> str | None:
    if _USER.fullmatch(segment) is None:
        return None
    try:
        user = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
    # Clients and proxies resolve dot segments away, so that such a reference could never be sent twice alike.
    if len(user) > _MAX_USER or "/" in user or user in {".", ".."} or not user.isprintable():
        return None
    return user


def is_bulkdata_path(path: str) -> bool:
    """Return whether ``path`` may stand behind ``/bulkdata/`` (design 5.10).

    Letters, digits, ``.``, ``_``, ``-`` and single slashes between them; no ``..`` anywhere, no segment ``.``; 512
    characters at most.
    """
    if len(path) > _MAX_BULKDATA or ".." in path or _BULKDATA.fullmatch(path) is None:
        return False
    return "." not in path.split("/")


def to_path(resource: Resource) -> str:  # noqa: C901, PLR0912 - one line for each form of the table above
    """Return the one path of a resource, such that ``parse(to_path(resource)) == resource``."""
    match resource:
        case Studies():
            return "/studies"
        case Study(study):
            return f"/studies/{study}"
        case Series(study, series):
            return f"/studies/{study}/series/{series}"
        case SopInstance(study, series, instance):
            return f"/studies/{study}/series/{series}/instances/{instance}"
        case SeriesOf(of):
            return f"{to_path(of)}/series"
        case InstancesOf(of):
            return f"{to_path(of)}/instances"
        case Metadata(of):
            return f"{to_path(of)}/metadata"
        case Frames(instance, frames):
            return f"{to_path(instance)}/frames/{','.join(map(str, frames))}"
        case Bulkdata(instance, path):
            return f"{to_path(instance)}/bulkdata/{path}"
        case Rendered(of):
            return f"{to_path(of)}/rendered"
        case Thumbnail(of):
            return f"{to_path(of)}/thumbnail"
        case InAlbum(of, album):
            return f"{to_path(of)}/albums/{album}"
        case OfUser(of, user):
            return f"{to_path(of)}/users/{quote(user, safe=_USER_SAFE)}"
        case Favorites(of):
            return f"{to_path(of)}/favorites"
        case Comments(of):
            return f"{to_path(of)}/comments"
        case Fetch(of):
            return f"{to_path(of)}/fetch"
        case OhifMetadata(of):
            return f"{to_path(of)}/ohifmetadata"
        case _:
            assert_never(resource)
