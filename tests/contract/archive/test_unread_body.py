"""What both adapters make of a store that takes a request's body slowly, or stops to take it; on real connections."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from kheops.archive.client import ClientLimits, NoAuthorization
from kheops.archive.dicomweb_server import DicomwebServer
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.errors import ArchiveUnavailableError
from tests.contract.archive.objects import stored_object
from tests.contract.archive.real_stores import Adapter
from tests.contract.archive.scripted_store import answer

T = TypeVar("T")
PATIENCE = 0.4
LIMITS = ClientLimits(first_wait=0.01, silence=PATIENCE, connect=1)
ITEM = stored_object("CT_small.dcm")
LARGE = replace(ITEM.held, body=bytes(16 * 1024 * 1024))
STORED = answer(
    "200 OK",
    b'{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["%s"]}}]}}' % ITEM.ref.sop_instance_uid.encode(),
    Content_Type="application/dicom+json",
)


def _server(origin: str) -> Adapter:
    return DicomwebServer(f"{origin}/dicomweb", limits=LIMITS)


def _google(origin: str) -> Adapter:
    url = f"{origin}/v1/projects/p/locations/l/datasets/d/dicomStores/s"
    return GoogleHealthcare(url, authorization=NoAuthorization(), limits=LIMITS)


New = Callable[[str], Adapter]
Taking = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[_server, _google], ids=["dicomweb", "google"])
def new(request: pytest.FixtureRequest) -> New:
    made: New = request.param
    return made


async def _takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader, writer
    await asyncio.Event().wait()


async def _begins_to_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 100\r\n\r\n{")
    await _takes_nothing(reader, writer)


async def _takes_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    last = b""
    while not last.endswith(b"\r\n0\r\n\r\n"):
        last = (last + await reader.read(65536))[-16:]
    writer.write(STORED)


async def _takes_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read some of it at a time: all of it takes several times the patience.

    The operating system wakes a sender only when a third of what it holds itself, some MiB, has gone.
    """
    for _ in range(5):
        await asyncio.sleep(PATIENCE / 2)
        await reader.readexactly(2 * 1024 * 1024)
    await _takes_all(reader, writer)


@dataclass
class Seen:
    """What the store saw."""

    connections: int = 0
    descriptors: list[int] = field(default_factory=list)


def _run(new: New, taking: Taking, use: Callable[[Adapter], Awaitable[T]]) -> tuple[T, Seen]:
    async def main() -> tuple[T, Seen]:
        seen = Seen()
        serving: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.connections += 1
            try:
                await reader.readuntil(b"\r\n\r\n")
                await taking(reader, writer)
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.append(asyncio.create_task(serve(reader, writer)))

        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server = await asyncio.start_server(accept, sock=listening)
        archive = new(f"http://127.0.0.1:{listening.getsockname()[1]}")
        seen.descriptors.append(_open_descriptors())
        try:
            result = await asyncio.wait_for(use(archive), 20)
            await asyncio.sleep(0.05)
            seen.descriptors.append(_open_descriptors())
            return result, seen
        finally:
            await archive.aclose()
            server.close()
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    return asyncio.run(main())


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _pieces(count: int, *, pause: float = 0) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause)
        yield bytes(65536)


@pytest.mark.parametrize("taking", [_takes_nothing, _begins_to_answer])
def test_store_that_takes_nothing_of_a_streamed_part_is_unavailable(new: New, taking: Taking) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.store_stream(ITEM.admitted, _pieces(100_000))

    _, seen = _run(new, taking, use)
    assert seen.connections == 1


def test_store_that_takes_nothing_of_a_batch_is_unavailable_and_not_asked_again(new: New) -> None:
    async def use(archive: Adapter) -> None:
        with pytest.raises(ArchiveUnavailableError):
            await archive.store([LARGE])

    _, seen = _run(new, _takes_nothing, use)
    assert seen.connections == 1


def test_connection_of_a_body_that_was_given_up_is_closed_on_our_side(new: New) -> None:
    """A mere close waits until the store has taken what lies ready for it: for ever, here."""

    async def use(archive: Adapter) -> None:
        for _ in range(2):
            with pytest.raises(ArchiveUnavailableError):
                await archive.store([LARGE])

    _, seen = _run(new, _takes_nothing, use)
    before, after = seen.descriptors
    # The store's ends of the two connections are in this process, too.
    assert after - before == 2


def test_store_that_takes_slowly_is_waited_for(new: New) -> None:
    async def use(archive: Adapter) -> frozenset[str]:
        return frozenset((await archive.store_stream(ITEM.admitted, _pieces(200))).stored)

    stored, _ = _run(new, _takes_slowly, use)
    assert stored == {ITEM.ref.sop_instance_uid}


def test_body_whose_pieces_come_slowly_is_no_fault_of_the_store(new: New) -> None:
    async def use(archive: Adapter) -> frozenset[str]:
        return frozenset((await archive.store_stream(ITEM.admitted, _pieces(2, pause=2 * PATIENCE))).stored)

    stored, _ = _run(new, _takes_all, use)
    assert stored == {ITEM.ref.sop_instance_uid}
