"""What a search answers of each object: which attributes, and as DICOM JSON."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from kheops.dicomweb.attributes import ANSWER_ATTRIBUTES, BY_KEYWORD, BY_TAG, CATALOGED_ATTRIBUTES, Level
from kheops.dicomweb.dicom_json import DataSet, Element, element, encode
from kheops.dicomweb.query import KheopsField, Query
from kheops.dicomweb.resources import Series, SopInstance, Study, to_path
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage.catalog_search import Found

__all__ = ["Answers", "Returned", "returned"]

_SLICE: Final = 200
"""Objects that are encoded at once: a few milliseconds."""

_LEVELS: Final = (Level.STUDY, Level.SERIES, Level.INSTANCE)
_COMPUTED: Final = frozenset(
    {
        "SpecificCharacterSet",
        "InstanceAvailability",
        "RetrieveURL",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "NumberOfSeriesRelatedInstances",
    }
)
_ANSWERABLE: Final = {
    attribute.keyword: attribute
    for attribute in (*CATALOGED_ATTRIBUTES, *ANSWER_ATTRIBUTES)
    if attribute in CATALOGED_ATTRIBUTES or attribute.keyword in _COMPUTED
}
_SAME_IN_ALL: Final = {
    "SpecificCharacterSet": element("SpecificCharacterSet", "ISO_IR 192"),
    "InstanceAvailability": element("InstanceAvailability", "ONLINE"),
}
_IN_EVERY: Final = frozenset({"SpecificCharacterSet", "TimezoneOffsetFromUTC", "RetrieveURL"})
_OF_LEVEL: Final = {
    level: frozenset(keyword for keyword, attribute in _ANSWERABLE.items() if attribute.level is level)
    for level in _LEVELS
}
_RETURNED: Final = {
    Level.STUDY: _OF_LEVEL[Level.STUDY],
    Level.SERIES: _OF_LEVEL[Level.SERIES] | _IN_EVERY | {"StudyInstanceUID"},
    Level.INSTANCE: _OF_LEVEL[Level.INSTANCE]
    | _IN_EVERY
    | {"StudyInstanceUID", "SeriesInstanceUID", "InstanceAvailability"},
}
"""PS3.18 tables 10.6.3-3 to 10.6.3-5, as far as the catalog has them; absent values are left out."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The attributes that an answer has."""

    keywords: tuple[str, ...]
    """In the order of their tags."""
    stored_fields: tuple[str, ...]
    """Tags that ``includefield`` asked for and the catalog does not have; of a path, its sequence."""


def returned(query: Query, *, below: Level | None) -> Returned:
    """Return which attributes the answer to a search has.

    Parameters
    ----------
    query
        The search.
    below
        The level of the object that the path names; ``None`` where it names none. Attributes of the levels between
        that and the level searched at are answered as well (PS3.18 section 10.6.1.2.3).
    """
    position = _LEVELS.index(query.level)
    reachable = _LEVELS[: position + 1]
    first = 0 if below is None else _LEVELS.index(below) + 1
    keywords = set(_RETURNED[query.level])
    for level in _LEVELS[first:position]:
        keywords |= _OF_LEVEL[level]
    keywords |= {match.attribute.keyword for match in query.matches}
    if query.include_all:
        keywords |= {keyword for keyword, attribute in _ANSWERABLE.items() if attribute.level in reachable}
    stored: dict[str, None] = {}
    for field in query.includefield:
        attribute = BY_TAG.get(int(field, 16)) if "." not in field else None
        if attribute is None or attribute.keyword not in _ANSWERABLE or attribute.level not in reachable:
            stored[field.partition(".")[0]] = None
        else:
            keywords.add(attribute.keyword)
    in_order = sorted(keywords, key=lambda keyword: BY_KEYWORD[keyword].tag)
    return Returned(tuple(in_order), tuple(stored))


class Answers:
    """What was found, as a DICOM JSON array.

    Parameters
    ----------
    level
        Of the objects.
    keywords
        The attributes of each, in the order of their tags.
    found
        The objects.
    api_root
        Where links start.
    further
        Elements that each object has besides, by `kheops.services.stored_attributes`.
    """

    def __init__(
        self,
        *,
        level: Level,
        keywords: Sequence[str],
        found: Sequence[Found],
        api_root: str,
        further: Sequence[DataSet] | None = None,
    ) -> None:
        self._level = level
        self._keys = [(keyword, BY_KEYWORD[keyword].key) for keyword in keywords]
        self._found = found
        self._api_root = api_root
        self._further = further

    @property
    def is_small(self) -> bool:
        """Whether `encoded` takes so little time that nobody waits for it."""
        return len(self._found) <= _SLICE

    def encoded(self) -> bytes:
        """Return the whole array."""
        return encode(self._slice(0, len(self._found)))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the array slice by slice, each encoded off the event loop."""
        separator = b"["
        for start in range(0, len(self._found), _SLICE):
            piece = await to_thread(self._encoded_slice, start)
            yield separator + piece[1:-1]
            separator = b","
        yield b"]" if self._found else b"[]"

    def _encoded_slice(self, start: int) -> bytes:
        return encode(self._slice(start, start + _SLICE))

    def _slice(self, start: int, stop: int) -> list[DataSet]:
        data_sets = [self._data_set(found) for found in self._found[start:stop]]
        if self._further is None:
            return data_sets
        both = zip(data_sets, self._further[start:stop], strict=True)
        return [dict(sorted({**further, **own}.items())) for own, further in both]

    def _data_set(self, found: Found) -> DataSet:
        link = self._api_root + self._path(found)
        answer = self._kheops_fields(found)
        for keyword, key in self._keys:
            if keyword in _SAME_IN_ALL:
                answer[key] = _SAME_IN_ALL[keyword]
            elif keyword == "RetrieveURL":
                answer[key] = element(keyword, link)
            elif keyword in found:
                answer[key] = element(keyword, found[keyword])
        return answer

    def _kheops_fields(self, found: Found) -> dict[str, Element]:
        """Return what KHEOPS answers under private tags, which sort before all others."""
        answer: dict[str, Element] = {}
        for field in KheopsField:
            if field in found:
                value = found[field]
                # A series is a favourite or none; of a study, its favourite series are counted.
                is_flag = isinstance(value, bool)
                answer[field.key] = (
                    {"vr": "SH", "Value": [str(value).lower()]} if is_flag else {"vr": "IS", "Value": [value]}
                )
        return answer

    def _path(self, found: Found) -> str:
        study = StudyInstanceUID(str(found["StudyInstanceUID"]))
        if self._level is Level.STUDY:
            return to_path(Study(study))
        series = SeriesInstanceUID(str(found["SeriesInstanceUID"]))
        if self._level is Level.SERIES:
            return to_path(Series(study, series))
        return to_path(SopInstance(study, series, SopInstanceUID(str(found["SOPInstanceUID"]))))
