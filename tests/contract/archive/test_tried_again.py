"""Control answers that break off, and how the Healthcare adapter counts; each store here is a script of answers."""

import asyncio
import json
import time
from collections.abc import Callable

import pytest

from kheops.archive.client import ClientLimits, NoAuthorization
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.archive.port import StoreOutcome
from kheops.errors import ArchiveUnavailableError, UnavailableError
from kheops.ids import SopInstanceUID
from tests.contract.archive.objects import read, stored_object
from tests.contract.archive.real_stores import Adapter
from tests.contract.archive.scripted_store import Request, answer, run_scripted

LIMITS = ClientLimits(first_wait=0.001, longest_wait=0.01, silence=0.5, connect=1)
ITEM = stored_object("CT_small.dcm")
UID = ITEM.ref.sop_instance_uid
STORED = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [UID]}}]}}).encode()
JSON = {"Content_Type": "application/dicom+json"}
NOTHING = answer("204 No Content")


def _google(origin: str) -> Adapter:
    url = f"{origin}/v1/projects/p/locations/l/datasets/d/dicomStores/s"
    return GoogleHealthcare(url, authorization=NoAuthorization(), limits=LIMITS)


def _server(origin: str) -> Adapter:
    return DicomwebServer(f"{origin}/dicomweb", limits=LIMITS)


def _cut(body: bytes) -> bytes:
    """Return an answer of which the last byte never comes."""
    return answer("200 OK", body[:-1], Content_Length=str(len(body)), **JSON)


def _page(*uids: str) -> bytes:
    items = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return answer("200 OK", json.dumps(items).encode(), **JSON)


def _count(number: int) -> bytes:
    return answer("200 OK", json.dumps({"series": "s", "instanceCount": str(number)}).encode())


@pytest.mark.parametrize("new", [_google, _server], ids=["google", "dicomweb"])
def test_batch_whose_answer_breaks_off_is_sent_again(new: Callable[[str], Adapter]) -> None:
    async def use(origin: str, requests: list[Request]) -> tuple[StoreOutcome, list[bytes]]:
        archive = new(origin)
        outcome = await archive.store([ITEM.held])
        await archive.aclose()
        return outcome, [request.body for request in requests]

    script = [_cut(STORED), answer("200 OK", STORED, **JSON)]
    outcome, bodies = run_scripted(script, use, close_after_answer=True)
    assert outcome == StoreOutcome(frozenset({UID}))
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert ITEM.body in bodies[0]


def test_search_that_breaks_off_is_asked_again() -> None:
    async def use(origin: str, requests: list[Request]) -> tuple[frozenset[SopInstanceUID], int]:
        archive = _server(origin)
        found = await archive.inspect_series(ITEM.ref.series)
        await archive.aclose()
        return found, len(requests)

    page = json.dumps([{"00080018": {"vr": "UI", "Value": [UID]}}]).encode()
    found, tries = run_scripted([_cut(page), _page(UID), NOTHING], use, close_after_answer=True)
    assert found == {UID}
    assert tries == 3


def test_search_that_always_breaks_off_is_an_unavailable_store_after_four_tries() -> None:
    async def use(origin: str, requests: list[Request]) -> int:
        archive = _server(origin)
        with pytest.raises(ArchiveUnavailableError):
            await archive.inspect_series(ITEM.ref.series)
        await archive.aclose()
        return len(requests)

    assert run_scripted([_cut(b"[]")], use, close_after_answer=True) == 4


def test_search_that_falls_silent_is_not_asked_again() -> None:
    async def use(origin: str, requests: list[Request]) -> tuple[int, float]:
        archive = _server(origin)
        begun = time.monotonic()
        with pytest.raises(ArchiveUnavailableError):
            await archive.inspect_series(ITEM.ref.series)
        await archive.aclose()
        return len(requests), time.monotonic() - begun

    asked, seconds = run_scripted([_cut(b"[]")], use)
    assert asked == 1
    assert seconds < 2 * LIMITS.silence


def test_broken_download_is_not_asked_for_again() -> None:
    async def use(origin: str, requests: list[Request]) -> int:
        archive = _google(origin)
        stream = await archive.inspect_bytes(ITEM.ref)
        with pytest.raises(ArchiveUnavailableError):
            await read(stream)
        await archive.aclose()
        return len(requests)

    script = [answer("200 OK", b"half", Content_Length="8", Content_Type="application/dicom")]
    assert run_scripted(script, use, close_after_answer=True) == 1


