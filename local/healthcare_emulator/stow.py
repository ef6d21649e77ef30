"""Storing: parts go to temporary files as they arrive, and each is kept when its closing boundary has come."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, MediaType, parse_media_type
from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, PartEnd, boundary_of
from kheops.errors import BadMultipartError
from local.healthcare_emulator.calls import Call
from local.healthcare_emulator.dicom_file import DicomFile, Identity, UnreadableFileError
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import BeingDeletedError, ConflictingInstanceError, Draft, Shelf

__all__ = ["store"]

_PROCESSING_FAILURE: Final = 272
_BEING_DELETED: Final = "the study or series is being deleted"
_EXISTS: Final = "instance already exists in the DICOM store, and the files differ (checksum mismatch)"


@dataclass(frozen=True, slots=True)
class _Failure:
    identity: Identity | None
    detail: str


@dataclass(slots=True)
class _Outcome:
    stored: list[Identity] = field(default_factory=list)
    failed: list[_Failure] = field(default_factory=list)


async def store(
    call: Call, shelf: Shelf, *, base: str, study: str | None, told: Callable[[Identity], None] = lambda _: None
) -> None:
    """Answer ``POST .../studies`` or ``.../studies/{study}``.

    Parameters
    ----------
    call, shelf
        The request, and where to keep what it brings.
    base
        The store's address, for the URLs of the answer.
    study
        The only study that is taken, if the path names one.
    told
        Called with each instance that was kept, at once: also if the rest never comes.
    """
    content_type = _content_type(call)
    outcome = _Outcome()

    async def keep(draft: Draft) -> None:
        before = len(outcome.stored)
        await asyncio.to_thread(_keep, shelf, draft, study, outcome)
        for identity in outcome.stored[before:]:
            told(identity)

    if content_type.essence == "application/dicom":
        draft = shelf.draft()
        try:
            async for chunk in call.body():
                draft.write(chunk)
            await keep(draft)
        finally:
            draft.discard()
    else:
        await _store_parts(call.body(), MultipartReader(boundary_of(call.headers["content-type"])), shelf.draft, keep)
    status = HTTPStatus.CONFLICT if outcome.failed or not outcome.stored else HTTPStatus.OK
    if "json" in call.headers.get("accept", ""):
        await call.answer(status, _as_json(outcome, base), "application/dicom+json; charset=utf-8")
    else:
        await call.answer(status, _as_xml(outcome, base), "application/dicom+xml; charset=utf-8")


def _content_type(call: Call) -> MediaType:
    try:
        content_type = parse_media_type(call.headers.get("content-type", ""))
        if content_type.essence == "application/dicom":
            return content_type
        boundary_of(call.headers["content-type"])
        if content_type.essence == "multipart/related" and content_type.parameters.get("type") == "application/dicom":
            return content_type
    except (MalformedMediaTypeError, BadMultipartError):
        pass
    raise GoogleError.bad_request("unsupported media type: expected multipart/related; type=application/dicom")


async def _store_parts(
    body: AsyncIterator[bytes], reader: MultipartReader, new_draft: Callable[[], Draft], keep: Any
) -> None:
    draft: Draft | None = None
    try:
        async for chunk in body:
            for event in reader.feed(chunk):
                match event:
                    case PartBegin():
                        draft = new_draft()
                    case PartData(data) if draft is not None:
                        draft.write(data)
                    case PartEnd() if draft is not None:
                        await keep(draft)
                        draft = None
                    case _:
                        pass
        reader.close()
    except BadMultipartError as error:
        raise GoogleError.bad_request("malformed multipart body") from error
    finally:
        if draft is not None:
            draft.discard()


def _keep(shelf: Shelf, draft: Draft, study: str | None, outcome: _Outcome) -> None:
    try:
        if study is not None:
            draft.flush()
            identity = DicomFile(draft.path).identity()
            if identity.study != study:
                outcome.failed.append(_Failure(identity, "StudyInstanceUID differs from that of the path"))
                return
        outcome.stored.append(shelf.add(draft))
    except ConflictingInstanceError as error:
        outcome.failed.append(_Failure(error.args[0], _EXISTS))
    except BeingDeletedError as error:
        outcome.failed.append(_Failure(error.args[0], _BEING_DELETED))
    except UnreadableFileError as error:
        outcome.failed.append(_Failure(None, str(error)))
    finally:
        draft.discard()


def _address(base: str, identity: Identity) -> str:
    return f"{base}/studies/{identity.study}/series/{identity.series}/instances/{identity.instance}"


def _as_json(outcome: _Outcome, base: str) -> bytes:
    answer: dict[str, Any] = {}
    if outcome.stored:
        answer["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{outcome.stored[0].study}"]}
    if outcome.failed:
        answer["00081198"] = {"vr": "SQ", "Value": [_json_failure(failure) for failure in outcome.failed]}
    if outcome.stored:
        answer["00081199"] = {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [identity.sop_class]},
                    "00081155": {"vr": "UI", "Value": [identity.instance]},
                    "00081190": {"vr": "UR", "Value": [_address(base, identity)]},
                }
                for identity in outcome.stored
            ],
        }
    return json.dumps(answer).encode()


def _json_failure(failure: _Failure) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00081197": {"vr": "US", "Value": [_PROCESSING_FAILURE]},
        "00090010": {"vr": "LO", "Value": ["GOOGLE"]},
        "00091097": {"vr": "LT", "Value": [failure.detail]},
    }
    if failure.identity is not None:
        item["00081150"] = {"vr": "UI", "Value": [failure.identity.sop_class]}
        item["00081155"] = {"vr": "UI", "Value": [failure.identity.instance]}
    return item


def _as_xml(outcome: _Outcome, base: str) -> bytes:
    retrieve = f"{base}/studies/{outcome.stored[0].study}" if outcome.stored else None
    stored = "".join(
        _xml_item(
            number,
            _xml("00081150", "UI", "ReferencedSOPClassUID", identity.sop_class),
            _xml("00081155", "UI", "ReferencedSOPInstanceUID", identity.instance),
            _xml("00081190", "UR", "RetrieveURL", _address(base, identity)),
        )
        for number, identity in enumerate(outcome.stored, 1)
    )
    failed = "".join(
        _xml_item(
            number,
            _xml("00081150", "UI", "ReferencedSOPClassUID", failure.identity.sop_class if failure.identity else None),
            _xml(
                "00081155", "UI", "ReferencedSOPInstanceUID", failure.identity.instance if failure.identity else None
            ),
            _xml("00081197", "US", "FailureReason", str(_PROCESSING_FAILURE)),
            _xml("00090097", "LT", "FailureDetail", failure.detail, creator="GOOGLE"),
        )
        for number, failure in enumerate(outcome.failed, 1)
    )
    return (
        "<NativeDicomModel>"
        + _xml("00081190", "UR", "RetrieveURL", retrieve)
        + _xml_sequence("00081198", "FailedSOPSequence", failed)
        + _xml_sequence("00081199", "ReferencedSOPSequence", stored)
        + "</NativeDicomModel>"
    ).encode()


def _xml(tag: str, vr: str, keyword: str, value: str | None, *, creator: str | None = None) -> str:
    if value is None:
        return ""
    private = "" if creator is None else f" privateCreator={quoteattr(creator)}"
    return (
        f'<DicomAttribute tag="{tag}" vr="{vr}" keyword="{keyword}"{private}>'
        f'<Value number="1">{escape(value)}</Value></DicomAttribute>'
    )


def _xml_item(number: int, *attributes: str) -> str:
    return f'<Item number="{number}">{"".join(attributes)}</Item>'


def _xml_sequence(tag: str, keyword: str, items: str) -> str:
    return f'<DicomAttribute tag="{tag}" vr="SQ" keyword="{keyword}">{items}</DicomAttribute>' if items else ""
