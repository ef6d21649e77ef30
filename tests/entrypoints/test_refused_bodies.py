"""What is read of a body that nobody wants: enough for its sender to get the answer, and no more."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.types import Message

from kheops.errors import RouteNotFoundError
from kheops.factory import Process
from kheops.web.asgi import _respond
from kheops.web.call import AsgiResponse, Call

PIECE = 64 * 1024
MIB = 1024 * 1024


def _refused(
    method: str,
    pieces: int,
    *,
    stalls: bool = False,
    reads_first: bool = False,
    failure: Callable[[], Exception] = RouteNotFoundError,
) -> tuple[AsgiResponse, int]:
    """Return the answer to a request that is refused, and how many bytes of its body were read."""
    read = 0

    async def receive() -> Message:
        nonlocal read
        if stalls or read == pieces * PIECE:
            await asyncio.Event().wait()
        read += PIECE
        return {"type": "http.request", "body": bytes(PIECE), "more_body": read < pieces * PIECE}

    async def dispatch(call: Call) -> AsgiResponse:
        if reads_first:
            await call.request.body()
        raise failure()

    async def main() -> AsgiResponse:
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": "/api/studies",
            "query_string": b"",
            "headers": [],
            "client": None,
        }
        settings = SimpleNamespace(public_url="https://kheops.example", forwarded_hops=0)
        process = cast("Process", SimpleNamespace(settings=settings))
        answering: Awaitable[AsgiResponse] = _respond(dispatch, Request(scope, receive), process, "1")
        return await asyncio.wait_for(answering, 5)

    return asyncio.run(main()), read


@pytest.mark.parametrize("failure", [RouteNotFoundError, ValueError])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_small_body_is_read_to_its_end(method: str, failure: Callable[[], Exception]) -> None:
    response, read = _refused(method, 4, failure=failure)
    assert cast("Any", response).status_code == (404 if failure is RouteNotFoundError else 500)
    assert read == 4 * PIECE


def test_large_body_is_not_read_to_its_end() -> None:
    _, read = _refused("POST", 1000)
    assert read <= MIB + PIECE


def test_body_that_does_not_come_is_not_waited_for() -> None:
    response, _ = _refused("POST", 4, stalls=True)
    assert cast("Any", response).status_code == 404


def test_body_that_was_read_is_not_waited_for_again() -> None:
    _, read = _refused("POST", 4, reads_first=True)
    assert read == 4 * PIECE


def test_request_without_a_body_is_not_read() -> None:
    _, read = _refused("GET", 4)
    assert read == 0
