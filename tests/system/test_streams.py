"""Large bodies, on the system as it runs: constant memory, clients that leave, stores that die."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.benchmarks.measuring import tree
from tests.postgres import Server
from tests.system.large_files import LargeFile, peak_rss, reset_peak, retrieve, store
from tests.system.running import System, start_system
from tests.system.streaming_store import (
    BODY_BYTES,
    INSTANCE_PATH,
    NONSENSE,
    StreamingStore,
    Way,
    hold_the_instance,
    running_store,
)

PROTOCOLS = ("http/1.1", "h2c")
MOST_RESIDENT = 200
"""MiB a process, whatever the size of a body."""
MIB = 1024 * 1024
_FORM = "application/x-www-form-urlencoded"


@dataclass
class Streams:
    """A system before a store that does as it is told, and the token of somebody who has its one instance."""

    system: System
    store: StreamingStore
    token: str

    @property
    def url(self) -> str:
        return f"{self.system.url}/api{INSTANCE_PATH}"

    @property
    def log(self) -> str:
        return (self.system.logs / "services.log").read_text("utf-8")


@pytest.fixture(scope="module")
def streams(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    folder: Path = tmp_path_factory.mktemp("streams")
    with running_store() as scripted:
        settings = {"KHEOPS_STORE_KIND": "dicomweb", "KHEOPS_STORE_URL": scripted.url}
        with start_system(postgres, folder, settings=settings) as system:
            hold_the_instance(system, "streamer")
            yield Streams(system, scripted, system.tokens["streamer"])


def _pids_of_services(system: System) -> list[int]:
    return tree(system.services.pid)


def _pids_of_both(system: System) -> list[int]:
    emulator = next(child for child in system.processes._children if child.name == "emulator")
    return [*_pids_of_services(system), *tree(emulator.pid)]


def _wait_for(what: str, happened: object, *, seconds: float) -> float:
    assert callable(happened)
    begun = time.monotonic()
    while not happened():
        assert time.monotonic() - begun < seconds, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - begun


def _at_rest(scripted: StreamingStore) -> int:
    """Return how much the store has sent once no more of it is taken."""
    sent, still = -1, 0
    while still < 3:
        still = still + 1 if sent == scripted.sent else 0
        sent = scripted.sent
        time.sleep(0.3)
    return sent


# Clients that leave or stall --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_client_that_leaves_ends_the_transfer_from_the_store(streams: Streams, protocol: str) -> None:
    streams.store.reset()
    h2c = protocol == "h2c"
    with (
        streams.system.client("streamer", http1=not h2c, http2=h2c) as client,
        client.stream("GET", INSTANCE_PATH) as answer,
    ):
        assert answer.status_code == 200
        pieces, taken = answer.iter_raw(), 0
        while taken < MIB:
            taken += len(next(pieces))
        at_leaving = _at_rest(streams.store)
        assert not streams.store.lost
    _wait_for("the end of the store's connection", lambda: streams.store.lost, seconds=2)
    assert streams.store.sent < BODY_BYTES, "all of it was pulled for nobody"
    assert streams.store.sent - at_leaving <= 8 * MIB


def test_readers_that_stall_hold_little_of_what_they_asked_for(streams: Streams) -> None:
    streams.store.reset()
    pids = _pids_of_services(streams.system)
    reset_peak(pids)
    request = f"GET /api{INSTANCE_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {streams.token}\r\n\r\n".encode()
    with ExitStack() as ending:
        readers = []
        for _ in range(8):
            reader = ending.enter_context(socket.create_connection(("127.0.0.1", streams.system.port), timeout=10))
            reader.sendall(request)
            readers.append(reader)
        for reader in readers:
            assert reader.recv(12) == b"HTTP/1.1 200"
        assert _at_rest(streams.store) < 8 * 64 * MIB, "the readers did not hold the store back"
        assert peak_rss(pids) < MOST_RESIDENT
    _wait_for("the end of the store's connections", lambda: len(streams.store.lost) == 8, seconds=5)


# Stores that die --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["dies", "dies-chunked", "talks-nonsense", "dies-unmarked"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_store_that_dies_in_mid_body_never_makes_a_complete_answer(streams: Streams, protocol: str, way: Way) -> None:
    streams.store.reset(way)
    before = len(streams.log)
    answer = retrieve(streams.url, streams.token, protocol=protocol, accept="*/*")
    assert answer.status == 200
    assert 0 < answer.size <= streams.store.dies_after
    # 18: partial file; 56: connection reset; 92: HTTP/2 stream not closed cleanly.
    assert answer.exit_code in ({92} if protocol == "h2c" else {18, 56})
    log = streams.log[before:]
    assert '"stream.cut"' in log
    for words in (NONSENSE.decode(), "payload", "Traceback", "ContentLength", streams.store.url, "1.2.3"):
        assert words not in log
    streams.store.reset()
    again = retrieve(streams.url, streams.token, protocol=protocol, accept="*/*")
    assert (again.exit_code, again.status) == (0, 200)
    assert again.size > BODY_BYTES


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whole_body_of_a_store_is_a_whole_answer(streams: Streams, protocol: str) -> None:
    streams.store.reset()
    pids = _pids_of_services(streams.system)
    reset_peak(pids)
    begun = time.monotonic()
    answer = retrieve(streams.url, streams.token, protocol=protocol)
    assert (answer.exit_code, answer.status, answer.size) == (0, 200, BODY_BYTES)
    assert time.monotonic() - begun < 20
    assert peak_rss(pids) < MOST_RESIDENT
    assert not streams.store.lost


# Storing and retrieving, through both of our own servers -----------------------------------------------------------


def _store_and_retrieve(system: System, protocol: str, size: int, *, seconds: float) -> None:
    file = LargeFile.of(size)
    pids = _pids_of_both(system)
    with system.client("bulk") as client:
        assert client.get("/studies").status_code == 200
    token = system.tokens["bulk"]
    reset_peak(pids)
    begun = time.monotonic()
    stored = store(f"{system.url}/api/studies", token, file, protocol=protocol)
    assert (stored.exit_code, stored.status) == (0, 200), stored.body
    after_storing = peak_rss(pids)
    back = retrieve(f"{system.url}/api{file.path}", token, protocol=protocol)
    assert (back.exit_code, back.status, back.size) == (0, 200, file.size)
    assert back.digest == file.digest()
    assert time.monotonic() - begun < seconds
    print(f"{protocol} {size // MIB} MiB: {time.monotonic() - begun:.1f} s, {after_storing}, {peak_rss(pids)} MiB")
    assert after_storing < MOST_RESIDENT
    assert peak_rss(pids) < MOST_RESIDENT


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pain_80_bodies_of_200_mb_are_stored_and_retrieved_in_constant_memory(system: System, protocol: str) -> None:
    _store_and_retrieve(system, protocol, 200_000_000, seconds=60)


@pytest.mark.long
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pain_80_bodies_of_1_gib_are_stored_and_retrieved_in_constant_memory(system: System, protocol: str) -> None:
    _store_and_retrieve(system, protocol, 1024 * MIB, seconds=300)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("/studies", 'multipart/related; type="application/dicom"; boundary=b'), ("/albums", _FORM)],
    ids=["upload", "form"],
)
def test_body_whose_transfer_coding_is_malformed_is_a_bad_request(system: System, path: str, media_type: str) -> None:
    with system.client("bulk") as client:
        client.get("/studies").raise_for_status()
    head = (
        f"POST /api{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.tokens['bulk']}\r\n"
        f"Content-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    before = len((system.logs / "services.log").read_text("utf-8"))
    with socket.create_connection(("127.0.0.1", system.port), timeout=10) as connection:
        connection.sendall(head.encode() + b"5\r\n--b\r\n\r\nno size\r\n")
        answer = b""
        while b"}" not in answer:
            received = connection.recv(65536)
            assert received, answer
            answer += received
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:kheops:problem:client-gone" in answer
    assert '"request.failed"' not in (system.logs / "services.log").read_text("utf-8")[before:]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_small_upload_that_is_refused_gets_its_answer(system: System, protocol: str) -> None:
    refused = store(f"{system.url}/api/studies", "no.good.token", LargeFile.of(100_000), protocol=protocol)
    assert (refused.exit_code, refused.status) == (0, 401)
    assert b"invalid-token" in refused.body


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_large_upload_that_is_refused_is_not_read_to_its_end(system: System, protocol: str) -> None:
    # Granian closes a connection whose request was answered before its end; curl may find that out before it has read
    # the answer (exit codes 55, 92).
    refused = store(f"{system.url}/api/studies", "no.good.token", LargeFile.of(200_000_000), protocol=protocol)
    assert refused.status in {401, 0}
    assert refused.fed < 50_000_000


def test_h2c_and_http1_are_told_apart_by_the_same_port(system: System) -> None:
    with (
        system.client("bulk", http1=False, http2=True) as h2c,
        system.client("bulk") as http1,
    ):
        assert h2c.get("/studies").http_version == "HTTP/2"
        assert http1.get("/studies").http_version == "HTTP/1.1"
    assert httpx.get(f"{system.url}/api/readiness", trust_env=False).http_version == "HTTP/1.1"