def test_google_s_500_is_tried_again_and_then_unavailable() -> None:
    async def use(origin: str, requests: list[Request]) -> tuple[bytes, tuple[int, int]]:
        archive = _google(origin)
        body = await read(await archive.inspect_bytes(ITEM.ref))
        tries = len(requests)
        with pytest.raises(UnavailableError):
            await archive.store([ITEM.held])
        await archive.aclose()
        return body, (tries, len(requests))

    oops = answer("500 Internal Server Error", b'{"error": {}}')
    found = answer("200 OK", ITEM.body, Content_Type="application/dicom")
    assert run_scripted([oops, found, oops], use) == (ITEM.body, (2, 6))


def _inspected(*script: bytes) -> tuple[frozenset[SopInstanceUID], list[str]]:
    """Return what is found in a series, and the last segments of the paths that were asked for."""

    async def use(origin: str, requests: list[Request]) -> tuple[frozenset[SopInstanceUID], list[str]]:
        archive = _google(origin)
        found = await archive.inspect_series(ITEM.ref.series)
        await archive.aclose()
        return found, [request.line.split()[1].rpartition("/")[2] for request in requests]

    return run_scripted(script, use)


METRICS = f"{ITEM.ref.series_instance_uid}:getSeriesMetrics"


def test_count_that_is_reached_saves_the_last_search() -> None:
    found, asked = _inspected(_page("1.1", "1.2"), _count(2))
    assert found == {"1.1", "1.2"}
    assert asked == ["instances?limit=250&offset=0", METRICS]


def test_empty_series_is_not_counted() -> None:
    assert _inspected(NOTHING) == (frozenset(), ["instances?limit=250&offset=0"])


def test_count_tells_which_pages_there_are() -> None:
    found, asked = _inspected(_page("1.1", "1.2"), _count(4), _page("1.3", "1.4"))
    assert found == {"1.1", "1.2", "1.3", "1.4"}
    assert asked[2:] == ["instances?limit=250&offset=2"]


@pytest.mark.parametrize(
    "count",
    [_count(5), _count(1), answer("403 Forbidden"), answer("200 OK", b"<html>"), answer("200 OK", b"{}")],
    ids=["more", "fewer", "refused", "unreadable", "silent"],
)
def test_whatever_the_count_nothing_that_a_search_finds_is_left_out(count: bytes) -> None:
    pages = [_page("1.1", "1.2"), count]
    if count == _count(5):
        pages += [_page("1.3"), _page("1.3")]  # what the count promises and no search finds
    pages += [_page("1.1", "1.2"), _page("1.3"), NOTHING]
    assert _inspected(*pages)[0] == {"1.1", "1.2", "1.3"}


def test_lost_connection_while_counting_is_an_unavailable_store() -> None:
    async def use(origin: str, _: list[Request]) -> None:
        archive = _google(origin)
        with pytest.raises(ArchiveUnavailableError):
            await archive.inspect_series(ITEM.ref.series)
        await asyncio.wait_for(archive.aclose(), 1)

    run_scripted([_page("1.1"), None], use)


def test_series_of_the_whole_store_are_counted_where_the_store_does() -> None:
    async def use(origin: str, requests: list[Request]) -> tuple[list[int | None], set[str]]:
        archive = _google(origin)
        counts = [await archive.count_series() for _ in range(4)]
        await archive.aclose()
        return counts, {request.line.split()[1] for request in requests}

    said = answer("200 OK", b'{"name": "s", "seriesCount": "7", "instanceCount": "70"}')
    script = [said, answer("403 Forbidden"), answer("200 OK", b"[]"), answer("200 OK", b'{"seriesCount": "x"}')]
    counts, paths = run_scripted(script, use)
    assert counts == [7, None, None, None]
    assert paths == {"/v1/projects/p/locations/l/datasets/d/dicomStores/s:getDICOMStoreMetrics"}


def test_pages_are_not_asked_for_without_end_where_the_count_is_wrong() -> None:
    found, asked = _inspected(_page("1.1"), _count(1_000_000_000), *[NOTHING] * 4, _page("1.1"), NOTHING)
    assert found == {"1.1"}
    assert len(asked) == 8
