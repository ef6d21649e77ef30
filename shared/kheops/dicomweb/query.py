"""Search parameters (QIDO-RS, PS3.18 section 8.3.4) as typed values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kheops.dicomweb.attributes import BY_KEYWORD, BY_TAG, Attribute, Level
from kheops.dicomweb.matches import Match, as_moments, fuzzy, parse_match
from kheops.errors import AlbumNotFoundError, BadQueryParameterError, InvalidIdentifierError
from kheops.ids import AlbumId, album_id

__all__ = [
    "AlbumSource",
    "AnySource",
    "InboxSource",
    "KheopsField",
    "Query",
    "QuerySource",
    "Sort",
    "parse_query",
]

_MAX_FIELDS: Final = 512
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_FIELD: Final = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_FOR_OTHERS: Final = frozenset({"accept", "charset"})
"""Parameters that belong to the negotiation, not to the search."""
_CONTROLS: Final = frozenset({"limit", "offset", "fuzzymatching", "sort", "album", "inbox", "favorite"})


class KheopsField(StrEnum):
    """What KHEOPS answers under private tags: the names that ``includefield`` takes besides the tags."""

    FAVORITE = "favorite"
    COMMENTS = "comments"

    @property
    def key(self) -> str:
        """The tag as eight hexadecimal digits."""
        return {"favorite": "00012345", "comments": "00012346"}[self.value]


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of the answer; ties are broken by UID in the same direction."""

    attribute: Attribute
    descending: bool


@dataclass(frozen=True, slots=True)
class AnySource:
    """Search everything that the caller reaches."""


@dataclass(frozen=True, slots=True)
class InboxSource:
    """Search the caller's inbox."""


@dataclass(frozen=True, slots=True)
class AlbumSource:
    """Search one album, not yet known to be there for the caller."""

    album: AlbumId


QuerySource = AnySource | InboxSource | AlbumSource


@dataclass(frozen=True, slots=True)
class Query:
    """A search at one level."""

    level: Level
    matches: tuple[Match, ...]
    limit: int | None
    """The most answers wanted, 1 or more; ``None`` if none was given."""
    offset: int
    fuzzymatching: bool
    includefield: tuple[str, ...]
    """Tags as eight upper-case hexadecimal digits, of sequences with items joined by dots, in the order asked for."""
    include_all: bool
    """Whether ``includefield=all`` was asked."""
    sort: Sort
    unknown_keys: tuple[str, ...]
    """Names of keys that were not matched on, safe to put into a ``Warning: 299`` header."""
    source: QuerySource
    favorite: bool | None = None
    """KHEOPS's ``favorite``: studies with a favourite series; series that are one, or are none. ``None``: any."""
    includes: frozenset[KheopsField] = frozenset()
    """What is answered besides that is no attribute of DICOM."""
    unknown_fields: tuple[str, ...] = ()
    """Values of ``includefield`` that name no attribute, safe to put into a ``Warning: 299`` header."""


_SORTS: Final = {
    Level.STUDY: (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "StudyID",
    ),
    Level.SERIES: ("SeriesNumber", "Modality", "SeriesInstanceUID", "NumberOfSeriesRelatedInstances"),
    Level.INSTANCE: ("InstanceNumber", "SOPInstanceUID"),
}
"""KHEOPS's, the default first."""
_LEVELS: Final = {
    Level.STUDY: frozenset({Level.STUDY}),
    Level.SERIES: frozenset({Level.STUDY, Level.SERIES}),
    Level.INSTANCE: frozenset(Level),
}


_FIELDS: Final = {
    Level.STUDY: (KheopsField.FAVORITE, KheopsField.COMMENTS),
    Level.SERIES: (KheopsField.FAVORITE,),
    Level.INSTANCE: (),
}


