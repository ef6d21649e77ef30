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
    "Exact",
    "Match",
    "Modalities",
    "PersonName",
    "TimeRange",
    "Uids",
    "Wildcard",
    "parse_match",
]

_MAX_VALUE: Final = 1024
_MAX_UIDS: Final = 4096
_DATE: Final = re.compile(r"[0-9]{8}", re.ASCII)
_TIME: Final = re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?", re.ASCII)
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


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The time, as `comparable_time` gives it, lies between ``first`` and ``last``, both included.

    A time with parts missing means all of its minute or hour; ``None`` leaves an end open.
    """

    attribute: Attribute
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Uids:
    """The UID is one of ``uids`` (PS3.4 section C.2.2.2.2)."""

    attribute: Attribute
    uids: frozenset[str]


@dataclass(frozen=True, slots=True)
class PersonName:
    """The name matches ``pattern``, which may hold ``*``, ``?``, ``^`` and ``=``."""

    attribute: Attribute
    pattern: str


@dataclass(frozen=True, slots=True)
class Modalities:
    """The series, or for ModalitiesInStudy any series of the study that the caller sees, has one of ``values``."""

    attribute: Attribute
    values: frozenset[str]
    """In upper case."""


Match = Exact | Wildcard | DateRange | TimeRange | Uids | PersonName | Modalities


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


def _single(attribute: Attribute, value: str) -> Match:
    match attribute.vr:
        case "DA":
            first, last = _range(attribute, value, _date, _date)
            return DateRange(attribute, first, last)
        case "TM":
            first, last = _range(attribute, value, comparable_time, _latest_time)
            return TimeRange(attribute, first, last)
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
