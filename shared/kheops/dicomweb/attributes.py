"""The attributes that the catalog keeps and that answers are made of.

Names are DICOM keywords (PS3.6). Patient and study attributes are kept *per series* (design: catalog), so their
level says where they are answered and matched, not where they are stored.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = [
    "ANSWER_ATTRIBUTES",
    "ATTRIBUTES",
    "BY_KEYWORD",
    "BY_TAG",
    "CATALOGED_ATTRIBUTES",
    "Attribute",
    "Level",
    "Tag",
    "comparable_time",
    "normalise",
]

Tag = int
"""A DICOM tag as ``group << 16 | element``."""


class Level(StrEnum):
    """A level of the DICOM information model; patient attributes are answered at study level."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the table."""

    keyword: str
    tag: Tag
    vr: str
    level: Level
    matchable: bool
    """Whether a search may match on it."""

    @property
    def key(self) -> str:
        """The tag as eight upper-case hexadecimal digits, as in the DICOM JSON Model."""
        return f"{self.tag:08X}"


_STUDY: Final = Level.STUDY
_SERIES: Final = Level.SERIES
_INSTANCE: Final = Level.INSTANCE


def _matched(keyword: str, tag: Tag, vr: str, level: Level) -> Attribute:
    return Attribute(keyword, tag, vr, level, matchable=True)


def _answered(keyword: str, tag: Tag, vr: str, level: Level) -> Attribute:
    return Attribute(keyword, tag, vr, level, matchable=False)


CATALOGED_ATTRIBUTES: Final = (
    _matched("StudyDate", 0x00080020, "DA", _STUDY),
    _matched("StudyTime", 0x00080030, "TM", _STUDY),
    _matched("AccessionNumber", 0x00080050, "SH", _STUDY),
    _matched("ReferringPhysicianName", 0x00080090, "PN", _STUDY),
    _answered("TimezoneOffsetFromUTC", 0x00080201, "SH", _STUDY),
    _matched("StudyDescription", 0x00081030, "LO", _STUDY),
    _matched("PatientName", 0x00100010, "PN", _STUDY),
    _matched("PatientID", 0x00100020, "LO", _STUDY),
    _matched("PatientBirthDate", 0x00100030, "DA", _STUDY),
    _matched("PatientSex", 0x00100040, "CS", _STUDY),
    _matched("StudyID", 0x00200010, "SH", _STUDY),
    _matched("SeriesDate", 0x00080021, "DA", _SERIES),
    _matched("SeriesTime", 0x00080031, "TM", _SERIES),
    _matched("Modality", 0x00080060, "CS", _SERIES),
    _matched("SeriesDescription", 0x0008103E, "LO", _SERIES),
    _matched("BodyPartExamined", 0x00180015, "CS", _SERIES),
    _matched("SeriesNumber", 0x00200011, "IS", _SERIES),
    _matched("Laterality", 0x00200060, "CS", _SERIES),
    _matched("PerformedProcedureStepStartDate", 0x00400244, "DA", _SERIES),
    _matched("PerformedProcedureStepStartTime", 0x00400245, "TM", _SERIES),
    _matched("SOPClassUID", 0x00080016, "UI", _INSTANCE),
    _matched("InstanceNumber", 0x00200013, "IS", _INSTANCE),
    _answered("NumberOfFrames", 0x00280008, "IS", _INSTANCE),
    _answered("Rows", 0x00280010, "US", _INSTANCE),
    _answered("Columns", 0x00280011, "US", _INSTANCE),
    _answered("BitsAllocated", 0x00280100, "US", _INSTANCE),
    _answered("AvailableTransferSyntaxUID", 0x00083002, "UI", _INSTANCE),
)
"""What the catalog keeps of each instance's bytes besides its UIDs."""

