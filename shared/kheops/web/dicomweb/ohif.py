"""``/studies/{S}/ohifmetadata``."""

from typing import Final

import msgspec
from starlette.responses import Response

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.query import parse_query
from kheops.dicomweb.resources import OhifMetadata
from kheops.domain.uses import UseKind
from kheops.errors import BadQueryParameterError, InvalidIdentifierError, NotFoundError
from kheops.ids import SeriesInstanceUID, series_instance_uid
from kheops.services.ohif_study import ohif_study
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import Declaration, Parameter, json_answer
from kheops.web.dicomweb.reading import ANSWER_HEADERS, SOURCE, asked
from kheops.web.schema import list_of, record

__all__ = ["OHIF", "ohif_metadata"]

OHIF: Final = Declaration(
    "Describe a study in the words of OHIF's JSON data source",
    json_answer(
        "The study.",
        record({"studies": list_of({"type": "object"})}),
    ),
    query=(Parameter("firstseries", "The series that stands first."), *SOURCE),
)
_KNOWN: Final = frozenset(each.name for each in OHIF.query)


async def ohif_metadata(call: Call, resource: OhifMetadata) -> AsgiResponse:
    """Answer with what a search for the study's instances finds, in OHIF's words."""
    pairs = call.query()
    if {name for name, _ in pairs} - _KNOWN:
        raise BadQueryParameterError("Only 'firstseries', 'inbox' and 'album' are known here.")
    first = _first_series([value for name, value in pairs if name == "firstseries"])
    study = resource.study.study_instance_uid
    page = await call.process.search.find(asked(call, UseKind.SEARCH), parse_query(Level.INSTANCE, []), study=study)
    if not page.found:
        raise NotFoundError
    body = {"studies": [ohif_study(study, page.found, api_root=call.api_root, first=first)]}
    response = Response(msgspec.json.encode(body), media_type="application/json")
    response.raw_headers += list(ANSWER_HEADERS)
    more = page.total - len(page.found)
    if more > 0:
        response.headers["Warning"] = f'299 kheops "{more} further instances are left out"'
    return response


def _first_series(values: list[str]) -> SeriesInstanceUID | None:
    if len(values) > 1:
        raise BadQueryParameterError("'firstseries' is given more than once.")
    try:
        return series_instance_uid(values[0]) if values else None
    except InvalidIdentifierError:
        raise BadQueryParameterError("'firstseries' is not a valid UID.") from None
