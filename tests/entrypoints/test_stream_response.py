"""How a stream becomes ASGI messages: whole, cut, or left."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from kheops.errors import ArchiveUnavailableError
from kheops.web.cut import CutError
from kheops.web.pixels import StreamResponse

MIB = 1024 * 1024


class Source:
    """A body of pieces, which may fail after the last one; it notes whether it was closed."""

    def __init__(self, *pieces: bytes, failure: Exception | None = None) -> None:
        self._pieces = pieces
        self._failure = failure
        self.given = 0
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            self.given += 1
            yield piece
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        self.closed = True


class Client:
    """The other side: takes messages, counts whoever waits for it, and may leave after some."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self._leaves_after = leaves_after
        self._left = asyncio.Event()
        self.sent: list[Message] = []
        self.watched = False

    async def receive(self) -> Message:
        self.watched = True
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) == self._leaves_after:
            self._left.set()
        await asyncio.sleep(0)

    @property
    def bodies(self) -> list[tuple[bytes, bool]]:
        return [(message["body"], message["more_body"]) for message in self.sent[1:]]


def _send(source: Source, *, length: int | None, leaves_after: int | None = None, method: str = "GET") -> Client:
    """Let ``source`` be sent; a cut is noted as a last message of our own."""

    async def main() -> Client:
        client = Client(leaves_after=leaves_after)
        response = StreamResponse(
            status=200, headers=[(b"vary", b"Accept")], chunks=source.chunks(), abort=source.abort, length=length
        )
        response.add_headers([(b"vary", b"Origin"), (b"x-request-id", b"1")])
        try:
            await response({"type": "http", "method": method}, client.receive, client.send)
        except CutError:
            client.sent.append({"type": "cut", "body": b"", "more_body": True})
        return client

    return asyncio.run(main())


def test_small_body_goes_out_in_one_message_and_nobody_waits_for_the_client() -> None:
    source = Source(b"abcd")
    client = _send(source, length=4)
    assert client.sent[0]["headers"] == [(b"vary", b"Accept"), (b"x-request-id", b"1")]
    assert client.bodies == [(b"abcd", False)]
    assert not client.watched
    assert source.closed


def test_last_piece_waits_for_the_end_of_the_source() -> None:
    # All bytes are there, but not the word that they are: a malformed end must not look like a whole answer.
    client = _send(Source(b"ab", b"cd", failure=ArchiveUnavailableError()), length=4)
    assert client.bodies == [(b"ab", True), (b"", True)]
    assert client.sent[-1]["type"] == "cut"


@pytest.mark.parametrize("failure", [ArchiveUnavailableError(), ValueError("Words-of-the-store")])
@pytest.mark.parametrize("length", [None, 4, 4 * MIB])
def test_source_that_fails_is_cut(failure: Exception, length: int | None, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(b"ab", failure=failure)
    client = _send(source, length=length)
    assert client.bodies == [(b"ab", True), (b"", True)]
    assert client.sent[-1]["type"] == "cut"
    assert source.closed
    assert "Words-of-the-store" not in "".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("length", [None, 3 * MIB])
def test_body_that_is_large_or_of_unknown_length_stops_when_the_client_leaves(length: int | None) -> None:
    source = Source(*[bytes(MIB // 2)] * 6)
    client = _send(source, length=length, leaves_after=2)
    assert client.watched
    assert source.given < 6
    assert source.closed
    assert client.sent[-1]["type"] == "cut"


@pytest.mark.parametrize("size", [100_000, 4 * MIB])
def test_client_that_takes_nothing_is_cut_and_the_source_closed(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kheops.web.pixels._SEND_SECONDS", 0.05)
    monkeypatch.setattr("kheops.web.pixels._UNWATCHED_SECONDS", 0.05)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def main() -> bool:
        source = Source(bytes(size // 2), bytes(size // 2))
        response = StreamResponse(status=200, headers=[], chunks=source.chunks(), abort=source.abort, length=size)
        with pytest.raises(CutError):
            await response({"type": "http", "method": "GET"}, Client().receive, send)
        return source.closed

    assert asyncio.run(asyncio.wait_for(main(), 2))


@pytest.mark.parametrize("length", [None, 6])
def test_pieces_go_out_in_order(length: int | None) -> None:
    client = _send(Source(b"ab", b"cd", b"ef"), length=length)
    assert b"".join(body for body, _ in client.bodies) == b"abcdef"
    assert [more for _, more in client.bodies].count(False) == 1
    assert client.bodies[-1][1] is False


def test_head_has_the_headers_and_no_body() -> None:
    source = Source(b"abcd")
    client = _send(source, length=4, method="HEAD")
    assert client.bodies == [(b"", False)]
    assert source.given == 0
    assert source.closed


FROZEN = """
import asyncio, gc
from kheops.web.asgi import Application
from kheops.web.collector import WARM_REQUESTS, look_less_often

async def framework(scope, receive, send):
    pass

async def dispatch(call):
    raise AssertionError

async def main():
    app = Application(framework, dispatch)
    counts = []
    for _ in range(WARM_REQUESTS + 1):
        await app({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None)
        counts.append(gc.get_freeze_count())
    return counts

counts = asyncio.run(main())
look_less_often()
print(counts[WARM_REQUESTS - 2], counts[WARM_REQUESTS - 1] > 10_000, gc.get_threshold()[0])
"""


def test_garbage_collector_leaves_alone_what_a_warm_service_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FROZEN], env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["0", "True", "5000"], done.stderr
