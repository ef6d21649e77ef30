"""The answer to a STOW-RS request (PS3.18 section 10.5.3 and annex I.2)."""

from http import HTTPStatus

import msgspec
from starlette.responses import Response

from kheops.dicomweb.native_xml import XML, native_model
from kheops.ids import StudyInstanceUID
from kheops.services.store_report import Failed, OtherFailure, Stored, StoreReport

__all__ = ["store_answer"]


def store_answer(report: StoreReport, media_type: str, *, api_root: str, study: StudyInstanceUID | None) -> Response:
    """Return what a request came to.

    Parameters
    ----------
    report
        What became of each instance.
    media_type
        Of the answer, JSON or XML.
    api_root
        Where links start.
    study
        The study of the request's path, if it names one.
    """
    elements = _elements(report, api_root, study)
    body = native_model(elements) if media_type == XML else msgspec.json.encode(elements)
    return Response(body, _status(report), media_type=media_type, headers={"Cache-Control": "no-store"})


def _status(report: StoreReport) -> HTTPStatus:
    if report.is_whole:
        return HTTPStatus.OK
    return HTTPStatus.ACCEPTED if report.stored else HTTPStatus.CONFLICT


def _elements(report: StoreReport, api_root: str, study: StudyInstanceUID | None) -> dict[str, object]:
    studies = {item.ref.study_instance_uid for item in report.stored}
    if study is not None:
        studies &= {study}
    elements: dict[str, object] = {}
    if len(studies) == 1:
        elements["00081190"] = {"vr": "UR", "Value": [f"{api_root}/studies/{studies.pop()}"]}
    if report.failed:
        elements["00081198"] = {"vr": "SQ", "Value": [_failed(item) for item in report.failed]}
    if report.stored:
        elements["00081199"] = {"vr": "SQ", "Value": [_stored(item, api_root) for item in report.stored]}
    if report.other:
        elements["0008119A"] = {"vr": "SQ", "Value": [_other(item) for item in report.other]}
    return elements


def _stored(item: Stored, api_root: str) -> dict[str, object]:
    ref = item.ref
    url = (
        f"{api_root}/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}"
    )
    return {
        "00081150": {"vr": "UI", "Value": [item.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [ref.sop_instance_uid]},
        "00081190": {"vr": "UR", "Value": [url]},
    }


def _failed(item: Failed) -> dict[str, object]:
    failure: dict[str, object] = {}
    if item.conflicts:
        failure["00001005"] = {"vr": "AT", "Value": [f"{tag:08X}" for tag in item.conflicts]}
    failure |= _file(item.file_id)
    failure["00081150"] = {"vr": "UI", "Value": [item.sop_class_uid]}
    failure["00081155"] = {"vr": "UI", "Value": [item.sop_instance_uid]}
    failure["00081197"] = {"vr": "US", "Value": [item.reason]}
    return failure


def _other(item: OtherFailure) -> dict[str, object]:
    return {**_file(item.file_id), "00081197": {"vr": "US", "Value": [item.reason]}}


def _file(file_id: str | None) -> dict[str, object]:
    return {"00041500": {"vr": "CS", "Value": [file_id]}} if file_id else {}
