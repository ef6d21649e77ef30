"""A store that answers with the bytes that a test wrote down: for faults that no real server makes on demand.

It has no DICOM: it reads a request to the end of its body, keeps it, sends the next answer of its script, and closes
the connection where the script says so.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Request", "answer", "run_scripted"]

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Which connection it came on, counted from 0."""


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of an answer; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run_scripted(
    script: Iterable[bytes | None],
    use: Callable[[str, list[Request]], Awaitable[T]],
    *,
    close_after_answer: bool = False,
) -> T:
    """Call ``use`` with the address of a scripted store and the requests that it gets.

    The script's last answer is repeated; ``None`` closes the connection without one.
    """
    answers = list(script)

    async def main() -> T:
        requests: list[Request] = []
        connections = itertools.count()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = next(connections)
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await _read(reader, connection)
                    requests.append(request)
                    reply = answers[min(len(requests), len(answers)) - 1]
                    if reply is None:
                        break
                    writer.write(reply)
                    await writer.drain()
                    if close_after_answer:
                        break
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await use(f"http://127.0.0.1:{port}", requests)
        finally:
            server.close()

    return asyncio.run(main())


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.strip().split("\r\n")
    headers = {name: value.strip() for name, _, value in (entry.partition(":") for entry in fields)}
    body = b""
    if "Content-Length" in headers:
        body = await reader.readexactly(int(headers["Content-Length"]))
    elif headers.get("Transfer-Encoding") == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    return Request(line, headers, body, connection)
