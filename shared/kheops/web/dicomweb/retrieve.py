"""WADO-RS: studies, series, instances, frames and bulk data (PS3.18 section 10.4)."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from starlette.requests import Request

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.media_types import (
    FRAME_TYPES,
    ZIP,
    Accept,
    Choice,
    negotiate_bulkdata,
    negotiate_dicom,
    negotiate_frames,
    negotiate_instance,
)
from kheops.dicomweb.resources import Bulkdata, Frames, Series, SopInstance, Study
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import UseKind
from kheops.services.retrieve import Way
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Answer, Declaration, Parameter
from kheops.web.dicomweb.export import CHOSEN, export
from kheops.web.dicomweb.reading import ACCEPT, ANSWER_HEADERS, SOURCE, accept, asked
from kheops.web.pixels import streamed
from kheops.web.schema import ANYTHING, TEXT

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
_VALIDATOR: Final = {"ETag": TEXT}
_IF_NONE_MATCH: Final = Parameter("If-None-Match", "Validators of what the caller has, as ETag told them.")
_NOT_MODIFIED: Final = Answer("What the caller has is good.", headers=_VALIDATOR)


def _validated(declared: Declaration) -> Declaration:
    """Return what is promised where there are validators; an instance without a digest on record has none."""
    answers = {status: replace(answer, headers=_VALIDATOR) for status, answer in declared.answers.items()}
    return replace(declared, answers={**answers, 304: _NOT_MODIFIED}, headers=(_IF_NONE_MATCH,))


INSTANCE: Final = _validated(_retrieve("Retrieve an instance", "The instance.", _PARTS, _WHOLE))
FRAMES: Final = _validated(_retrieve("Retrieve frames", "One part a frame, or a single frame.", _PARTS, *FRAME_TYPES))
_BULKDATA: Final = {_PARTS: ANYTHING, _OCTETS: ANYTHING}
BULKDATA: Final = _validated(
    Declaration(
        "Retrieve a bulk data value",
        {200: Answer("The value.", _BULKDATA), 206: Answer("The range that was asked for.", _BULKDATA)},
        query=(*SOURCE, ACCEPT),
        errors=(406, 416, 429, 502),
        open_query=True,
    )
)
_TAG: Final = re.compile(r'(?:W/)?("[!#-~]{1,128}")', re.ASCII)
_RANGE: Final = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})", re.ASCII)
"""One range of bytes. Several, or anything else, is ignored, as RFC 9110 section 14.2 permits."""


async def retrieve_study(call: Call, resource: Study) -> AsgiResponse:
    """Answer ``GET /studies/{S}``."""
    way = _way(call, negotiate_dicom, accept(call))
    if way.choice.media_type == ZIP:
        return await export(call, resource)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.study, asking, resource.study_instance_uid, way))


async def retrieve_series(call: Call, resource: Series) -> AsgiResponse:
    """Answer ``GET /studies/{S}/series/{R}``."""
    way = _way(call, negotiate_dicom, accept(call))
    if way.choice.media_type == ZIP:
        return await export(call, resource)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.series, asking, series_ref(resource), way))


async def retrieve_instance(call: Call, resource: SopInstance) -> AsgiResponse:
    """Answer ``GET .../instances/{I}``."""
    return await retrieve_as(call, resource, accept(call))


async def retrieve_as(call: Call, resource: SopInstance, accepted: Accept) -> AsgiResponse:
    """Answer with an instance in a form that ``accepted`` names."""
    way = _way(call, negotiate_instance, accepted)
    asking = asked(call, UseKind.READ_PIXELS)
    return await _passed_on(call, partial(call.process.retrieval.instance, asking, instance_ref(resource), way))


async def retrieve_frames(call: Call, resource: Frames) -> AsgiResponse:
    """Answer ``GET .../frames/{list}``."""
    way = _way(call, partial(negotiate_frames, count=len(resource.frames)), accept(call))
    asking = asked(call, UseKind.READ_PIXELS)
    ref = instance_ref(resource.instance)
    return await _passed_on(call, partial(call.process.retrieval.frames, asking, ref, resource.frames, way))


async def retrieve_bulkdata(call: Call, resource: Bulkdata) -> AsgiResponse:
    """Answer ``GET .../bulkdata/{path}``."""
    way = _way(call, negotiate_bulkdata, accept(call))
    return await _passed_on(
        call,
        partial(
            call.process.retrieval.bulkdata,
            asked(call, UseKind.READ_PIXELS),
            instance_ref(resource.instance),
            resource.path,
            way,
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


class _Negotiate(Protocol):
    """One of the negotiations of `kheops.dicomweb.media_types`."""

    def __call__(self, accept: Accept, /, *, stored: str | None = None) -> Choice: ...


def _way(call: Call, negotiate: _Negotiate, accepted: Accept) -> Way:
    def fitting(stored: str) -> Choice:
        return negotiate(accepted, stored=stored)

    return Way(negotiate(accepted), fitting, _known(call.request))


def _known(request: Request) -> frozenset[str]:
    """Return the validators that the caller has, by ``If-None-Match`` (RFC 9110 section 13.1.2), without ``W/``.

    ``*`` is of no use here: it asks whether there is anything at all, which is told by the answer itself.
    """
    if "if-none-match" not in request.headers:
        return frozenset()
    return frozenset(_TAG.findall(",".join(request.headers.getlist("if-none-match"))))


def _byte_range(request: Request) -> str | None:
    # No answer has a strong validator, so that no If-Range can hold and the whole is due (RFC 9110 section 13.1.5).
    values = request.headers.getlist("range")
    if len(values) != 1 or "if-range" in request.headers or _RANGE.fullmatch(values[0]) is None:
        return None
    return values[0]
