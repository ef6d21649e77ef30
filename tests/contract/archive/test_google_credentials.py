import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from kheops.archive.client import ClientLimits
from kheops.archive.google_credentials import GoogleCredentials
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.errors import ArchiveUnavailableError
from tests.contract.archive.objects import stored_object
from tests.contract.archive.real_stores import RealStore
from tests.contract.archive.scripted_store import Request, answer, run_scripted
from tests.fakes.metadata_server import MetadataServer, run_metadata_server

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Source:
    """Gives out numbered tokens of an hour; counts, takes its time, fails when told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls = 0
        self.fails = False

    def __call__(self) -> tuple[str, datetime]:
        time.sleep(0.02)
        self.calls += 1
        if self.fails:
            raise RuntimeError("no token today")
        return f"t{self.calls}", self.clock.now + HOUR


def _with_source(use: Callable[[GoogleCredentials, Source, Clock], object]) -> None:
    clock = Clock()
    source = Source(clock)

    async def main() -> None:
        result = use(GoogleCredentials(source, clock=clock), source, clock)
        assert asyncio.iscoroutine(result)
        await result

    asyncio.run(main())


def test_one_fetch_serves_all_who_wait() -> None:
    async def use(credentials: GoogleCredentials, source: Source, clock: Clock) -> None:
        values = await asyncio.gather(*(credentials.value() for _ in range(50)))
        assert set(values) == {"Bearer t1"}
        clock.now += timedelta(minutes=54)
        assert await credentials.value() == "Bearer t1"
        assert source.calls == 1

    _with_source(use)


def test_token_is_renewed_in_the_background_before_its_end() -> None:
    async def use(credentials: GoogleCredentials, source: Source, clock: Clock) -> None:
        await credentials.value()
        clock.now += timedelta(minutes=56)
        assert [await credentials.value() for _ in range(20)] == ["Bearer t1"] * 20
        await asyncio.sleep(0.1)
        assert await credentials.value() == "Bearer t2"
        assert source.calls == 2

    _with_source(use)


def test_failed_renewal_keeps_the_token_until_its_end_and_is_not_tried_each_time() -> None:
    async def use(credentials: GoogleCredentials, source: Source, clock: Clock) -> None:
        await credentials.value()
        source.fails = True
        clock.now += timedelta(minutes=56)
        for _ in range(5):
            assert await credentials.value() == "Bearer t1"
            await asyncio.sleep(0.05)
        assert source.calls == 2
        clock.now += timedelta(minutes=5)
        with pytest.raises(ArchiveUnavailableError):
            await credentials.value()
        source.fails = False
        assert await credentials.value() == "Bearer t4"

    _with_source(use)


def test_cancelled_waiter_does_not_take_the_token_from_the_others() -> None:
    async def use(credentials: GoogleCredentials, source: Source, clock: Clock) -> None:
        del clock
        first = asyncio.create_task(credentials.value())
        second = asyncio.create_task(credentials.value())
        await asyncio.sleep(0.005)
        first.cancel()
        assert await second == "Bearer t1"
        assert source.calls == 1

    _with_source(use)


def test_refused_token_is_replaced_once() -> None:
    async def use(credentials: GoogleCredentials, source: Source, clock: Clock) -> None:
        value = await credentials.value()
        assert value is not None
        assert credentials.reject(value) is False, "a token of this moment is not fetched again"
        clock.now += timedelta(minutes=1)
        assert credentials.reject(value) is True
        assert await credentials.value() == "Bearer t2"
        assert credentials.reject(value) is True, "another is there already"
        assert source.calls == 2

    _with_source(use)


def test_request_refused_with_401_is_sent_again_with_a_new_token() -> None:
    clock = Clock()
    source = Source(clock)

    async def use(origin: str, requests: list[Request]) -> list[str]:
        archive = GoogleHealthcare(
            f"{origin}/v1/projects/p/locations/l/datasets/d/dicomStores/s",
            authorization=GoogleCredentials(source, clock=clock),
        )
        assert await archive.ready()
        clock.now += timedelta(minutes=1)
        assert await archive.inspect_instance(stored_object("CT_small.dcm").ref)
        await archive.aclose()
        return [request.headers["Authorization"] for request in requests]

    script = [answer("200 OK"), answer("401 Unauthorized"), answer("200 OK", b"[{}]")]
    assert run_scripted(script, use) == ["Bearer t1", "Bearer t1", "Bearer t2"]


def test_permanent_401_does_not_fetch_tokens_for_each_request() -> None:
    clock = Clock()
    source = Source(clock)

    async def use(origin: str, requests: list[Request]) -> int:
        archive = GoogleHealthcare(
            f"{origin}/v1/projects/p/locations/l/datasets/d/dicomStores/s",
            authorization=GoogleCredentials(source, clock=clock),
            limits=ClientLimits(),
        )
        for _ in range(5):
            assert await archive.ready() is False
        await archive.aclose()
        return len(requests)

    assert run_scripted([answer("401 Unauthorized")], use) == 5
    assert source.calls == 1


def test_google_auth_takes_its_token_from_the_emulator(healthcare: RealStore) -> None:
    """In a process of its own: google-auth reads the environment when it is imported."""
    host = healthcare.root.split("/")[2]
    program = (
        "import asyncio\n"
        "from kheops.archive.google_healthcare import GoogleHealthcare\n"
        "async def main():\n"
        f"    archive = GoogleHealthcare({healthcare.root.removesuffix('/dicomWeb')!r})\n"
        "    print(await archive.ready())\n"
        "    await archive.aclose()\n"
        "asyncio.run(main())\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "GCE_"))},
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        "HOME": "/nonexistent",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_token_that_is_about_to_end_is_not_fetched_with_each_request() -> None:
    clock = Clock()
    source = Source(clock)

    async def main() -> None:
        credentials = GoogleCredentials(lambda: (source()[0], clock.now + timedelta(minutes=4)), clock=clock)
        for _ in range(5):
            await credentials.value()
            await asyncio.sleep(0.05)
        assert source.calls == 1
        clock.now += timedelta(seconds=11)
        await credentials.value()
        await asyncio.sleep(0.1)
        assert source.calls == 2

    asyncio.run(main())


def test_source_that_does_not_answer_is_waited_for_no_longer_than_told() -> None:
    released = threading.Event()

    def source() -> tuple[str, datetime]:
        released.wait(10)
        return "late", START + HOUR

    async def main() -> None:
        credentials = GoogleCredentials(source, clock=Clock(), patience=0.1)
        with pytest.raises(ArchiveUnavailableError):
            await credentials.value()
        released.set()
        await asyncio.sleep(0.1)
        assert await credentials.value() == "Bearer late"

    asyncio.run(main())


_WITH_METADATA = """
import asyncio, json, sys
from kheops.archive.google_credentials import GoogleCredentials
from kheops.errors import ArchiveUnavailableError
async def main():
    credentials = GoogleCredentials(patience=float(sys.argv[1]))
    async def one():
        try:
            return await credentials.value()
        except ArchiveUnavailableError:
            return "unavailable"
    first = await asyncio.gather(*(one() for _ in range(50)))
    await asyncio.sleep(0.2)
    later = [await one() for _ in range(50)]
    print(json.dumps([sorted(set(first)), sorted(set(later))]))
asyncio.run(main())
"""


def _with_metadata(server: MetadataServer, patience: float = 20) -> list[list[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "GCE_"))}
    done = subprocess.run(
        [sys.executable, "-c", _WITH_METADATA, str(patience)],
        env={**environment, **server.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[list[str]] = json.loads(done.stdout)
    return told


def test_default_credentials_ask_the_metadata_server_once_for_a_hundred_requests() -> None:
    with run_metadata_server() as server:
        first, later = _with_metadata(server)
        assert first == later
        assert first[0].startswith("Bearer ya29.fake-")
        assert server.tokens_asked_for == 1


def test_metadata_server_that_holds_its_answer_back_is_not_waited_for() -> None:
    with run_metadata_server() as server:
        server.release.clear()
        threading.Timer(3, server.release.set).start()
        first, _ = _with_metadata(server, patience=0.2)
        assert first == ["unavailable"]