def parse_query(level: Level, pairs: Iterable[tuple[str, str]]) -> Query:
    """Read the parameters of a search.

    Parameters
    ----------
    level
        Of the objects searched for. Keys of the levels above match too; keys of the levels below, and keys that the
        catalog does not have, are named in ``unknown_keys`` and otherwise ignored.
    pairs
        Decoded names and values of the query string. Names are keywords or tags. An empty value, or
        ``*``, matches everything (PS3.4 section C.2.2.2.3). UIDs and modalities may be listed: repeated, or
        separated by commas or backslashes.

    Raises
    ------
    BadQueryParameterError
        If a value does not fit its key, another key is repeated, ``limit`` is not 1 or more, ``offset`` not 0 or
        more, ``sort`` unknown, both ``album`` and ``inbox`` are given, or ``favorite`` without one of them.
    AlbumNotFoundError
        If ``album`` is no album id: nobody has such an album.
    """
    controls: dict[str, str] = {}
    keys: dict[str, list[str]] = {}
    fields: list[str] = []
    unknown: dict[str, None] = {}
    for name, value in pairs:
        if name == "includefield":
            fields.extend(value.split(","))
        elif name in _CONTROLS:
            if name in controls:
                raise BadQueryParameterError(f"{name} is given twice.")
            controls[name] = value
        elif name not in _FOR_OTHERS:
            attribute = _attribute(name)
            if attribute is None or not attribute.matchable or attribute.level not in _LEVELS[level]:
                unknown[_safe_name(name)] = None
            else:
                keys.setdefault(attribute.keyword, []).append(value)
    if len(fields) > _MAX_FIELDS:
        raise BadQueryParameterError("includefield has too many values.")
    source = _source(controls)
    includes = frozenset(each for each in _FIELDS[level] if {each.value, each.key} & set(fields))
    favorite = _favorite(level, controls)
    if isinstance(source, AnySource) and (favorite is not None or KheopsField.FAVORITE in includes):
        raise BadQueryParameterError("favorite needs album or inbox: a series is one in a place.")
    known = {each.key for each in includes}
    named = {field: _field(field) for field in fields if field.strip(" ") not in {"", "all", *_names(includes)}}
    tags = (tag for tag in named.values() if tag is not None and tag not in known)
    unknown_fields = (_safe_field(field) for field, tag in named.items() if tag is None)
    fuzzymatching = _flag(controls, "fuzzymatching")
    parsed = (parse_match(BY_KEYWORD[keyword], values) for keyword, values in keys.items())
    matches = as_moments([match for match in parsed if match is not None])
    return Query(
        level=level,
        matches=tuple(map(fuzzy, matches)) if fuzzymatching else matches,
        limit=_count(controls, "limit", least=1),
        offset=_count(controls, "offset", least=0) or 0,
        fuzzymatching=fuzzymatching,
        includefield=tuple(dict.fromkeys(tags)),
        include_all=any(field.strip(" ") == "all" for field in fields),
        sort=_sort(level, controls.get("sort")),
        unknown_keys=tuple(unknown),
        source=source,
        favorite=favorite,
        includes=includes,
        unknown_fields=tuple(dict.fromkeys(unknown_fields)),
    )


def _names(includes: Iterable[KheopsField]) -> Iterable[str]:
    return (name for each in includes for name in (each.value, each.key))


def _favorite(level: Level, controls: dict[str, str]) -> bool | None:
    if "favorite" not in controls:
        return None
    if level is Level.INSTANCE:
        raise BadQueryParameterError("favorite is for studies and series.")
    favorite = _flag(controls, "favorite")
    if level is Level.STUDY and not favorite:
        raise BadQueryParameterError("favorite is true for studies, or left out.")
    return favorite


def _attribute(name: str) -> Attribute | None:
    if _TAG.fullmatch(name):
        return BY_TAG.get(int(name, 16))
    return BY_KEYWORD.get(name)


def _safe_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise BadQueryParameterError("A query parameter has a name that is neither a keyword nor a tag.")
    return name


def _safe_field(text: str) -> str:
    name = text.strip(" ")
    return name if _FIELD.fullmatch(name) else "(malformed)"


def _count(controls: dict[str, str], name: str, *, least: int) -> int | None:
    text = controls.get(name)
    if text is None:
        return None
    if _COUNT.fullmatch(text) is None or int(text) < least:
        raise BadQueryParameterError(f"{name} is a whole number from {least} to 999999999.")
    return int(text)


def _flag(controls: dict[str, str], name: str) -> bool:
    text = controls.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise BadQueryParameterError(f"{name} is true or false.")
    return text == "true"


def _field(text: str) -> str | None:
    """Return an included field as a path of tags; ``None`` for what is no attribute."""
    tags = [_field_tag(name) for name in text.strip(" ").split(".")]
    known = [tag for tag in tags if tag is not None]
    return ".".join(known) if len(known) == len(tags) else None


def _field_tag(name: str) -> str | None:
    if _TAG.fullmatch(name):
        return name.upper()
    attribute = BY_KEYWORD.get(name)
    if attribute is not None:
        return attribute.key
    if _NAME.fullmatch(name) is None:
        return None
    # The whole dictionary is loaded for the first keyword that is not among ours only.
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(name)
    return None if tag is None else f"{tag:08X}"


def _sort(level: Level, text: str | None) -> Sort:
    if text is None:
        return Sort(BY_KEYWORD[_SORTS[level][0]], descending=level is Level.STUDY)
    keyword = text.removeprefix("-")
    if keyword not in _SORTS[level]:
        raise BadQueryParameterError("sort is one of: " + ", ".join(_SORTS[level]) + ".")
    return Sort(BY_KEYWORD[keyword], descending=text.startswith("-"))


def _source(controls: dict[str, str]) -> QuerySource:
    # The mere presence means the inbox to KHEOPS, even `inbox=false`; here it means what it says.
    inbox = controls.get("inbox", "false").lower() or "true"
    if inbox not in {"true", "false"}:
        raise BadQueryParameterError("inbox is true or false.")
    album = controls.get("album")
    if album is None:
        return InboxSource() if inbox == "true" else AnySource()
    if inbox == "true":
        raise BadQueryParameterError("Use either album or inbox.")
    try:
        return AlbumSource(album_id(album))
    except InvalidIdentifierError:
        raise AlbumNotFoundError from None
