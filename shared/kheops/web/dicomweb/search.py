"""QIDO-RS (PS3.18 section 10.6)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.dicom_json import DataSet
from kheops.dicomweb.media_types import ZIP, negotiate_search, prefers_zip
from kheops.dicomweb.multipart import new_boundary
from kheops.dicomweb.native_xml import XML
from kheops.dicomweb.query import Query, parse_query
from kheops.dicomweb.resources import InstancesOf, Series, SeriesOf, Studies, Study
from kheops.domain.uses import UseKind
from kheops.services.search_answers import Answers, Returned, returned
from kheops.services.stored_attributes import MOST_ROWS
from kheops.services.xml_answers import xml_content_type, xml_parts
from kheops.storage.catalog_search import Page
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import JSON, Answer, Declaration, Parameter
from kheops.web.dicomweb.export import CHOSEN, export
from kheops.web.dicomweb.reading import ACCEPT, ANSWER_HEADERS, DICOM_JSON, SOURCE, accept, asked_from
from kheops.web.pixels import StreamResponse
from kheops.web.schema import ANYTHING, COUNT, FLAG, TEXT, whole

__all__ = [
    "SEARCH",
    "SEARCH_SERIES",
    "SEARCH_STUDIES",
    "search_all_instances",
    "search_all_series",
    "search_instances",
    "search_series",
    "search_studies",
]

SEARCH: Final = Declaration(
    "Search (QIDO-RS)",
    {
        200: Answer(
            "What matches, and is the caller's to see.",
            {"application/dicom+json": DICOM_JSON, JSON: DICOM_JSON, "multipart/related": ANYTHING},
            {"X-Total-Count": COUNT, "Warning": TEXT},
        )
    },
    query=(
        Parameter("includefield", "Attributes to return, by keyword or tag; all for all.", repeated=True),
        Parameter("limit", "How many matches at most.", whole(least=1, most=999_999_999)),
        Parameter("offset", "How many matches are passed over.", whole(least=0, most=999_999_999)),
        Parameter("fuzzymatching", "Whether names match word by word and by sound.", FLAG),
        Parameter("sort", "What the matches are ordered by; a minus in front turns the order around."),
        Parameter("charset", "Which character sets are accepted; answers are UTF-8."),
        Parameter("PatientID", "A key to match; others go by keyword or tag likewise."),
        *SOURCE,
        ACCEPT,
    ),
    errors=(406,),
    open_query=True,
)
_FAVORITE: Final = Parameter("favorite", "Whether they are favourites; goes with album or inbox only.", FLAG)
SEARCH_SERIES: Final = replace(SEARCH, query=(*SEARCH.query, _FAVORITE))
SEARCH_STUDIES: Final = replace(
    SEARCH,
    answers={
        200: replace(
            SEARCH.answers[200],
            about="What matches, and is the caller's to see; as a download, what the album or inbox holds.",
            content={**SEARCH.answers[200].content, ZIP: ANYTHING},
        )
    },
    query=(*SEARCH_SERIES.query, CHOSEN),
    errors=(*SEARCH.errors, 429, 502),
)
"""A search for studies is a download of them for who accepts nothing else."""

_NAMED: Final = 10
"""Ignored names that a warning lists at most."""


async def search_studies(call: Call, resource: Studies) -> AsgiResponse:
    """Answer ``GET /studies``."""
    del resource
    if prefers_zip(accept(call)):
        return await export(call, None)
    return await _search(call, Level.STUDY, None)


async def search_series(call: Call, resource: SeriesOf) -> AsgiResponse:
    """Answer ``GET /studies/{S}/series``."""
    return await _search(call, Level.SERIES, resource.study)


async def search_instances(call: Call, resource: InstancesOf) -> AsgiResponse:
    """Answer ``GET /studies/{S}[/series/{R}]/instances``."""
    return await _search(call, Level.INSTANCE, resource.of)


async def search_all_series(call: Call) -> AsgiResponse:
    """Answer ``GET /series``."""
    return await _search(call, Level.SERIES, None)


async def search_all_instances(call: Call) -> AsgiResponse:
    """Answer ``GET /instances``."""
    return await _search(call, Level.INSTANCE, None)


async def _search(call: Call, level: Level, below: Study | Series | None) -> AsgiResponse:
    query = parse_query(level, call.query())
    media_type = negotiate_search(accept(call)).media_type
    boundary = new_boundary() if media_type == XML else None
    asking = asked_from(call, UseKind.SEARCH, query.source)
    page = await call.process.search.find(
        asking,
        query,
        study=None if below is None else below.study_instance_uid,
        series=below.series_instance_uid if isinstance(below, Series) else None,
    )
    returns = returned(query, below=_level(below))
    further: list[DataSet] | None = None
    if returns.stored_fields and page.found:
        further = await call.process.stored_attributes.read(asking, level, page.found, returns.stored_fields)
    answers = Answers(
        level=level, keywords=returns.keywords, found=page.found, api_root=call.api_root, further=further
    )
    headers = [
        *ANSWER_HEADERS,
        (b"content-type", (media_type if boundary is None else xml_content_type(boundary)).encode()),
        (b"x-total-count", b"%d" % page.total),
        *(
            (b"warning", f'299 kheops "{words}"'.encode())
            for words in _warnings(query, page, returns, are_read=further is not None)
        ),
    ]
    leave = call.process.search.hold(page)
    if boundary is not None:
        return StreamResponse(status=200, headers=headers, chunks=xml_parts(answers.chunks(), boundary), abort=leave)
    if answers.is_small:
        leave()
        response = Response(answers.encoded())
        response.raw_headers = [*headers, (b"content-length", b"%d" % len(response.body))]
        return response
    return StreamResponse(status=200, headers=headers, chunks=answers.chunks(), abort=leave)


def _level(below: Study | Series | None) -> Level | None:
    match below:
        case None:
            return None
        case Study():
            return Level.STUDY
        case Series():
            return Level.SERIES


def _warnings(query: Query, page: Page, returns: Returned, *, are_read: bool) -> Iterator[str]:
    """Give what the answer is not (RFC 7234 section 5.5, PS3.18 section 8.3.4); names are plain ASCII by now."""
    more = page.total - query.offset - len(page.found)
    if more > 0:
        yield f"There are {more} additional results that can be requested"
    if query.unknown_keys:
        yield f"These keys were not matched on: {_listed(query.unknown_keys)}"
    if query.unknown_fields:
        yield f"These fields are not available: {_listed(query.unknown_fields)}"
    if page.found and returns.stored_fields and not are_read:
        fields = _listed(returns.stored_fields)
        yield f"These fields are available for pages of {MOST_ROWS} at most: {fields}"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
