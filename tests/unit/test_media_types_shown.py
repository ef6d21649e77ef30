"""What a browser shows of the API's answers, and what it only keeps as a file."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from kheops.errors import ConfigurationError
from kheops.web.asgi import answer
from kheops.web.call import AsgiResponse, Call
from kheops.web.headers import disposition
from kheops.web.pixels import StreamResponse

SHOWN = ["application/dicom+json", "application/json", "application/problem+json; charset=utf-8", "IMAGE/JPEG"]
SHOWN += ['multipart/related; type="image/svg+xml"; boundary=b', "application/octet-stream", "video/mp4"]
KEPT = ["text/html", "image/svg+xml", "text/html; charset=utf-8", "application/xml", "text/xml", "application/pdf"]
KEPT += ["text/plain", "application/xhtml+xml", "application/dicom+xml", "nonsense", "", "image/jpeg2, text/html"]


@pytest.mark.parametrize("media_type", SHOWN)
def test_a_media_type_of_the_list_is_left_to_the_browser(media_type: str) -> None:
    assert disposition(200, [(b"content-type", media_type.encode())]) == ()


@pytest.mark.parametrize("media_type", KEPT)
def test_any_other_media_type_is_an_attachment(media_type: str) -> None:
    assert disposition(200, [(b"content-type", media_type.encode())]) == ((b"content-disposition", b"attachment"),)


def test_a_body_without_a_type_is_an_attachment_and_no_body_is_none() -> None:
    assert disposition(200, [(b"content-length", b"5")])
    assert disposition(200, [])
    assert not disposition(201, [(b"content-length", b"0")])
    for status in (204, 304):
        assert not disposition(status, [])


class _Settings:
    public_url = "https://kheops.example"
    allowed_origins = ()
    forwarded_hops = 0


class _Serving:
    async def refuse_while_restoring(self) -> None:
        pass


class _Process:
    settings = _Settings()
    serving = _Serving()


async def _no_chunks() -> AsyncIterator[bytes]:
    yield b"<script>"


def _streamed(media_type: str) -> AsgiResponse:
    headers = [(b"content-type", media_type.encode())]
    return StreamResponse(status=200, headers=headers, chunks=_no_chunks(), abort=lambda: None, length=8)


def _whole(media_type: str) -> AsgiResponse:
    return Response(b"<script>", media_type=media_type)


def _own_name(media_type: str) -> AsgiResponse:
    return Response(b"", media_type=media_type, headers={"Content-Disposition": 'attachment; filename="a.zip"'})


def _answered(response: AsgiResponse | None, path: str, monkeypatch: pytest.MonkeyPatch) -> dict[bytes, bytes]:
    async def process() -> object:
        if response is None:
            raise ConfigurationError(["a fault"])
        return _Process()

    async def dispatch(call: Call) -> AsgiResponse:
        assert response is not None
        return response

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def run() -> None:
        scope: Scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
        await _call(await answer(dispatch, Request(scope)), scope, receive, send)

    monkeypatch.setattr("kheops.web.asgi.open_process", process)
    asyncio.run(run())
    names = [name for name, _ in sent[0]["headers"]]
    assert len(names) == len(set(names))
    return dict(sent[0]["headers"])


async def _call(response: AsgiResponse, scope: Scope, receive: Receive, send: Send) -> None:
    await response(scope, receive, send)


def test_every_kind_of_answer_of_the_api_is_kept_from_the_browsers_own_ideas(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (_streamed, _whole):
        headers = _answered(make("text/html"), "/api/studies", monkeypatch)
        assert headers[b"content-disposition"] == b"attachment"
        assert b"content-disposition" not in _answered(make("image/png"), "/api/studies", monkeypatch)
        # The pages are HTML, and are meant to be shown.
        assert b"content-disposition" not in _answered(make("text/html"), "/studies", monkeypatch)
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert headers[b"content-security-policy"].startswith(b"sandbox;")
    named = _answered(_own_name("text/html"), "/api/studies", monkeypatch)
    assert named[b"content-disposition"] == b'attachment; filename="a.zip"'


def test_a_process_that_cannot_open_says_so_with_the_same_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = _answered(None, "/api/studies", monkeypatch)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-security-policy"].startswith(b"sandbox;")
    assert headers[b"retry-after"] == b"5"
