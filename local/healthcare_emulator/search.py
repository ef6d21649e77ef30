"""Searching: a closed list of keys, exact values, and nothing that the API does not give."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from local.healthcare_emulator.calls import Call
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import Row, Shelf

__all__ = ["search"]

_STUDY_KEYS: Final = (
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyDate",
)
_LARGEST_OFFSET: Final = 1_000_000
_RANGE: Final = re.compile(r"([0-9]{8})?-([0-9]{8})?")
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_STUDY_FIELDS: Final = (
    "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability ReferringPhysicianName"
    " TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
)
_SERIES_FIELDS: Final = (
    "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID"
    " PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence"
)
_INSTANCE_FIELDS: Final = (
    "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC InstanceNumber"
    " Rows Columns BitsAllocated NumberOfFrames"
)
_MORE_STUDY_FIELDS: Final = (
    "StudyDescription InstitutionName InstitutionAddress InstitutionCodeSequence PhysiciansOfRecord"
    " ProcedureCodeSequence ReferencedStudySequence"
)
_MORE_SERIES_FIELDS: Final = "SeriesNumber Laterality SeriesDate SeriesTime"


@dataclass(frozen=True, slots=True)
class _Level:
    keys: tuple[str, ...]
    group: tuple[str, ...]
    fields: str
    more_fields: str | None
    """``None``: all attributes of the object."""
    limit: int
    largest_limit: int


_LEVELS: Final = {
    "studies": _Level(_STUDY_KEYS, ("StudyInstanceUID",), _STUDY_FIELDS, _MORE_STUDY_FIELDS, 100, 5000),
    "series": _Level(
        (*_STUDY_KEYS, "SeriesInstanceUID", "Modality"),
        ("StudyInstanceUID", "SeriesInstanceUID"),
        _SERIES_FIELDS,
        _MORE_SERIES_FIELDS,
        100,
        5000,
    ),
    "instances": _Level(
        (*_STUDY_KEYS, "SeriesInstanceUID", "Modality", "SOPInstanceUID"), (), _INSTANCE_FIELDS, None, 1000, 50_000
    ),
}


async def search(call: Call, shelf: Shelf, *, level: str, study: str | None, series: str | None) -> None:
    """Answer ``GET .../{studies|series|instances}``, at the store or below a study or series."""
    rules = _LEVELS[level]
    accept = call.headers.get("accept", "*/*")
    if not any(part in accept for part in ("application/dicom+json", "application/json", "*/*")):
        raise GoogleError(HTTPStatus.NOT_ACCEPTABLE, "allowed: application/dicom+json")
    parameters = call.query()
    limit = min(_number(parameters.pop("limit", str(rules.limit)), "limit"), rules.largest_limit)
    offset = _number(parameters.pop("offset", "0"), "offset")
    if offset > _LARGEST_OFFSET:
        raise GoogleError.bad_request(f"offset must not exceed {_LARGEST_OFFSET}")
    fuzzy = parameters.pop("fuzzymatching", "false") == "true"
    included = _included(parameters.pop("includefield", ""))
    clauses, values = _clauses(parameters, rules, fuzzy=fuzzy)
    if study is not None:
        if not shelf.select("StudyInstanceUID = ?", [study], group=(), limit=1, offset=0):
            raise GoogleError.absent()
        clauses, values = [*clauses, "StudyInstanceUID = ?"], [*values, study]
    if series is not None:
        clauses, values = [*clauses, "SeriesInstanceUID = ?"], [*values, series]
        if not shelf.select(" AND ".join(clauses[-2:]), values[-2:], group=(), limit=1, offset=0):
            raise GoogleError.absent()
    rows = shelf.select(" AND ".join(clauses) or "1", values, group=rules.group, limit=limit, offset=offset)
    if not rows:
        await call.answer(HTTPStatus.NO_CONTENT, b"", "text/html; charset=utf-8")
        return
    found = [_result(row, rules, included) for row in rows]
    await call.answer(HTTPStatus.OK, json.dumps(found, ensure_ascii=False).encode(), "application/dicom+json")


def _clauses(parameters: Mapping[str, str], rules: _Level, *, fuzzy: bool) -> tuple[list[str], list[str]]:
    clauses: list[str] = []
    values: list[str] = []
    for name, value in parameters.items():
        keyword = _keyword(name)
        if keyword not in rules.keys:
            raise GoogleError.bad_request(f"{name} is not a supported instance or series or study attribute")
        if keyword == "StudyDate" and (match := _RANGE.fullmatch(value)) and value != "-":
            clauses.append("StudyDate BETWEEN ? AND ?")
            values += [match[1] or "", match[2] or "99999999"]
        elif keyword == "PatientName" and fuzzy:
            # Prefix of any token, without regard to case; the API's normalisation goes further.
            for token in value.replace("^", " ").split():
                clauses.append("' ' || replace(PatientName, '^', ' ') LIKE ? ESCAPE '\\'")
                values.append(f"% {_literal(token)}%")
        else:
            clauses.append(f"{keyword} = ?")
            values.append(value)
    return clauses, values


def _literal(token: str) -> str:
    return token.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise GoogleError.bad_request(f"invalid {name}")
    return int(text)


def _keyword(name: str) -> str:
    return keyword_for_tag(int(name, 16)) if _TAG.fullmatch(name) else name


def _included(text: str) -> list[str] | None:
    """Return the tags that ``includefield`` names, ``None`` for ``all``."""
    tags = []
    for field in filter(None, text.split(",")):
        if field == "all":
            return None
        tag = int(field, 16) if _TAG.fullmatch(field) else tag_for_keyword(field)
        if tag is None or not keyword_for_tag(tag):
            raise GoogleError.bad_request(f"unknown/unsupported QIDO attribute: {field}")
        tags.append(f"{tag:08X}")
    return tags


def _result(row: Row, rules: _Level, included: list[str] | None) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(row.metadata_path.read_bytes())
    model["00080056"] = {"vr": "CS", "Value": ["ONLINE"]}
    if included is None and rules.more_fields is None:
        return {tag: element for tag, element in model.items() if "BulkDataURI" not in element}
    names = rules.fields.split() + ((rules.more_fields or "").split() if included is None else [])
    wanted = {f"{tag_for_keyword(name):08X}" for name in names} | set(included or ())
    return {tag: element for tag, element in sorted(model.items()) if tag in wanted}
