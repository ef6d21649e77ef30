"""A store that serves one large instance as a test wants it: slowly, forever, or only half.

It has no DICOM and no search: every instance is the same multipart body of zeros. It counts what it sent and notes
when the connection of a body was lost, which no real server tells.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.system.running import System

__all__ = ["BODY_BYTES", "INSTANCE_PATH", "StreamingStore", "Way", "hold_the_instance", "running_store"]

Way = Literal["whole", "dies", "dies-chunked", "talks-nonsense", "dies-unmarked"]
"""How a body ends: as it should; short of its Content-Length; in the middle of a chunked coding; with a chunk size
that is none; or, of a body whose end only the connection's marks, without the close delimiter."""

BODY_BYTES: Final = 200_000_000
INSTANCE_PATH: Final = "/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
_HEAD: Final = b"--zeros\r\nContent-Type: application/dicom\r\n\r\n"
_TAIL: Final = b"\r\n--zeros--\r\n"
_PIECE: Final = bytes(256 * 1024)
NONSENSE: Final = b"Nonsense-of-the-store"


@dataclass
class StreamingStore:
    """What a test sets, and what it may look at."""

    url: str = ""
    way: Way = "whole"
    body_bytes: int = BODY_BYTES
    dies_after: int = 20_000_000
    sent: int = 0
    """Bytes of bodies that the operating system took, of all connections."""
    lost: list[float] = field(default_factory=list)
    """When (monotonic) a connection was lost before its body was out."""

    def reset(self, way: Way = "whole") -> None:
        """Forget what was."""
        self.way, self.sent, self.body_bytes = way, 0, BODY_BYTES
        self.lost.clear()


async def _serve(store: StreamingStore, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0]
            if b"/instances/" not in line:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n[]")
                await writer.drain()
            elif not await _body(store, writer):
                break
    writer.close()


async def _body(store: StreamingStore, writer: asyncio.StreamWriter) -> bool:
    length = len(_HEAD) + store.body_bytes + len(_TAIL)
    chunked = store.way in {"dies-chunked", "talks-nonsense"}
    framing = (
        b"Transfer-Encoding: chunked"
        if chunked
        else b"Connection: close"
        if store.way == "dies-unmarked"
        else b"Content-Length: %d" % length
    )
    writer.write(
        b'HTTP/1.1 200 OK\r\nContent-Type: multipart/related; type="application/dicom"; boundary=zeros\r\n'
        + framing
        + b"\r\n\r\n"
    )
    limit = length if store.way == "whole" else store.dies_after
    left = min(limit, len(_HEAD) + store.body_bytes) - len(_HEAD)
    piece = _HEAD
    try:
        while piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            store.sent += len(piece)
            piece = _PIECE[: min(len(_PIECE), left)]
            left -= len(piece)
        if store.way == "whole":
            writer.write(_TAIL)
            await writer.drain()
            return True
        if store.way == "talks-nonsense":
            writer.write(NONSENSE + b"\r\n")
            await writer.drain()
    except ConnectionError:
        store.lost.append(time.monotonic())
    return False


def hold_the_instance(system: System, *subs: str) -> None:
    """Put the store's instance into the catalog and into the inboxes of people, as if they had stored it."""
    for sub in subs:
        with system.client(sub) as client:
            client.get("/studies").raise_for_status()
    system.run_sql(
        "INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, confirmed_at, updated_at, "
        "number_of_instances) VALUES ('1.2.3', '1.2.3.1', 'confirmed', now(), now(), now(), 1)"
    )
    system.run_sql(
        "INSERT INTO instances (series_pk, sop_instance_uid, state, created_at, confirmed_at) "
        "SELECT pk, '1.2.3.1.1', 'confirmed', now(), now() FROM series"
    )
    system.run_sql(
        "INSERT INTO album_series (album_pk, series_pk, added_at) "
        "SELECT u.inbox_pk, s.pk, now() FROM users u, series s WHERE u.sub = ANY (:subs)",
        subs=list(subs),
    )


@contextmanager
def running_store() -> Iterator[StreamingStore]:
    """Run a store on a free loopback port, on a thread of its own."""
    store = StreamingStore()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(lambda reader, writer: _serve(store, reader, writer), "127.0.0.1", 0)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    store.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dicom-web"
    try:
        yield store
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
