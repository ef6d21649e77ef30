"""Values of DICOM JSON (PS3.18 annex F) as text."""

from collections.abc import Mapping
from typing import Final

__all__ = ["KEYWORDS", "plain", "value_of"]

KEYWORDS: Final[Mapping[str, str]] = {
    "00080018": "SOPInstanceUID",
    "00080020": "StudyDate",
    "00080030": "StudyTime",
    "00080050": "AccessionNumber",
    "00080060": "Modality",
    "00080061": "ModalitiesInStudy",
    "00080090": "ReferringPhysicianName",
    "00081030": "StudyDescription",
    "0008103E": "SeriesDescription",
    "00100010": "PatientName",
    "00100020": "PatientID",
    "00100030": "PatientBirthDate",
    "00100040": "PatientSex",
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00200010": "StudyID",
    "00200011": "SeriesNumber",
    "00201206": "NumberOfStudyRelatedSeries",
    "00201208": "NumberOfStudyRelatedInstances",
    "00201209": "NumberOfSeriesRelatedInstances",
}
"""Attributes that are shown, by tag."""


def value_of(data_set: Mapping[str, object], tag: str) -> str:
    """Return the values of an attribute, several with backslashes between them as in DICOM; empty if it has none."""
    element = data_set.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    if not isinstance(values, list):
        return ""
    return "\\".join(_text(value) for value in values)


def plain(data_set: Mapping[str, object]) -> dict[str, str]:
    """Return the attributes that are shown, by keyword; those without a value are left out."""
    found = {keyword: value_of(data_set, tag) for tag, keyword in KEYWORDS.items()}
    return {keyword: value for keyword, value in found.items() if value}


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        names = (value.get(name) for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join("" if each is None else str(each) for each in names).rstrip("=")
    return "" if value is None else str(value)