ANSWER_ATTRIBUTES: Final = (
    _matched("StudyInstanceUID", 0x0020000D, "UI", _STUDY),
    _matched("SeriesInstanceUID", 0x0020000E, "UI", _SERIES),
    _matched("SOPInstanceUID", 0x00080018, "UI", _INSTANCE),
    _matched("ModalitiesInStudy", 0x00080061, "CS", _STUDY),
    _answered("SpecificCharacterSet", 0x00080005, "CS", _STUDY),
    _answered("InstanceAvailability", 0x00080056, "CS", _STUDY),
    _answered("RetrieveURL", 0x00081190, "UR", _STUDY),
    _answered("NumberOfStudyRelatedSeries", 0x00201206, "IS", _STUDY),
    _answered("NumberOfStudyRelatedInstances", 0x00201208, "IS", _STUDY),
    _answered("NumberOfSeriesRelatedInstances", 0x00201209, "IS", _SERIES),
    _answered("FailedSOPSequence", 0x00081198, "SQ", _INSTANCE),
    _answered("ReferencedSOPSequence", 0x00081199, "SQ", _INSTANCE),
    _answered("OtherFailuresSequence", 0x0008119A, "SQ", _INSTANCE),
    _answered("ReferencedSOPClassUID", 0x00081150, "UI", _INSTANCE),
    _answered("ReferencedSOPInstanceUID", 0x00081155, "UI", _INSTANCE),
    _answered("FailureReason", 0x00081197, "US", _INSTANCE),
    _answered("WarningReason", 0x00081196, "US", _INSTANCE),
    _answered("AttributeIdentifierList", 0x00001005, "AT", _INSTANCE),
    _answered("ReferencedFileID", 0x00041500, "CS", _INSTANCE),
)
"""What answers hold besides: identifiers, what is computed over the visible objects, and the store response."""

ATTRIBUTES: Final = CATALOGED_ATTRIBUTES + ANSWER_ATTRIBUTES
BY_KEYWORD: Final[Mapping[str, Attribute]] = MappingProxyType({each.keyword: each for each in ATTRIBUTES})
BY_TAG: Final[Mapping[Tag, Attribute]] = MappingProxyType({each.tag: each for each in ATTRIBUTES})

_DATE: Final = re.compile(r"([0-9]{4})([.\-/]?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_TIME: Final = re.compile(
    r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(?:\.([0-9]{1,6})[0-9]*)?)?)?", re.ASCII
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_TIMEZONE: Final = re.compile(r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INTEGER_LIMIT: Final = 2**31
_MOST_CHARACTERS: Final = 256
"""Of a text that the catalog keeps: what a search holds of each object is bounded by it. Its VR allows 16, 64 or, in
a person name, three times 64 (PS3.5 section 6.2), and real files have a little more."""
_MOST_OF_CODE: Final = 16
"""Of a Code String: code that compares one may rely on it (PS3.5 section 6.2)."""


def normalise(attribute: Attribute, text: str) -> str | None:
    """Return a decoded value in the one form in which the catalog keeps it, or ``None`` where it is of no use.

    Padding is removed. Dates are eight digits (the old ``1994.11.05`` too), times lose their colons, numbers are
    decimal without sign or zeros that mean nothing, person names keep ``^`` and ``=``. Of several values the first is
    kept: none of the catalog's attributes may have more (PS3.6). Control characters are dropped. A value that does
    not follow its value representation (PS3.5 section 6.2) is ``None``, and so are an empty one, a code string of more
    than 16 characters and any text of more than 256; shorter text is kept though its value representation allows
    less.
    """
    match attribute.vr:
        case "DA":
            return _date(_first(text))
        case "TM":
            return _time(_first(text))
        case "IS" | "US":
            return _integer(_first(text))
        case "PN":
            return _person_name(text)
        case _:
            text = _CONTROL.sub("", _first(text)).strip(" ")
            if attribute.keyword == "TimezoneOffsetFromUTC" and _TIMEZONE.fullmatch(text) is None:
                return None
            return _bounded(text, _MOST_OF_CODE if attribute.vr == "CS" else _MOST_CHARACTERS)


def _bounded(text: str, most: int) -> str | None:
    return text if 0 < len(text) <= most else None


def _first(text: str) -> str:
    return text.partition("\\")[0].strip(" \0")


def _date(text: str) -> str | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        dt.date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None
    return match[1] + match[3] + match[4]


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups("")
    return hours + minutes + seconds + (f".{fraction}" if fraction else "")


def _integer(text: str) -> str | None:
    if _INTEGER.fullmatch(text) is None:
        return None
    number = int(text)
    return str(number) if -_INTEGER_LIMIT <= number < _INTEGER_LIMIT else None


def _person_name(text: str) -> str | None:
    text = _CONTROL.sub("", text.partition("\\")[0])
    groups = [group.strip(" ").rstrip("^ ") for group in text.split("=")[:3]]
    return _bounded("=".join(groups).rstrip("="), _MOST_CHARACTERS)


def comparable_time(text: str) -> str:
    """Return a normalised TM as ``HHMMSS.FFFFFF``, so that times compare as strings; missing parts are zero."""
    whole, _, fraction = text.partition(".")
    return f"{whole:0<6}.{fraction:0<6}"
