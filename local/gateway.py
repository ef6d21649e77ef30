"""Every HTTP handler of ``functions/`` in one process under one public address, as the load balancer does it.

It also does what a scheduler does elsewhere, the purge among it, unless ``LOCAL_PURGE`` is ``by-hand``: tests of the
purge have it to themselves.

Which path goes to which service is the routing of the URL map: the data plane has ``/api/studies``, ``/api/series``,
``/api/instances`` and ``/api/wado`` (and the same below ``/api/link/{token}``), the control plane the rest of
``/api`` and ``/.well-known``, the web pages everything else.
"""

import asyncio
import importlib.util
import os
import re
import sys
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kheops.factory import open_process
from kheops.jobs.maintenance import maintain_forever

_FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"
_DATA_PLANE = re.compile(r"/api(?:/link/[^/]+)?/(?:studies|series|instances|wado)(?:/.*)?")
_CONTROL_PLANE = re.compile(r"/api(?:/.*)?|/\.well-known/.*")


def _load(service: str) -> ASGIApp:
    # Each folder's module is called `main` and its function `entry`, and the framework registers by those names: so
    # they are loaded one after the other, at start.
    spec = importlib.util.spec_from_file_location("main", _FUNCTIONS / service / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["main"] = module
    spec.loader.exec_module(module)
    app: ASGIApp = module.app
    return app


def _http_services() -> list[str]:
    """Return the folders of HTTP handlers; `events` takes CloudEvents and has no public address."""
    return sorted(path.parent.name for path in _FUNCTIONS.glob("*/main.py") if path.parent.name != "events")


class Gateway:
    """Dispatches by path; runs all lifespans, and the scheduled work that the cloud's scheduler does."""

    def __init__(self) -> None:
        self._services = {name: _load(name) for name in _http_services()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        await self._services[service_of(scope)](scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        stops: list[asyncio.Event] = []
        tasks: list[asyncio.Task[None]] = []
        for app in self._services.values():
            stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
            tasks.append(asyncio.create_task(_run_lifespan(app, scope, stop, started)))
            stops.append(stop)
            failure = await started
            if failure is not None:
                await send({"type": "lifespan.startup.failed", "message": failure})
                return
        process = await open_process()
        scheduled = [
            asyncio.create_task(maintain_forever(process, purges=os.environ.get("LOCAL_PURGE") != "by-hand")),
            asyncio.create_task(process.outbox.run_forever()),
        ]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in scheduled:
            task.cancel()
        for stop in stops:
            stop.set()
        await asyncio.gather(*tasks, *scheduled, return_exceptions=True)
        await send({"type": "lifespan.shutdown.complete"})


async def _run_lifespan(
    app: ASGIApp, scope: Scope, stop: asyncio.Event, started: "asyncio.Future[str | None]"
) -> None:
    begun = False

    async def receive() -> Message:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "lifespan.startup"}
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set_result(None)
        elif message["type"] == "lifespan.startup.failed":
            started.set_result(message.get("message", ""))

    await app(scope, receive, send)


def service_of(scope: Scope) -> str:
    """Return which service a request goes to."""
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
    if _DATA_PLANE.fullmatch(path):
        return "dicomweb"
    if _CONTROL_PLANE.fullmatch(path):
        return "api"
    return "web"


app = Gateway()
