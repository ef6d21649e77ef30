"""Between functions-framework and the handlers.

`answer` is what each ``entry`` function awaits: it opens the process, identifies the caller, finds the handler, and
turns errors into answers. `application` is our ASGI wrapper around the framework's app: it owns the lifespan and
does first what the framework would do differently (see ``docs/request-to-decision.md``).
"""

import asyncio
import contextlib
import ipaddress
import random
import re
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Final, Protocol

import functions_framework.aio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kheops.errors import (
    InvalidTokenError,
    KheopsError,
    RouteNotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from kheops.factory import Process, enter_lifespan, leave_lifespan, open_process
from kheops.observability import get_logger
from kheops.web.call import AsgiResponse, Call
from kheops.web.collector import WARM_REQUESTS, keep_what_is_there, look_less_often
from kheops.web.cut import CutError
from kheops.web.errors import problem
from kheops.web.headers import api_headers, disposition, is_preflight, preflight_headers
from kheops.web.observed import ObservedRequest, begin
from kheops.web.opening import Opening
from kheops.web.pixels import StreamResponse
from kheops.web.platform_probes import probe_answer

__all__ = ["Application", "Dispatch", "Refusal", "answer", "application"]

_LOG = get_logger(__name__)

_LINK: Final = re.compile(r"/api/link/([A-Za-z0-9.+=_-]{1,4096})(/.*)?")
_FRAMEWORK_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_REST: Final = 1024 * 1024
"""Bytes of a refused body that are read; they are held no longer than a chunk."""
_REST_SECONDS: Final = 1.0
_EXECUTION_ID: Final = b"function-execution-id"
"""The framework makes one character by character where none is sent, and takes any that a caller sends."""
_LIVENESS: Final = "/api/liveness"
"""Of a process that must not serve, its life still shows: starting it anew would change nothing."""
_FRAMEWORK_ROUTE: Final = "/{path:path}"
"""Where it has the function, behind the paths of its own."""
_FRAMEWORK_KEEPS: Final = frozenset({"/robots.txt", "/favicon.ico"})

Dispatch = Callable[[Call], Awaitable[AsgiResponse]]
"""Finds and runs the handler of a call; raises `RouteNotFoundError` for paths that are not its own."""


class Refusal(Protocol):
    """Makes the answer for an error that comes before or beside the handlers: a problem document, or a page."""

    def __call__(self, error: KheopsError, *, realm: str) -> Response:
        """Return the answer; see `kheops.web.errors.problem`."""


async def answer(
    dispatch: Dispatch, request: Request, *, refusal: Refusal = problem, opening: Opening | None = None
) -> AsgiResponse:
    """Return the answer to a request to one of our services, whatever happens; never raises.

    Parameters
    ----------
    dispatch
        The service's own handlers.
    request
        The request.
    refusal
        What the service answers for an error that no handler of its own has made an answer of.
    opening
        Opens the process object in a way of its own, where the service asks more of the settings than others do.
    """
    probed = await probe_answer(request, opening or open_process)
    if probed is not None:
        return probed
    request_id = f"{random.getrandbits(64):016x}"
    observed = begin(request.scope, request_id)
    if observed is None:
        return await _answer(dispatch, request, request_id, refusal=refusal, opening=opening)
    try:
        response = await _answer(dispatch, request, request_id, observed, refusal=refusal, opening=opening)
    except BaseException as error:
        observed.unanswered(error)
        raise
    return observed.answered_by(response)


async def _answer(
    dispatch: Dispatch,
    request: Request,
    request_id: str,
    observed: ObservedRequest | None = None,
    *,
    refusal: Refusal,
    opening: Opening | None,
) -> AsgiResponse:
    below_api = request.scope["path"].startswith("/api/")
    try:
        process = await (opening or open_process)()
        if request.scope["path"] != _LIVENESS:
            await process.serving.refuse_while_restoring()
    except KheopsError as error:
        _LOG.error("process.not_opened", request_id=request_id, error=type(error).__name__)
        unopened = refusal(UnavailableError(), realm="")
        return _Finished(unopened, api_headers(request.headers, ()), request_id, below_api=below_api)
    headers = api_headers(request.headers, process.settings.allowed_origins)
    if is_preflight(request.method, request.headers):
        preflight = Response(status_code=204)
        allow = preflight_headers(request.headers, process.settings.allowed_origins)
        return _Finished(preflight, allow, request_id, below_api=below_api)
    response = await _respond(dispatch, request, process, request_id, refusal=refusal, observed=observed)
    if isinstance(response, StreamResponse):
        # It knows HEAD itself, and each chunk of it would pass through the wrapper.
        attachment = disposition(response.status, response.headers) if below_api else ()
        response.add_headers([*headers, *attachment, (b"x-request-id", request_id.encode())])
        return response
    return _Finished(response, headers, request_id, below_api=below_api)


async def _respond(
    dispatch: Dispatch,
    request: Request,
    process: Process,
    request_id: str,
    *,
    refusal: Refusal = problem,
    observed: ObservedRequest | None = None,
) -> AsgiResponse:
    realm = process.settings.public_url
    try:
        call = await _call(request, process, request_id)
        if observed is not None:
            observed.call = call
        return await dispatch(call)
    except KheopsError as error:
        if observed is not None:
            observed.refused(error)
        if isinstance(error, UnauthenticatedError):
            reason = error.reason if isinstance(error, InvalidTokenError) else error.code
            _LOG.info("request.unauthenticated", request_id=request_id, granted=False, reason=reason)
        await _read_rest(request)
        return refusal(error, realm=realm)
    except Exception:  # noqa: BLE001 - whatever it is, the caller gets fixed words and the log gets the frames
        _LOG.exception("request.failed", request_id=request_id)
        if observed is not None:
            observed.refused(KheopsError())
        await _read_rest(request)
        return refusal(KheopsError(), realm=realm)


async def _read_rest(request: Request) -> None:
    """Read what is left of a small body before its refusal is sent.

    Granian cuts a connection or resets a stream whose request was answered before its end, and a client that is still
    sending may then never see the answer.
    """
    if request.method not in _WITH_BODY:
        return
    left = _REST
    # RuntimeError: it has been read to its end. ClientDisconnect: nobody waits for the answer.
    with contextlib.suppress(RuntimeError, ClientDisconnect, TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    break


async def _call(request: Request, process: Process, request_id: str) -> Call:
    path = _raw_path(request.scope)
    link_token = None
    below = path
    link = _LINK.fullmatch(path)
    if link is not None:
        link_token, below = link[1], link[2] or "/"
    elif path.startswith("/api/"):
        below = path.removeprefix("/api")
        if below.startswith("/link/"):
            raise RouteNotFoundError
    return Call(
        request=request,
        process=process,
        request_id=request_id,
        source_address=_source_address(request, process.settings.forwarded_hops),
        path=below,
        below_api=path.startswith("/api/"),
        link_token=link_token,
    )


class _Finished:
    """An answer with the headers that every answer carries, without a body where the method was HEAD."""

    def __init__(
        self, inner: AsgiResponse, headers: list[tuple[bytes, bytes]], request_id: str, *, below_api: bool
    ) -> None:
        self._inner = inner
        self._below_api = below_api
        self._headers = [*headers, (b"x-request-id", request_id.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        ended = False

        async def finish(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                attachment = disposition(message["status"], message["headers"]) if self._below_api else ()
                added = [pair for pair in (*self._headers, *attachment) if pair[0] not in present]
                message["headers"] = [*message["headers"], *added]
            elif head and message["type"] == "http.response.body":
                if ended:
                    return
                ended = True
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._inner(scope, receive, finish)


class Application:
    """An ASGI application around functions-framework's app for one ``entry``.

    It owns the lifespan (the framework runs none), and answers before the framework does what the framework keeps to
    itself: ``/robots.txt`` and ``/favicon.ico``, and methods that it does not know.
    """

    def __init__(
        self, framework: ASGIApp, dispatch: Dispatch, refusal: Refusal = problem, opening: Opening | None = None
    ) -> None:
        self._framework = framework
        self._dispatch = dispatch
        self._refusal = refusal
        self._opening = opening
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        self._requests += 1
        if self._requests == WARM_REQUESTS:
            keep_what_is_there()
        try:
            if scope["method"] not in _FRAMEWORK_METHODS or _is_kept(scope["path"]):
                response = await answer(
                    self._dispatch, Request(scope, receive), refusal=self._refusal, opening=self._opening
                )
                await response(scope, receive, send)
            else:
                scope["headers"] = [(_EXECUTION_ID, b"%016x" % random.getrandbits(64)), *scope["headers"]]
                await self._framework(scope, receive, send)
        except CutError:
            return

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        enter_lifespan()
        try:
            await (self._opening or open_process)()
        except KheopsError as error:
            await leave_lifespan()
            await send({"type": "lifespan.startup.failed", "message": str(error) or type(error).__name__})
            return
        look_less_often()
        keep_what_is_there()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await leave_lifespan()
        await send({"type": "lifespan.shutdown.complete"})


def _is_kept(path: str) -> bool:
    """Return whether the framework would answer a path itself: its own ones, and what its pattern does not match."""
    return path in _FRAMEWORK_KEEPS or "\n" in path


def application(
    dispatch: Dispatch, module: ModuleType, *, refusal: Refusal = problem, opening: Opening | None = None
) -> Application:
    """Return the ASGI application of a ``main.py``.

    Parameters
    ----------
    dispatch
        The service's handlers.
    module
        The module itself, already loaded; the framework would load it a second time by its path otherwise.
    refusal, opening
        As for `answer`.
    """
    framework = functions_framework.aio.create_asgi_app_from_module("entry", module.__file__, None, module, None)  # type: ignore[no-untyped-call]
    return Application(_without_routing(framework), dispatch, refusal, opening)


def _without_routing(framework: Starlette) -> ASGIApp:
    """Return the framework's handler of the entry without its routes and middleware, which have nothing left to do.

    `Application` answers before what they tell apart, and `answer` never raises what they would catch; a tenth of a
    frame's CPU went there (see ``docs/adr/0025-framework-handler-without-its-routing.md``).
    """
    handler = next(
        route.endpoint for route in framework.routes if isinstance(route, Route) and route.path == _FRAMEWORK_ROUTE
    )

    async def handled(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    return handled


def _raw_path(scope: Scope) -> str:
    raw = scope.get("raw_path") or scope["path"].encode()
    try:
        text: str = raw.decode("ascii")
    except UnicodeDecodeError:
        raise RouteNotFoundError from None
    return text.partition("?")[0]


def _source_address(request: Request, hops: int) -> str | None:
    """Return the caller's address: the peer's, or what the trusted hops before us say it was."""
    peer = request.client.host if request.client is not None else None
    if hops == 0:
        return peer
    forwarded = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
    entry = forwarded[-hops] if len(forwarded) >= hops else ""
    try:
        return str(ipaddress.ip_address(entry))
    except ValueError:
        return peer
