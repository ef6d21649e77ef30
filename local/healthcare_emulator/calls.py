"""A request and its answer, in ASGI terms, without ever holding a body."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from local.healthcare_emulator.dicom_file import Piece
from local.healthcare_emulator.google_errors import GoogleError

__all__ = ["Call", "ClientGoneError", "allow", "file_pieces"]

_CHUNK: Final = 256 * 1024
"""Bytes read from a file at once."""
_GZIP: Final = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
_DRAINED: Final = 1024 * 1024
"""Bytes of a refused body that are read."""


class ClientGoneError(Exception):
    """The client left before its body was complete, or before ours was."""


class Call:
    """One HTTP request.

    Parameters
    ----------
    scope, receive, send
        ASGI's.
    public_url
        Where clients reach us, if not at the Host that they name.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, public_url: str | None) -> None:
        self.method: str = scope["method"]
        self.path: str = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        self.headers = Headers(scope=scope)
        self.origin = public_url or f"{scope.get('scheme', 'http')}://{self.headers.get('host', 'localhost')}"
        self.received = 0
        """Bytes of the body that have come."""
        self._unread = True
        self._query: str = scope.get("query_string", b"").decode("latin-1")
        self._receive = receive
        self._send = send

    def query(self) -> dict[str, str]:
        """Return the query's parameters; raise `GoogleError` if one comes twice."""
        parameters: dict[str, str] = {}
        for field in self._query.split("&"):
            name, _, value = field.partition("=")
            if not field:
                continue
            name = unquote_plus(name)
            if name in parameters:
                raise GoogleError.bad_request(f"repeated parameter: {name}")
            parameters[name] = unquote_plus(value)
        return parameters

    async def body(self) -> AsyncIterator[bytes]:
        """Give the request's body in pieces; raise `ClientGoneError` if it ends early."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self._unread = bool(message.get("more_body"))
            if message.get("body"):
                self.received += len(message["body"])
                yield message["body"]
            if not self._unread:
                return

    async def drain(self) -> None:
        """Read what is left of a short body: the server closes a connection on which some is."""
        size = 0
        if self._unread:
            async for chunk in self.body():
                size += len(chunk)
                if size > _DRAINED:
                    return

    async def answer(
        self, status: HTTPStatus, body: bytes, content_type: str, *, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with a short body."""
        headers = {**(headers or {}), "Content-Type": content_type}
        if body and self._compresses(content_type):
            body = gzip.compress(body, 1, mtime=0)
            headers |= _GZIP
        await self._start(status, {**headers, "Content-Length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, content_type: str, pieces: Iterator[bytes], *, length: int | None = None) -> None:
        """Answer 200 with a body of any length.

        Parameters
        ----------
        content_type
            Of the body.
        pieces
            The body; raising cuts it.
        length
            Bytes in all; ``None`` sends it chunked.

        Raises
        ------
        ClientGoneError
            If the client leaves before the end.
        """
        headers = {"Content-Type": content_type}
        if self._compresses(content_type):
            headers |= _GZIP
            pieces = _gzipped(pieces)
        elif length is not None:
            headers["Content-Length"] = str(length)
        await self._start(HTTPStatus.OK, headers)
        # The server does not tell a sender that nobody listens any more.
        left = asyncio.ensure_future(self._left())
        try:
            for piece in pieces:
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                if left.done():
                    raise ClientGoneError
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            left.cancel()
            with suppress(asyncio.CancelledError):
                await left

    def _compresses(self, content_type: str) -> bool:
        if not any(kind in content_type for kind in ("json", "xml")):
            return False
        codings = (coding.partition(";") for coding in self.headers.get("accept-encoding", "").split(","))
        return any(name.strip() == "gzip" and "q=0" not in weight.replace("q=0.", "") for name, _, weight in codings)

    async def _left(self) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await self._receive()

    async def _start(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        raw: Sequence[tuple[bytes, bytes]] = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        start: dict[str, Any] = {"type": "http.response.start", "status": int(status), "headers": raw}
        await self._send(start)


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def file_pieces(path: Path, runs: Sequence[Piece]) -> Iterator[bytes]:
    """Give runs of a file's bytes, a little at a time."""
    with path.open("rb") as file:
        for run in runs:
            if run.held is not None:
                yield run.held
                continue
            file.seek(run.offset)
            remaining = run.length
            while remaining:
                data = file.read(min(_CHUNK, remaining))
                if not data:
                    raise OSError("the file is shorter than its index says")
                remaining -= len(data)
                yield data


def allow(call: Call, *methods: str) -> None:
    """Raise a 405 if the request's method is none of ``methods``."""
    if call.method not in methods:
        raise GoogleError(
            HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.", headers={"Allow": ", ".join(sorted(methods))}
        )
