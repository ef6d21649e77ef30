"""STOW-RS (PS3.18 section 10.5)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from kheops.dicomweb.media_types import negotiate_store
from kheops.dicomweb.native_xml import XML
from kheops.dicomweb.store_body import store_body
from kheops.domain.uses import UseKind
from kheops.errors import (
    AlbumNotFoundError,
    BadMultipartError,
    BadQueryParameterError,
    ClientGoneError,
    InvalidIdentifierError,
)
from kheops.ids import AlbumId, StudyInstanceUID, album_id
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import JSON, Answer, Declaration, Parameter
from kheops.web.dicomweb.reading import ACCEPT, DATA_SET, accept
from kheops.web.dicomweb.store_answer import store_answer
from kheops.web.schema import ANYTHING, FLAG

__all__ = ["STORE", "store"]

_REPORT: Final = {"application/dicom+json": DATA_SET, JSON: DATA_SET, XML: ANYTHING}
_BINARY: Final = {"type": "string", "format": "binary"}

STORE: Final = Declaration(
    "Store instances (STOW-RS)",
    {
        200: Answer("All are stored.", _REPORT),
        202: Answer("Some are stored; the others are named with the reason.", _REPORT),
        409: Answer("None is stored; each is named with the reason.", _REPORT),
    },
    query=(
        Parameter("album", "The album that they go into; the inbox by default."),
        Parameter("skipVerify", "Whether instances are stored that contradict the study or series on record.", FLAG),
        ACCEPT,
    ),
    bodies=dict.fromkeys(("multipart/related", "multipart/form-data", "application/dicom"), _BINARY),
    errors=(406, 429, 502),
    open_query=True,
)

_SILENCE_SECONDS: Final = 60
"""A client that sends nothing for so long counts as gone: it holds memory that others wait for."""


async def store(call: Call, study: StudyInstanceUID | None) -> AsgiResponse:
    """Store the body into the inbox, the query's ``album``, or the token's own album."""
    storing = call.process.storing
    target = await storing.target(call.principal, _album(call))
    media_type = negotiate_store(accept(call))
    bears_conflicts = _bears_conflicts(call)
    sent = store_body(call.request.headers.get("content-type", ""))
    report = await storing.store(
        principal=call.principal,
        target=target,
        study=study,
        body=_body(call.request),
        boundary=sent.boundary or None,
        use=call.use(UseKind.STORE),
        form=sent.form,
        bears_conflicts=bears_conflicts,
    )
    if not report.stored and report.is_whole:
        raise BadMultipartError("The body has no instance: no part, or metadata without a data set.")
    return store_answer(report, media_type, api_root=call.api_root, study=study)


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


def _bears_conflicts(call: Call) -> bool:
    """Return what ``skipVerify`` says, which KHEOPS takes without a value too."""
    values = [value.lower() for name, value in call.query() if name == "skipVerify"]
    if len(values) > 1 or not {*values} <= {"", "true", "false"}:
        raise BadQueryParameterError("'skipVerify' must be true or false, once.")
    return bool(values) and values[0] != "false"


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
