"""WADO-RS: studies, series, instances, frames and bulk data (PS3.18 section 10.4)."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.requests import Request

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.media_types import (
    FRAME_TYPES,
    ZIP,
    Accept,
    negotiate_bulkdata,
    negotiate_dicom,
    negotiate_frames,
    negotiate_instance,
)
from kheops.dicomweb.resources import Bulkdata, Frames, Series, SopInstance, Study
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import UseKind
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Answer, Declaration
from kheops.web.dicomweb.export import CHOSEN, export
from kheops.web.dicomweb.reading import ACCEPT, ANSWER_HEADERS, SOURCE, accept, asked
from kheops.web.pixels import streamed
from kheops.web.schema import ANYTHING

__all__ = [
    "BULKDATA",
    "FRAMES",
    "INSTANCE",
    "SEVERAL",
    "instance_ref",
    "retrieve_as",
    "retrieve_bulkdata",
    "retrieve_frames",
    "retrieve_instance",
    "retrieve_series",
    "retrieve_study",
    "series_ref",
]

_PARTS: Final = "multipart/related"
_WHOLE: Final = "application/dicom"
_OCTETS: Final = "application/octet-stream"


def _retrieve(summary: str, about: str, *media_types: str) -> Declaration:
    return Declaration(
        summary,
        {200: Answer(about, dict.fromkeys(media_types, ANYTHING))},
        query=(*SOURCE, ACCEPT),
        errors=(406, 429, 502),
        open_query=True,
    )


_SEVERAL: Final = _retrieve("Retrieve the instances of a study or series", "One part an instance.", _PARTS, ZIP)
SEVERAL: Final = replace(_SEVERAL, query=(*_SEVERAL.query, CHOSEN))
INSTANCE: Final = _retrieve("Retrieve an instance", "The instance.", _PARTS, _WHOLE)
FRAMES: Final = _retrieve("Retrieve frames", "One part a frame, or a single frame.", _PARTS, *FRAME_TYPES)
_BULKDATA: Final = {_PARTS: ANYTHING, _OCTETS: ANYTHING}
BULKDATA: Final = Declaration(
    "Retrieve a bulk data value",
    {200: Answer("The value.", _BULKDATA), 206: Answer("The range that was asked for.", _BULKDATA)},
    query=(*SOURCE, ACCEPT),
    errors=(406, 416, 429, 502),
    open_query=True,
)
_RANGE: Final = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})", re.ASCII)
"""One range of bytes. Several, or anything else, is ignored, as RFC 9110 section 14.2 permits."""


async def retrieve_study(call: Call, resource: Study) -> AsgiResponse:
    """Answer ``GET /studies/{S}``."""
    choice = negotiate_dicom(accept(call))
    if choice.media_type == ZIP:
        return await export(call, resource)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.study, asking, resource.study_instance_uid, choice))


async def retrieve_series(call: Call, resource: Series) -> AsgiResponse:
    """Answer ``GET /studies/{S}/series/{R}``."""
    choice = negotiate_dicom(accept(call))
    if choice.media_type == ZIP:
        return await export(call, resource)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.series, asking, series_ref(resource), choice))


async def retrieve_instance(call: Call, resource: SopInstance) -> AsgiResponse:
    """Answer ``GET .../instances/{I}``."""
    return await retrieve_as(call, resource, accept(call))


async def retrieve_as(call: Call, resource: SopInstance, accepted: Accept) -> AsgiResponse:
    """Answer with an instance in a form that ``accepted`` names."""
    choice = negotiate_instance(accepted)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.instance, asking, instance_ref(resource), choice))


async def retrieve_frames(call: Call, resource: Frames) -> AsgiResponse:
    """Answer ``GET .../frames/{list}``."""
    choice = negotiate_frames(accept(call), count=len(resource.frames))
    asking = asked(call, UseKind.READ_PIXELS)
    ref = instance_ref(resource.instance)
    return await _passed_on(call, partial(call.process.retrieval.frames, asking, ref, resource.frames, choice))


async def retrieve_bulkdata(call: Call, resource: Bulkdata) -> AsgiResponse:
    """Answer ``GET .../bulkdata/{path}``."""
    choice = negotiate_bulkdata(accept(call))
    return await _passed_on(
        call,
        partial(
            call.process.retrieval.bulkdata,
            asked(call, UseKind.READ_PIXELS),
            instance_ref(resource.instance),
            resource.path,
            choice,
            byte_range=_byte_range(call.request),
        ),
    )


def series_ref(resource: Series) -> SeriesRef:
    """Return the series that a path names."""
    return SeriesRef(resource.study_instance_uid, resource.series_instance_uid)


def instance_ref(resource: SopInstance) -> InstanceRef:
    """Return the instance that a path names."""
    return InstanceRef(resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)


async def _passed_on(call: Call, opening: Callable[[], Awaitable[ArchiveStream]]) -> AsgiResponse:
    return await streamed(call, opening, headers=list(ANSWER_HEADERS))


def _byte_range(request: Request) -> str | None:
    # No answer has a validator, so that no If-Range can hold and the whole is due (RFC 9110 section 13.1.5).
    values = request.headers.getlist("range")
    if len(values) != 1 or "if-range" in request.headers or _RANGE.fullmatch(values[0]) is None:
        return None
    return values[0]
