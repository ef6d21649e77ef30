"""Listing a store: pages to their end, and what is no listing."""

import json
from collections.abc import Sequence

import pytest

from kheops.archive import store_listing
from kheops.archive.client import ClientLimits
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, KheopsError
from tests.contract.archive.scripted_store import Request, answer, run_scripted

_LIMITS = ClientLimits(first_wait=0.001, longest_wait=0.002, silence=5)


def _page(tag: str, *uids: str) -> bytes:
    body = json.dumps([{tag: {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()
    return answer("200 OK", body, Content_Type="application/dicom+json")


def _studies(*uids: str) -> bytes:
    return _page("0020000D", *uids)


def _series(*uids: str) -> bytes:
    return _page("0020000E", *uids)


NOTHING = answer("204 No Content")


def _listed(script: Sequence[bytes | None]) -> tuple[list[str], list[str]]:
    """Return study/series of what is listed, and the paths that were asked for."""

    async def use(url: str, requests: list[Request]) -> tuple[list[str], list[str]]:
        archive = DicomwebServer(f"{url}/dicom-web", limits=_LIMITS)
        try:
            found = [f"{ref.study_instance_uid}/{ref.series_instance_uid}" async for ref in archive.list_series()]
        finally:
            await archive.aclose()
        return found, [request.line.split()[1].removeprefix("/dicom-web/studies") for request in requests]

    return run_scripted(script, use)


def test_pages_are_asked_for_until_one_is_empty_whatever_their_size() -> None:
    script = [
        *(_studies("1.1", "1.2"), _series("2.1"), _series("2.2"), NOTHING),
        *(_series(), _studies("1.3"), _series("2.3"), _series(), _studies()),
    ]
    found, asked = _listed(script)
    assert found == ["1.1/2.1", "1.1/2.2", "1.3/2.3"]
    assert [path for path in asked if path.startswith("?")] == [f"?limit=250&offset={offset}" for offset in (0, 2, 3)]
    assert asked[1:3] == [f"/1.1/series?limit=250&offset={offset}" for offset in (0, 1)]


def test_store_that_knows_no_offset_is_listed_once() -> None:
    found, _ = _listed([_studies("1.1"), _series("2.1", "2.2"), _series("2.1", "2.2"), _studies("1.1")])
    assert found == ["1.1/2.1", "1.1/2.2"]


def test_series_on_two_pages_is_given_once() -> None:
    found, _ = _listed([_studies("1.1"), _series("2.1", "2.2"), _series("2.2", "2.3"), NOTHING, NOTHING])
    assert found == ["1.1/2.1", "1.1/2.2", "1.1/2.3"]


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
def test_study_that_has_gone_meanwhile_is_passed_over(status: str) -> None:
    found, _ = _listed([_studies("1.1", "1.2"), answer(status), _series("2.2"), NOTHING, NOTHING])
    assert found == ["1.2/2.2"]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([answer("403 Forbidden")], ArchiveProtocolError),
        ([answer("404 Not Found")], ArchiveProtocolError),
        ([answer("200 OK", b"<html>")], ArchiveProtocolError),
        ([_studies("1.1/../..")], ArchiveProtocolError),
        ([_page("00100020", "1.1")], ArchiveProtocolError),
        ([_studies("1.1"), _page("00100020", "1.1")], ArchiveProtocolError),
        ([_studies("1.1"), _studies("1.1")], ArchiveProtocolError),
        ([answer("503 Service Unavailable")], ArchiveUnavailableError),
        ([None], ArchiveUnavailableError),
    ],
)
def test_what_is_no_listing_ends_it(script: list[bytes | None], error: type[KheopsError]) -> None:
    with pytest.raises(error):
        _listed(script)


def test_more_than_searches_can_reach_is_no_whole_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_listing, "_LAST_OFFSET", 1)
    script = [_studies("1.1"), NOTHING, _studies("1.2"), NOTHING, _studies("1.3"), NOTHING]
    with pytest.raises(ArchiveProtocolError):
        _listed(script)
