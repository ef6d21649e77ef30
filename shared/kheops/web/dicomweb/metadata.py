"""WADO-RS: metadata as DICOM JSON, or as XML (PS3.18 section 10.4.1.1.2)."""

from functools import partial
from typing import Final

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.media_types import negotiate_search
from kheops.dicomweb.native_xml import XML
from kheops.dicomweb.resources import Metadata, Series, SopInstance, Study
from kheops.domain.uses import UseKind
from kheops.services.store_answers import Renamed
from kheops.services.xml_answers import InXml
from kheops.web.call import AsgiResponse, Call
from kheops.web.declaration import JSON, Answer, Declaration
from kheops.web.dicomweb.reading import ACCEPT, ANSWER_HEADERS, DICOM_JSON, SOURCE, accept, asked
from kheops.web.dicomweb.retrieve import instance_ref, series_ref
from kheops.web.pixels import streamed
from kheops.web.schema import ANYTHING

__all__ = ["RETRIEVE", "retrieve_metadata"]

RETRIEVE: Final = Declaration(
    "Retrieve metadata",
    {
        200: Answer(
            "The data sets, without bulk data.",
            {"application/dicom+json": DICOM_JSON, JSON: DICOM_JSON, "multipart/related": ANYTHING},
        )
    },
    query=(*SOURCE, ACCEPT),
    errors=(406, 429, 502),
    open_query=True,
)


async def retrieve_metadata(call: Call, resource: Metadata) -> AsgiResponse:
    """Answer ``GET .../metadata`` of a study, series or instance."""
    media_type = negotiate_search(accept(call)).media_type
    return await streamed(
        call, partial(_renamed, call, resource.of, media_type=media_type), headers=list(ANSWER_HEADERS)
    )


async def _renamed(call: Call, of: Study | Series | SopInstance, *, media_type: str) -> ArchiveStream:
    metadata = await _open(call, of)
    return InXml(metadata) if media_type == XML else Renamed(metadata, media_type)


async def _open(call: Call, of: Study | Series | SopInstance) -> ArchiveStream:
    retrieval = call.process.retrieval
    asking = asked(call, UseKind.READ_METADATA)
    match of:
        case Study(study):
            return await retrieval.study_metadata(asking, study, api_root=call.api_root)
        case Series():
            return await retrieval.series_metadata(asking, series_ref(of), api_root=call.api_root)
        case SopInstance():
            return await retrieval.instance_metadata(asking, instance_ref(of), api_root=call.api_root)
