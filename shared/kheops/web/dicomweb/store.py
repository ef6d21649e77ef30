"""STOW-RS (PS3.18 section 10.5)."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_media_type
from kheops.dicomweb.multipart import boundary_of
from kheops.domain.uses import UseKind
from kheops.errors import (
    AlbumNotFoundError,
    BadMultipartError,
    BadQueryParameterError,
    ClientGoneError,
    InvalidIdentifierError,
    UnsupportedMediaTypeError,
)
from kheops.ids import AlbumId, StudyInstanceUID, album_id
from kheops.services.store_report import Failed, OtherFailure, Stored, StoreReport
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Answer, Declaration, Parameter
from kheops.web.dicomweb.reading import DATA_SET

__all__ = ["STORE", "store"]

_REPORT: Final = {"application/dicom+json": DATA_SET}

STORE: Final = Declaration(
    "Store instances (STOW-RS)",
    {
        200: Answer("All are stored.", _REPORT),
        202: Answer("Some are stored; the others are named with the reason.", _REPORT),
        409: Answer("None is stored; each is named with the reason.", _REPORT),
    },
    query=(Parameter("album", "The album that they go into; the inbox by default."),),
    bodies={
        "multipart/related": {"type": "string", "format": "binary"},
        "application/dicom": {"type": "string", "format": "binary"},
    },
    errors=(429, 502),
    open_query=True,
)

_SILENCE_SECONDS: Final = 60
"""A client that sends nothing for so long counts as gone: it holds memory that others wait for."""


async def store(call: Call, study: StudyInstanceUID | None) -> AsgiResponse:
    """Store the body into the inbox, the query's ``album``, or the token's own album."""
    storing = call.process.storing
    target = await storing.target(call.principal, _album(call))
    boundary = _boundary(call.request)
    report = await storing.store(
        principal=call.principal,
        target=target,
        study=study,
        body=_body(call.request),
        boundary=boundary,
        use=call.use(UseKind.STORE),
    )
    if not report.stored and report.is_whole:
        raise BadMultipartError("The body has no part.")
    return _answer(report, call.api_root, study)


def _album(call: Call) -> AlbumId | None:
    values = [value for name, value in call.query() if name == "album"]
    if not values:
        return None
    if len(values) > 1:
        raise BadQueryParameterError("'album' is given more than once.")
    try:
        return album_id(values[0])
    except InvalidIdentifierError:
        raise AlbumNotFoundError from None


def _boundary(request: Request) -> bytes | None:
    """Return the boundary of a multipart body; ``None`` for a bare ``application/dicom``.

    ``type`` may be quoted or not (OsiriX sends it bare), and ``transfer-syntax`` is ignored: the bytes say it.
    """
    header = request.headers.get("content-type", "")
    try:
        media_type = parse_media_type(header)
    except MalformedMediaTypeError:
        raise UnsupportedMediaTypeError(
            'Send multipart/related; type="application/dicom"; boundary=..., or application/dicom.'
        ) from None
    if media_type.essence == "application/dicom":
        return None
    kind = media_type.parameters.get("type", "application/dicom").lower()
    if media_type.essence != "multipart/related" or kind != "application/dicom":
        raise UnsupportedMediaTypeError(
            'Send multipart/related; type="application/dicom"; boundary=..., or application/dicom.'
        )
    return boundary_of(header)


async def _body(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_SILENCE_SECONDS):
                chunk = await anext(stream, None)
        except (ClientDisconnect, TimeoutError):
            raise ClientGoneError from None
        if chunk is None:
            return
        if chunk:
            yield chunk


def _answer(report: StoreReport, api_root: str, study: StudyInstanceUID | None) -> Response:
    if report.is_whole:
        status = HTTPStatus.OK
    elif report.stored:
        status = HTTPStatus.ACCEPTED
    else:
        status = HTTPStatus.CONFLICT
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
    return Response(
        msgspec.json.encode(elements),
        status,
        media_type="application/dicom+json",
        headers={"Cache-Control": "no-store"},
    )


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
    return {
        "00081150": {"vr": "UI", "Value": [item.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [item.sop_instance_uid]},
        "00081197": {"vr": "US", "Value": [item.reason]},
    }


def _other(item: OtherFailure) -> dict[str, object]:
    return {"00081197": {"vr": "US", "Value": [item.reason]}}
