"""A process that is told to end lets the answers that are under way come to theirs, and closes nothing before."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from local.processes import Processes, listens
from tests.entrypoints import serving

APPLICATION = """
import asyncio

from kheops.web.cut import CutError
from kheops.web.pixels import StreamResponse

PIECES, PIECE = 15, b"x" * 100_000


async def pieces():
    for _ in range(PIECES):
        await asyncio.sleep(0.1)
        yield PIECE


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("closed", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    response = StreamResponse(status=200, headers=[], chunks=pieces(), abort=lambda: None, length=None)
    try:
        await response(scope, receive, send)
    except CutError:
        print("cut", flush=True)
        return
    print("ended", flush=True)
"""
"""The response is ours; what stands around it is as little as an ASGI application can be."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl speaks HTTP/2 without TLS, httpx does not")
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_stream_that_is_under_way_at_sigterm_arrives_whole(tmp_path: Path, version: str) -> None:
    (tmp_path / "main.py").write_text(APPLICATION, "utf-8")
    port = serving._free_port()
    with Processes(tmp_path / "logs") as processes:
        child = processes.start(
            "ending",
            serving._command("granian", port),
            ready=lambda: listens(port),
            environment={},
            folder=tmp_path,
        )
        body = tmp_path / "body"
        url = f"http://127.0.0.1:{port}/"
        with subprocess.Popen(["curl", "-sS", "--noproxy", "*", version, "-o", str(body), url]) as client:
            time.sleep(0.5)
            assert 0 < body.stat().st_size < 1_500_000, "it is under way"
            child.popen.send_signal(signal.SIGTERM)
            assert client.wait(20) == 0
        assert body.stat().st_size == 1_500_000
        assert child.popen.wait(10) == 0
        assert child.log.read_text("utf-8").split() == ["ended", "closed"]
