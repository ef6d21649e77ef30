"""What both adapters make of odd answers to a request to render; each store here is a script of raw answers."""

import pytest

from kheops.archive.client import NoAuthorization
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.archive.port import ArchiveAbsentError
from kheops.dicomweb.rendering import Annotation, RenderingParameters, Viewport
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, KheopsError, NotAcceptableError
from tests.contract.archive.objects import read
from tests.contract.archive.real_stores import Adapter
from tests.contract.archive.scripted_store import Request, answer, run_scripted
from tests.contract.archive.test_broken_store import ITEM, LIMITS, STORE

PARAMETERS = RenderingParameters(viewport=Viewport(8, 9), annotation=(Annotation.PATIENT,))
FOUND = answer("200 OK", b"[{}]", Content_Type="application/dicom+json")


def _adapters(origin: str) -> list[Adapter]:
    return [
        DicomwebServer(f"{origin}/dicomweb", limits=LIMITS),
        GoogleHealthcare(f"{origin}{STORE}", authorization=NoAuthorization(), limits=LIMITS),
    ]


def _asked(script: list[bytes | None], number: int) -> tuple[bytes, list[Request]]:
    async def main(origin: str, requests: list[Request]) -> tuple[bytes, list[Request]]:
        adapter = _adapters(origin)[number]
        try:
            stream = await adapter.open_rendered(ITEM.readable, 2, media_type="image/png", parameters=PARAMETERS)
            assert stream.content_type == "image/png"
            return await read(stream), requests
        finally:
            await adapter.aclose()

    return run_scripted(script, main)


@pytest.mark.parametrize("number", [0, 1], ids=["dicomweb", "google"])
def test_the_request_is_made_of_values_alone(number: int) -> None:
    body, requests = _asked([answer("200 OK", b"picture", Content_Type="image/png")], number)
    assert body == b"picture"
    [request] = requests
    ref = ITEM.ref
    assert request.line.split()[1].endswith(
        f"/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}/instances/{ref.sop_instance_uid}"
        "/frames/2/rendered?viewport=8,9"
    )
    assert {name.lower(): value for name, value in request.headers.items()}["accept"] == "image/png"


@pytest.mark.parametrize("number", [0, 1], ids=["dicomweb", "google"])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([answer("200 OK", b"<html>", Content_Type="text/html")], ArchiveProtocolError),
        ([answer("200 OK", b"x", Content_Type="image/jpeg")], ArchiveProtocolError),
        ([answer("200 OK", b"x")], ArchiveProtocolError),
        ([answer("400 Bad Request", b"Doe^Jane")], NotAcceptableError),
        ([answer("406 Not Acceptable")], NotAcceptableError),
        ([answer("501 Not Implemented")], NotAcceptableError),
        ([answer("404 Not Found")], ArchiveAbsentError),
        ([answer("505 HTTP Version Not Supported", b"Doe^Jane")], ArchiveProtocolError),
        ([answer("503 Service Unavailable")], ArchiveUnavailableError),
        ([answer("200 OK", b"half", Content_Type="image/png", Content_Length="100"), None], ArchiveUnavailableError),
    ],
)
def test_an_odd_answer_is_an_error_without_its_words(
    script: list[bytes | None], error: type[KheopsError], number: int
) -> None:
    with pytest.raises(error) as caught:
        _asked(script, number)
    assert "Doe" not in str(caught.value)
