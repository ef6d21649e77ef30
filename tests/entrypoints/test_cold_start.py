"""What a service costs before its first request, and that importing anything of ours does nothing else."""

import json
import pkgutil
import subprocess
import sys

import pytest

import kheops
from tests.entrypoints.serving import FUNCTIONS, HTTP_SERVICES

SERVICES = (*HTTP_SERVICES, "events")

MOST = 1.9
"""CPU of importing a service, in times of what it cannot do without: the framework, SQLAlchemy and the settings. Those
are 0.25 to 0.3 s and a service 0.35 to 0.5 s where this project was measured; seconds say little of other machines."""

NEVER = (
    "aiohttp",
    "alembic",
    "google.auth",
    "google.cloud.secretmanager_v1",
    "google.cloud.sql",
    "grpc",
    "numpy",
    "opentelemetry",
    "pydicom",
    "requests",
    "typer",
    "uvicorn",
)
"""No service needs these to start. (jinja2 comes with Flask, which functions-framework imports.)"""
ABSENT = {
    "api": (*NEVER, "httpx", "jwt", "cryptography", "msgspec", "kheops.archive.client", "kheops.web.pages"),
    "dicomweb": (*NEVER, "httpx", "jwt", "cryptography", "kheops.web.pages", "kheops.web.api_service"),
    "events": (
        *(*NEVER, "httpx", "jwt", "cryptography", "kheops.archive.client"),
        *("kheops.web.pages", "kheops.web.dicomweb_service", "kheops.web.api_service"),
    ),
    "web": (*NEVER, "kheops.archive.client", "kheops.web.dicomweb_service", "kheops.web.api_service"),
}

NEEDED = """
import json, time
begun = time.process_time()
import functions_framework.aio, sqlalchemy, pydantic_settings
print(json.dumps({"seconds": time.process_time() - begun}))
"""

MEASURED = """
import json, sys, time
begun = time.process_time()
import main
print(json.dumps({"seconds": time.process_time() - begun, "modules": sorted(sys.modules)}))
"""

WATCHED = """
import importlib, json, sys, threading
from pathlib import Path
seen = []
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.fork", "os.putenv", "os.mkdir", "os.remove", "os.rename")
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(FORBIDDEN):
        frame, ours = sys._getframe(1), ""
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if not ours and not name.startswith("importlib"):
                ours = name
            frame = frame.f_back
        seen.append([event, ours])
import socket, asyncio, logging
before = logging.getLogger().handlers[:]
sys.addaudithook(watch)
sys.dont_write_bytecode = True
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print(json.dumps({"seen": seen, "threads": threads, "handlers": logging.getLogger().handlers == before}))
"""


def _run(code: str, *arguments: str, cwd: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.parametrize("service", SERVICES)
def test_importing_a_service_is_cheap(service: str) -> None:
    # The least of several, taken in turns: a busy machine makes the same work look dearer, never cheaper.
    needed, all_of_it = [], []
    for _ in range(6):
        needed.append(_seconds(NEEDED, service))
        all_of_it.append(_seconds(MEASURED, service))
    assert min(all_of_it) / min(needed) < MOST


def _seconds(code: str, service: str) -> float:
    seconds = _run(code, cwd=str(FUNCTIONS / service))["seconds"]
    assert isinstance(seconds, float)
    return seconds


@pytest.mark.parametrize("service", SERVICES)
def test_service_does_not_import_what_it_does_not_use(service: str) -> None:
    modules = _run(MEASURED, cwd=str(FUNCTIONS / service))["modules"]
    assert isinstance(modules, list)
    assert "kheops.web.asgi" in modules
    assert not set(ABSENT[service]) & set(modules)


def test_importing_any_module_has_no_effect() -> None:
    names = ["kheops", *(module.name for module in pkgutil.walk_packages(kheops.__path__, "kheops."))]
    # Alembic alone may import this one, from inside a migration.
    names.remove("kheops.storage.migrations.env")
    assert len(names) > 100
    told = _run(WATCHED, json.dumps(names), cwd="/")
    assert told == {"seen": [], "threads": [], "handlers": True}
