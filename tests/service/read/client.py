"""An ASGI client: one request at a time, with a client that may leave, and answers that may be cut."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message

from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of

__all__ = ["Answer", "request"]


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: int = 0
    complete: bool = False
    """Whether the answer was ended as it should be; one that was cut is not."""

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        assert self.complete
        return json.loads(self.body)

    @property
    def parts(self) -> list[tuple[dict[str, str], bytes]]:
        """The parts of a multipart body: headers and data."""
        assert self.complete
        content_type = self.header("content-type")
        assert content_type is not None
        reader = MultipartReader(boundary_of(content_type))
        parts: list[tuple[dict[str, str], bytes]] = []
        for event in reader.feed(self.body):
            if isinstance(event, PartBegin):
                parts.append((dict(event.headers), b""))
            elif isinstance(event, PartData):
                parts[-1] = (parts[-1][0], parts[-1][1] + bytes(event.data))
        reader.close()
        return parts

    @property
    def told(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """All that a caller can tell an answer by, without what differs from call to call."""
        return self.status, sorted(pair for pair in self.headers if pair[0] != "x-request-id"), self.body


async def request(
    app: ASGIApp,
    path: str,
    *,
    method: str = "GET",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    leave_after: int | None = None,
    answer: Answer | None = None,
) -> Answer:
    """Send a request; with ``leave_after`` the client leaves after so many chunks.

    What comes back is put into ``answer`` as it comes, if given.
    """
    raw_path, _, query = path.partition("?")
    fields = dict(headers or {})
    if token is not None:
        fields["authorization"] = f"Bearer {token}"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw_path,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    answer = Answer() if answer is None else answer
    left = asyncio.Event()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            answer.body += message.get("body", b"")
            answer.chunks += 1
            answer.complete = not message.get("more_body", False)
            if leave_after is not None and answer.chunks >= leave_after:
                left.set()
                await asyncio.sleep(0.01)

    await app(scope, receive, send)
    return answer
