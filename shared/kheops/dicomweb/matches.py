"""What one key of a search asks for (PS3.4 section C.2.2.2).

Matching itself is the catalog's. Text compares without regard to case, as in KHEOPS.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kheops.dicomweb.attributes import Attribute, comparable_time, normalise
from kheops.errors import BadQueryParameterError, InvalidIdentifierError
from kheops.ids import study_instance_uid

__all__ = [
    "DateRange",
    "DateTimeRange",
    "Exact",
    "FuzzyName",
    "Match",
    "Modalities",
    "PersonName",
    "TimeRange",
    "Uids",
    "Wildcard",
    "as_moments",
    "fuzzy",
    "parse_match",
]

_MAX_VALUE: Final = 1024
_MAX_UIDS: Final = 4096
_DATE: Final = re.compile(r"[0-9]{8}", re.ASCII)
_TIME: Final = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?", re.ASCII)
_BETWEEN_WORDS: Final = re.compile(r"[\s^=,*?.-]+")
_MAX_WORDS: Final = 8
_PAIRS: Final = {
    "StudyDate": "StudyTime",
    "SeriesDate": "SeriesTime",
    "PerformedProcedureStepStartDate": "PerformedProcedureStepStartTime",
}
_WILDCARD: Final = re.compile(r"[*?]")
_MODALITY_KEYWORDS: Final = frozenset({"Modality", "ModalitiesInStudy"})


@dataclass(frozen=True, slots=True)
class Exact:
    """The attribute equals ``value``; ``IS`` values are in the catalog's normal form."""

    attribute: Attribute
    value: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The attribute matches ``pattern``: ``*`` any run, ``?`` any one character (PS3.4 section C.2.2.2.4)."""

    attribute: Attribute
    pattern: str


@dataclass(frozen=True, slots=True)
class DateRange:
    """The date lies between ``first`` and ``last``, both included (eight digits); ``None`` leaves an end open."""

    attribute: Attribute
    first: str | None
    last: str | None
    is_range: bool = True
    """Whether it was given as one, rather than as a single date."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The time, as `comparable_time` gives it, lies between ``first`` and ``last``, both included.

    A time with parts missing means all of its minute or hour; ``None`` leaves an end open.
    """

    attribute: Attribute
    first: str | None
    last: str | None
    is_range: bool = True
    """Whether it was given as one, rather than as a single time."""


@dataclass(frozen=True, slots=True)
class Uids:
    """The UID is one of ``uids`` (PS3.4 section C.2.2.2.2)."""

    attribute: Attribute
    uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """Date and time, read as one moment, lie between ``first`` and ``last`` (PS3.4 section C.2.2.2.5.1).

    Each end is eight digits of the date and the time as `comparable_time` gives it; ``None`` leaves an end open.
    """

    attribute: Attribute
    """The date."""
    time: Attribute
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class PersonName:
    """The name matches ``pattern``, which may hold ``*``, ``?``, ``^`` and ``=``; neither case nor accents count."""

    attribute: Attribute
    pattern: str


@dataclass(frozen=True, slots=True)
class FuzzyName:
    """Each of ``words`` begins a word of the name, or sounds like one; neither order, case nor accents count."""

    attribute: Attribute
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Modalities:
    """The series, or for ModalitiesInStudy any series of the study that the caller sees, has one of ``values``."""

    attribute: Attribute
    values: frozenset[str]
    """In upper case."""


Match = Exact | Wildcard | DateRange | TimeRange | DateTimeRange | Uids | PersonName | FuzzyName | Modalities


def parse_match(attribute: Attribute, values: Sequence[str]) -> Match | None:
    """Read what a search gives for one key.

    Parameters
    ----------
    attribute
        The key.
    values
        Its values as given, decoded; several where the key was repeated.

    Returns
    -------
    Match or None
        ``None`` where everything matches: an empty value, or ``*`` (PS3.4 section C.2.2.2.3).

    Raises
    ------
    BadQueryParameterError
        If a value does not fit the attribute's value representation, is too long, or a key that takes no list is
        repeated.
    """
    if any(len(value) > _MAX_VALUE for value in values) and attribute.vr != "UI":
        raise BadQueryParameterError(f"{attribute.keyword} is too long.")
    if attribute.vr == "UI":
        return _uids(attribute, values)
    if attribute.keyword in _MODALITY_KEYWORDS:
        return _modalities(attribute, values)
    if len(values) > 1:
        raise BadQueryParameterError(f"{attribute.keyword} is given twice.")
    value = values[0].strip(" ")
    return _single(attribute, value) if value.strip("*") else None


def fuzzy(match: Match) -> Match:
    """Return what a match means where the caller asked for fuzzy matching (PS3.18 section 8.3.4.2): names only.

    Raises
    ------
    BadQueryParameterError
        If a name has more than eight words.
    """
    if not isinstance(match, PersonName):
        return match
    words = tuple(word for word in _BETWEEN_WORDS.split(match.pattern) if word)
    if len(words) > _MAX_WORDS:
        raise BadQueryParameterError(f"{match.attribute.keyword} has too many words for fuzzy matching.")
    return FuzzyName(match.attribute, words) if words else match


def as_moments(matches: Sequence[Match]) -> tuple[Match, ...]:
    """Return ``matches`` with a range of dates and one of times that belong together made one range of moments.

    Only where both are the same form of range (PS3.4 section C.2.2.2.5.1); a single date with a range of times
    stays what it is.
    """
    dates = {match.attribute.keyword: match for match in matches if isinstance(match, DateRange)}
    times = {match.attribute.keyword: match for match in matches if isinstance(match, TimeRange)}
    combined: dict[int, Match | None] = {}
    for date_keyword, time_keyword in _PAIRS.items():
        date, time = dates.get(date_keyword), times.get(time_keyword)
        if date is None or time is None or not (date.is_range and time.is_range):
            continue
        if (date.first is None, date.last is None) != (time.first is None, time.last is None):
            continue
        first = None if date.first is None or time.first is None else date.first + time.first
        last = None if date.last is None or time.last is None else date.last + time.last
        combined[id(date)] = DateTimeRange(date.attribute, time.attribute, first, last)
        combined[id(time)] = None
    kept = (combined.get(id(match), match) for match in matches)
    return tuple(match for match in kept if match is not None)


def _single(attribute: Attribute, value: str) -> Match:
    match attribute.vr:
        case "DA":
            first, last = _range(attribute, value, _date, _date)
            return DateRange(attribute, first, last, is_range="-" in value)
        case "TM":
            first, last = _range(attribute, value, comparable_time, _latest_time)
            return TimeRange(attribute, first, last, is_range="-" in value)
        case "IS":
            number = normalise(attribute, value)
            if number is None:
                raise BadQueryParameterError(f"{attribute.keyword} is no whole number.")
            return Exact(attribute, number)
        case "PN":
            return PersonName(attribute, value)
        case _:
            return Wildcard(attribute, value) if _WILDCARD.search(value) else Exact(attribute, value)


def _listed(values: Sequence[str]) -> list[str]:
    return [item.strip(" ") for value in values for item in re.split(r"[,\\]", value) if item.strip(" ")]


def _uids(attribute: Attribute, values: Sequence[str]) -> Match | None:
    uids = _listed(values)
    if not uids or uids == ["*"]:
        return None
    if len(uids) > _MAX_UIDS:
        raise BadQueryParameterError(f"{attribute.keyword} lists too many UIDs.")
    try:
        # All kinds of UID share one grammar (PS3.5 section 9.1).
        return Uids(attribute, frozenset(map(study_instance_uid, uids)))
    except InvalidIdentifierError:
        raise BadQueryParameterError(f"{attribute.keyword} holds something that is no UID.") from None


def _modalities(attribute: Attribute, values: Sequence[str]) -> Match | None:
    listed = [value.upper() for value in _listed(values)]
    if not any(value.strip("*") for value in listed):
        return None
    if not any(_WILDCARD.search(value) for value in listed):
        return Modalities(attribute, frozenset(listed))
    if len(listed) > 1:
        raise BadQueryParameterError(f"{attribute.keyword} takes a list or a wildcard, not both.")
    return Wildcard(attribute, listed[0])


def _range(
    attribute: Attribute, value: str, earliest: Callable[[str], str], latest: Callable[[str], str]
) -> tuple[str | None, str | None]:
    first, hyphen, last = (part.strip(" ") for part in value.partition("-"))
    if not hyphen:
        last = first
    grammar = _DATE if attribute.vr == "DA" else _TIME
    for end in (first, last):
        if end and (grammar.fullmatch(end) is None or normalise(attribute, end) is None):
            raise BadQueryParameterError(f"{attribute.keyword} is neither a {attribute.vr} value nor a range of them.")
    if not first and not last:
        raise BadQueryParameterError(f"{attribute.keyword} is a range without ends.")
    return (earliest(first) if first else None, latest(last) if last else None)


def _date(text: str) -> str:
    return text


def _latest_time(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}{'235959'[len(whole) :]}.{fraction:9<6}"
