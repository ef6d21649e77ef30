"""What both adapters make of faults that a sound store does not show; each store here is a script of raw answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from kheops.archive.client import ClientLimits, NoAuthorization, StoreClient
from kheops.archive.dicomweb_server import BasicAuthorization, DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError, NotAcceptableError
from tests.contract.archive.objects import in_pieces, read, stored_object
from tests.contract.archive.real_stores import Adapter
from tests.contract.archive.scripted_store import Request, answer, run_scripted

T = TypeVar("T")
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
LIMITS = ClientLimits(first_wait=0.01, longest_wait=0.5, silence=1, connect=1)
STORE = "/v1/projects/p/locations/l/datasets/d/dicomStores/s"
ITEM = stored_object("CT_small.dcm")
FOUND = answer("200 OK", b"--b\r\n\r\ndata\r\n--b--\r\n", Content_Type="multipart/related; boundary=b")
STORED = json.dumps(
    {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [ITEM.ref.sop_instance_uid]}}]}}
).encode()


def _server(origin: str, client: StoreClient | None) -> Adapter:
    return DicomwebServer(f"{origin}/dicomweb", limits=LIMITS, client=client)


def _google(origin: str, client: StoreClient | None) -> Adapter:
    return GoogleHealthcare(f"{origin}{STORE}", authorization=NoAuthorization(), limits=LIMITS, client=client)


@pytest.fixture(params=[_server, _google], ids=["dicomweb", "google"])
def new(request: pytest.FixtureRequest) -> Callable[[str, StoreClient | None], Adapter]:
    made: Callable[[str, StoreClient | None], Adapter] = request.param
    return made


New = Callable[[str, StoreClient | None], Adapter]


def _run(
    new: New,
    script: list[bytes | None],
    use: Callable[[Adapter], Awaitable[T]],
    *,
    close: bool = False,
    client: StoreClient | None = None,
) -> tuple[T, list[Request]]:
    async def main(origin: str, requests: list[Request]) -> tuple[T, list[Request]]:
        archive = new(origin, client)
        try:
            return await use(archive), requests
        finally:
            await archive.aclose()

    return run_scripted(script, main, close_after_answer=close)


async def _collect(stream: ArchiveStream, seen: list[bytes]) -> None:
    async for chunk in stream.chunks():
        seen.append(chunk)  # noqa: PERF401 - extend keeps nothing of a stream that fails


@pytest.mark.parametrize(
    "broken",
    [
        answer("200 OK", b"half of it", Content_Type=DICOM + "; boundary=b", Content_Length="100"),
        answer("200 OK", b"a\r\nhalf of i\r\n", Content_Type=DICOM + "; boundary=b", Transfer_Encoding="chunked"),
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\nConnection: close\r\n\r\n--b\r\n\r\ndata",
    ],
    ids=["length", "chunked", "boundary"],
)
def test_answer_that_ends_early_is_an_unavailable_store(new: New, broken: bytes) -> None:
    seen: list[bytes] = []

    async def use(archive: Adapter) -> None:
        stream = await archive.open_series(ITEM.readable_series, accept=DICOM)
        with pytest.raises(ArchiveUnavailableError):
            await _collect(stream, seen)

    _run(new, [broken], use, close=True)
    assert seen


def test_single_part_that_ends_early_is_an_unavailable_store() -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nA: b\r\n\r\ndata"

    async def use(archive: Adapter) -> None:
        stream = await archive.inspect_bytes(ITEM.ref)
        with pytest.raises(ArchiveUnavailableError):
            await read(stream)

    _run(_server, [broken], use, close=True)


def test_complete_answer_without_a_length_is_read_to_its_end(new: New) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\r\ndata\r\n--b--\r\n"

    async def use(archive: Adapter) -> bytes:
        return await read(await archive.open_series(ITEM.readable_series, accept=DICOM))

    seen, _ = _run(new, [whole], use, close=True)
    assert seen.endswith(b"--b--\r\n")


def test_json_whose_end_nothing_marks_is_refused(new: New) -> None:
    unmarked = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n[]"

    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.open_instance_metadata(ITEM.readable)

    _run(new, [unmarked], use, close=True)


def test_encoded_body_is_refused(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.open_instance_metadata(ITEM.readable)

    _run(new, [answer("200 OK", b"x", Content_Encoding="gzip")], use)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable", "502 Bad Gateway"])
def test_read_is_tried_again_when_the_store_is_busy(new: New, status: str) -> None:
    async def use(archive: Adapter) -> bytes:
        return await read(await archive.open_series(ITEM.readable_series, accept=DICOM))

    seen, requests = _run(new, [answer(status), answer(status), FOUND], use)
    assert b"data" in seen
    assert len(requests) == 3


def test_read_is_tried_again_after_a_lost_connection(new: New) -> None:
    async def use(archive: Adapter) -> bytes:
        return await read(await archive.open_series(ITEM.readable_series, accept=DICOM))

    seen, requests = _run(new, [None, FOUND], use)
    assert b"data" in seen
    assert len(requests) == 2


def test_store_that_stays_busy_is_unavailable_after_four_tries(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.open_series(ITEM.readable_series, accept=DICOM)

    _, requests = _run(new, [answer("429 Too Many Requests")], use)
    assert len(requests) == 4


def test_retry_after_is_waited_for_within_bounds(new: New) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    limits = ClientLimits(first_wait=0.01, longest_wait=3)
    busy = answer("429 Too Many Requests", Retry_After="2")

    async def use(archive: Adapter) -> None:
        await (await archive.open_series(ITEM.readable_series, accept=DICOM)).chunks().__anext__()

    client = StoreClient(NoAuthorization(), limits=limits, sleep=sleep)
    _run(new, [busy, FOUND], use, client=client)
    assert waits == [2]


def test_retry_after_beyond_bounds_is_passed_on_at_once(new: New) -> None:
    async def use(archive: Adapter) -> int:
        with pytest.raises(ArchiveUnavailableError) as caught:
            await archive.open_series(ITEM.readable_series, accept=DICOM)
        return caught.value.retry_after

    seconds, requests = _run(new, [answer("503 Service Unavailable", Retry_After="120")], use)
    assert seconds == 120
    assert len(requests) == 1


def test_silent_store_is_unavailable_and_not_asked_again(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.open_series(ITEM.readable_series, accept=DICOM)

    _, requests = _run(new, [b"HTTP/1.1 200 OK\r\n"], use)
    assert len(requests) == 1


@pytest.mark.parametrize("asked", ["metadata", "search", "lookup"])
def test_answer_that_needs_little_work_has_to_begin_soon(new: New, asked: str) -> None:
    asking: dict[str, Callable[[Adapter], Awaitable[object]]] = {
        "metadata": lambda archive: archive.open_series_metadata(ITEM.readable_series),
        "search": lambda archive: archive.inspect_series(ITEM.ref.series),
        "lookup": lambda archive: archive.inspect_instance(ITEM.ref),
    }

    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await asyncio.wait_for(asking[asked](archive), 10)

    client = StoreClient(NoAuthorization(), limits=ClientLimits(silence=30, prompt=0.5))
    _, requests = _run(new, [b"HTTP/1.1 200 OK\r\n"], use, client=client)
    assert len(requests) == 1


def test_object_may_take_its_time_to_begin(new: New) -> None:
    """Some stores read a whole file before they send the first byte of it."""

    async def use(archive: Adapter) -> None:
        for opening in (
            archive.open_series(ITEM.readable_series, accept=DICOM),
            archive.open_frames(ITEM.readable, [1], accept=DICOM),
            archive.store([ITEM.held]),
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(opening, 0.3)

    client = StoreClient(NoAuthorization(), limits=ClientLimits(silence=30, prompt=0.1))
    _run(new, [b"HTTP/1.1 200 OK\r\n"], use, client=client)


def test_store_that_is_silent_is_soon_not_ready(new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kheops.archive.dicomweb_store._READY_SECONDS", 0.05)

    async def use(archive: Adapter) -> bool:
        return await asyncio.wait_for(archive.ready(), 0.5)

    ready, _ = _run(new, [b"HTTP/1.1 200 OK\r\n"], use)
    assert ready is False


def test_store_that_is_not_there_is_unavailable_and_not_ready(new: New) -> None:
    async def main() -> bool:
        archive = new("http://127.0.0.1:9", None)
        with pytest.raises(ArchiveUnavailableError):
            await archive.open_series(ITEM.readable_series, accept=DICOM)
        with pytest.raises(ArchiveUnavailableError):
            await archive.store([ITEM.held])
        ready = await archive.ready()
        await archive.aclose()
        return ready

    assert asyncio.run(main()) is False


def test_redirect_is_not_followed(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.open_series(ITEM.readable_series, accept=DICOM)

    _, requests = _run(new, [answer("302 Found", Location="/elsewhere"), FOUND], use)
    assert len(requests) == 1


@pytest.mark.parametrize("status", ["501 Oops", "401 Unauthorized", "206 Partial Content", "418 Teapot"])
def test_unexpected_status_is_a_protocol_error_that_says_nothing_of_the_body(new: New, status: str) -> None:
    async def use(archive: Adapter) -> str:
        with pytest.raises(ArchiveProtocolError) as caught:
            await archive.open_series(ITEM.readable_series, accept=DICOM)
        return str(caught.value)

    text, _ = _run(new, [answer(status, b"Doe^John 1.2.3")], use)
    assert "Doe" not in text
    assert "1.2.3" not in text


def test_read_has_exactly_the_allowed_headers_and_path() -> None:
    ref = ITEM.ref
    path = (
        f"/dicomweb/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}/frames/1,2"
    )

    async def use(archive: Adapter) -> None:
        await (await archive.open_frames(ITEM.readable, [1, 2], accept=DICOM)).chunks().__anext__()

    authorization = BasicAuthorization(user="u", password="p")
    _, (request,) = _run(_server, [FOUND], use, client=StoreClient(authorization, limits=LIMITS))
    assert request.line == f"GET {path} HTTP/1.1"
    assert {name: value for name, value in request.headers.items() if name != "Host"} == {
        "Accept": DICOM,
        "Accept-Encoding": "identity",
        "User-Agent": "kheops",
        "Authorization": "Basic dTpw",
    }


def test_batch_has_exactly_the_allowed_headers_and_its_length(new: New) -> None:
    async def use(archive: Adapter) -> None:
        await archive.store([ITEM.held, ITEM.held])

    _, (request,) = _run(new, [answer("200 OK", STORED)], use)
    assert request.line.endswith("/studies HTTP/1.1")
    assert set(request.headers) == {
        "Host",
        "Accept",
        "Accept-Encoding",
        "User-Agent",
        "Content-Type",
        "Content-Length",
    }
    assert request.headers["Accept"] == "application/dicom+json"
    assert request.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert request.body.count(ITEM.body) == 2


def test_batch_is_sent_again_as_a_whole(new: New) -> None:
    async def use(archive: Adapter) -> frozenset[str]:
        return frozenset((await archive.store([ITEM.held])).stored)

    stored, requests = _run(new, [answer("503 Busy"), None, answer("200 OK", STORED)], use)
    assert stored == {ITEM.ref.sop_instance_uid}
    assert [request.body.count(ITEM.body) for request in requests] == [1, 1, 1]


def test_stream_is_sent_once(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.store_stream(ITEM.admitted, in_pieces(ITEM.body))

    for script in ([answer("503 Busy")], [None]):
        _, requests = _run(new, list[bytes | None](script), use)
        assert len(requests) == 1
        assert requests[0].headers["Transfer-Encoding"] == "chunked"


def test_stream_has_a_connection_of_its_own_and_short_requests_share_one(new: New) -> None:
    async def use(archive: Adapter) -> None:
        await archive.store([ITEM.held])
        await archive.store_stream(ITEM.admitted, in_pieces(ITEM.body))
        await archive.store([ITEM.held])
        await archive.store_stream(ITEM.admitted, in_pieces(ITEM.body))

    _, requests = _run(new, [answer("200 OK", STORED)], use)
    assert [request.connection for request in requests] == [0, 1, 0, 2]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "404 Not Found", "415 Unsupported"])
def test_store_that_refuses_the_whole_request_is_a_protocol_error(new: New, status: str) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.store([ITEM.held])

    _run(new, [answer(status)], use)


def test_stored_instances_are_believed_at_status_400_without_content_type(new: New) -> None:
    async def use(archive: Adapter) -> frozenset[str]:
        return frozenset((await archive.store([ITEM.held])).stored)

    stored, _ = _run(new, [answer("400 Bad Request", STORED)], use)
    assert stored == {ITEM.ref.sop_instance_uid}


def test_stream_to_a_store_that_answers_early_ends(new: New) -> None:
    """A store that refuses at the first byte must not be sent a gigabyte."""

    async def main() -> int:
        sent = 0

        async def endless() -> object:
            nonlocal sent
            while True:
                sent += 1
                yield bytes(65536)
                await asyncio.sleep(0)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer("415 Unsupported Media Type"))
            await reader.read(-1)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        archive = new(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        with pytest.raises(ArchiveProtocolError):
            await asyncio.wait_for(archive.store_stream(ITEM.admitted, endless()), 5)  # type: ignore[arg-type]
        before = sent
        await asyncio.sleep(0.1)
        assert sent == before
        await archive.aclose()
        server.close()
        return sent

    assert asyncio.run(main()) < 10_000


# Ranges and parts ------------------------------------------------------------------------------------------------


def test_range_of_bulk_data_is_passed_on_where_the_store_honours_it() -> None:
    partial = answer(
        "206 Partial Content", b"abc", Content_Range="bytes 0-2/9", Content_Type="application/octet-stream"
    )

    async def use(archive: Adapter) -> tuple[int, str | None, bytes]:
        stream = await archive.open_bulkdata(
            ITEM.readable, "7FE00010", accept="application/octet-stream", byte_range="bytes=0-2"
        )
        return stream.status, stream.content_range, await read(stream)

    seen, (request,) = _run(_google, [partial], use)
    assert seen == (206, "bytes 0-2/9", b"abc")
    assert request.headers["Range"] == "bytes=0-2"


def test_range_beyond_the_end_is_ignored() -> None:
    script: list[bytes | None] = [answer("416 Range Not Satisfiable"), answer("200 OK", b"abc")]

    async def use(archive: Adapter) -> tuple[int, bytes]:
        stream = await archive.open_bulkdata(
            ITEM.readable, "7FE00010", accept="application/octet-stream", byte_range="bytes=10-20"
        )
        return stream.status, await read(stream)

    seen, requests = _run(_google, script, use)
    assert seen == (200, b"abc")
    assert "Range" not in requests[1].headers


def test_several_parts_where_one_was_asked_for_are_cut() -> None:
    """Chunked, so that no length tells beforehand."""
    body = b"--b\r\nA: b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"
    first, rest = body[:20], body[20:]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (first, rest, b""))
    several = answer("200 OK", chunked, Content_Type="multipart/related; boundary=b", Transfer_Encoding="chunked")

    async def use(archive: Adapter) -> None:
        # Whether the second part is seen at once depends on how the bytes arrive.
        with pytest.raises((ArchiveProtocolError, NotAcceptableError)):
            await read(
                await archive.open_bulkdata(
                    ITEM.readable, "bulk/7fe00010", accept="application/octet-stream", byte_range=None
                )
            )

    _run(_server, [several], use)


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_lengths_tell_one_part_from_several_before_any_of_them_is_read(end: bytes) -> None:
    large = bytes(1_000_000)
    head = b"--b\r\nContent-Length: %d\r\n\r\n" % len(large)
    one = head + large + b"\r\n--b--" + end
    two = head + large + b"\r\n--b\r\n\r\nmore\r\n--b--" + end

    async def use(archive: Adapter) -> bytes:
        stream = await archive.inspect_bytes(ITEM.ref)
        assert stream.content_length == len(large)
        first = await read(stream)
        with pytest.raises(NotAcceptableError):
            await archive.inspect_bytes(ITEM.ref)
        return first

    script = [answer("200 OK", body, Content_Type="multipart/related; boundary=b") for body in (one, two)]
    first, _ = _run(_server, list[bytes | None](script), use)
    assert first == large


# Google ----------------------------------------------------------------------------------------------------------

FORBIDDEN = answer("403 Forbidden", b'[{"error":{"code":403}}]')


def test_403_is_absence_while_the_store_can_be_searched() -> None:
    async def use(archive: Adapter) -> bool:
        return await archive.inspect_instance(ITEM.ref)

    there, requests = _run(_google, [FORBIDDEN, answer("204 No Content")], use)
    assert there is False
    assert requests[1].line == f"GET {STORE}/dicomWeb/instances?limit=1 HTTP/1.1"


def test_403_is_no_absence_when_our_permission_is_lost() -> None:
    async def use(archive: Adapter) -> None:
        for asked in (archive.inspect_instance(ITEM.ref), archive.inspect_series(ITEM.ref.series)):
            with pytest.raises(ArchiveProtocolError):
                await asked
        with pytest.raises(ArchiveProtocolError):
            await archive.delete_instance(ITEM.ref)

    _run(_google, [FORBIDDEN], use)


def test_403_is_no_absence_while_the_store_is_too_busy_to_say() -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.inspect_instance(ITEM.ref)

    _run(_google, [FORBIDDEN, answer("503 Busy")], use)


def test_deletion_that_we_may_not_do_is_no_success() -> None:
    """Our account may read but not delete: DELETE is 403, the search probe works, the instance is still there."""
    script = [FORBIDDEN, answer("204 No Content"), answer("200 OK", b"[{}]")]

    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.delete_instance(ITEM.ref)

    _run(_google, list[bytes | None](script), use)


def _operation(text: bytes) -> bytes:
    return answer("200 OK", b'{"name":"projects/p/locations/l/datasets/d/operations/77"' + text + b"}")


def test_operation_is_polled_to_its_end() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def new(origin: str, client: StoreClient | None) -> Adapter:
        return GoogleHealthcare(
            f"{origin}{STORE}", authorization=NoAuthorization(), limits=LIMITS, client=client, sleep=sleep
        )

    async def use(archive: Adapter) -> None:
        await archive.delete_series(ITEM.ref.series)

    script = [_operation(b""), _operation(b""), _operation(b',"done":false'), _operation(b',"done":true')]
    _, requests = _run(new, list[bytes | None](script), use)
    assert [request.line for request in requests[1:]] == [
        "GET /v1/projects/p/locations/l/datasets/d/operations/77 HTTP/1.1"
    ] * 3
    assert waits == [0.5, 1, 2]


@pytest.mark.parametrize(
    "begun",
    [
        _operation(b',"done":true,"error":{"code":13}'),
        answer("200 OK", b'{"name":"projects/other/locations/l/datasets/d/operations/77"}'),
        answer("200 OK", b'{"name":"projects/p/locations/l/datasets/d/operations/../../x"}'),
        answer("200 OK", b"no JSON"),
    ],
)
def test_operation_that_fails_or_is_none_of_ours_is_a_protocol_error(begun: bytes) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.delete_series(ITEM.ref.series)

    _, requests = _run(_google, [begun], use)
    assert len(requests) == 1


def test_search_answer_that_is_not_dicom_json_is_a_protocol_error(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveProtocolError):
            await archive.inspect_series(ITEM.ref.series)

    for body in (b"<html>", b'[{"00080018":{"Value":["no uid"]}}]', b'{"a":1}'):
        _run(new, [answer("200 OK", body)], use)


@pytest.mark.parametrize("frames", [[], [0], [1, -1]])
def test_frame_numbers_that_cannot_be_are_not_asked_for(new: New, frames: list[int]) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveAbsentError):
            await archive.open_frames(ITEM.readable, frames, accept=DICOM)

    _, requests = _run(new, [FOUND], use)
    assert requests == []


def test_absent_by_404_needs_no_probe(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveAbsentError):
            await archive.open_series(ITEM.readable_series, accept=DICOM)

    _, requests = _run(new, [answer("404 Not Found")], use)
    assert len(requests) == 1
