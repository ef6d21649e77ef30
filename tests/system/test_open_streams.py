"""How many answers one person has open at once, on the system as it runs."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.postgres import Server
from tests.system.running import System, start_system
from tests.system.streaming_store import INSTANCE_PATH, StreamingStore, hold_the_instance, running_store

LIMIT = 3
WAIT = 1.0


@dataclass
class Streams:
    """A system before a store that streams, with one instance that two people have."""

    system: System
    store: StreamingStore

    def status_of(self, sub: str) -> int:
        """Return the status with which the instance is answered to somebody who reads nothing more of it."""
        with self.system.client(sub) as client, client.stream("GET", INSTANCE_PATH) as answer:
            return answer.status_code

    @contextmanager
    def stalled_readers(self, sub: str, count: int) -> Iterator[list[socket.socket]]:
        """Have so many answers begun for somebody, of whom nothing more is read."""
        request = (
            f"GET /api{INSTANCE_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.system.tokens[sub]}\r\n\r\n"
        )
        with ExitStack() as ending:
            readers = []
            for _ in range(count):
                reader = ending.enter_context(socket.create_connection(("127.0.0.1", self.system.port), timeout=10))
                reader.sendall(request.encode())
                assert reader.recv(12) == b"HTTP/1.1 200"
                readers.append(reader)
            yield readers


@pytest.fixture(scope="module")
def streams(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    folder: Path = tmp_path_factory.mktemp("open-streams")
    with running_store() as scripted:
        settings = {
            "KHEOPS_STORE_KIND": "dicomweb",
            "KHEOPS_STORE_URL": scripted.url,
            "KHEOPS_STREAMS_PER_PERSON": str(LIMIT),
            "KHEOPS_STREAM_WAIT_SECONDS": str(WAIT),
        }
        with start_system(postgres, folder, settings=settings) as system:
            hold_the_instance(system, "hoarder", "neighbour")
            yield Streams(system, scripted)


@pytest.mark.parametrize("h2c", [False, True])
def test_person_with_too_many_open_answers_is_told_to_wait_and_nobody_else_is(streams: Streams, *, h2c: bool) -> None:
    with streams.stalled_readers("hoarder", LIMIT):
        with streams.system.client("hoarder", http1=not h2c, http2=h2c) as client:
            begun = time.monotonic()
            refused = client.get(INSTANCE_PATH)
            assert time.monotonic() - begun >= WAIT
            unknown = client.get("/studies/1.2.3/series/1.2.3.1/instances/9.9.9")
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["type"] == "urn:kheops:problem:too-many-requests"
        # Waiting comes before looking: what is hidden or absent answers alike.
        assert (unknown.status_code, unknown.json()) == (429, refused.json())
        assert streams.status_of("neighbour") == 200
        with streams.system.client("hoarder") as client:
            assert client.get("/studies").status_code == 200


def test_answer_waits_for_another_one_of_the_same_person_to_end(streams: Streams) -> None:
    with ThreadPoolExecutor(1) as pool, streams.stalled_readers("hoarder", LIMIT) as readers:
        waiting = pool.submit(streams.status_of, "hoarder")
        time.sleep(WAIT / 4)
        assert not waiting.done()
        readers[0].close()
        assert waiting.result(WAIT) == 200


def test_places_are_free_again_after_ends_cuts_refusals_and_leaving(streams: Streams) -> None:
    with streams.stalled_readers("hoarder", LIMIT):
        pass
    _free_again(streams)
    with streams.system.client("hoarder") as client:
        for _ in range(LIMIT + 1):
            assert client.get("/studies/1.2.3/series/1.2.3.1/instances/9.9.9").status_code == 404
            assert client.head(INSTANCE_PATH).status_code == 200
        streams.store.body_bytes = 100_000
        for _ in range(LIMIT + 1):
            assert client.get(INSTANCE_PATH).status_code == 200
        streams.store.reset("dies")
        for _ in range(LIMIT + 1):
            with pytest.raises(httpx.HTTPError):
                client.get(INSTANCE_PATH)
    streams.store.reset()
    _free_again(streams)


def _free_again(streams: Streams) -> None:
    with streams.stalled_readers("hoarder", LIMIT):
        pass
