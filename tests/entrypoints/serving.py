"""One HTTP service of ``functions/``, started from its own folder, on a real PostgreSQL and before no store at all."""

import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx

from local.processes import Processes, answers_http, listens
from tests.fakes.jwks_server import FakeIssuer

__all__ = ["FUNCTIONS", "HTTP_SERVICES", "Served", "Start", "environment", "serve"]

Start = Literal["granian", "functions-framework"]

FUNCTIONS: Final = Path(__file__).resolve().parents[2] / "functions"
HTTP_SERVICES: Final = tuple(
    sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py") if path.parent.name != "events")
)
_BIN: Final = Path(sys.executable).parent


@dataclass(frozen=True)
class Served:
    """A running service."""

    url: str
    log: Path

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a request of nothing but these headers."""
        with httpx.Client(trust_env=False, timeout=20) as client:
            return client.request(method, f"{self.url}{path}", headers=dict(headers or {}))


def environment(database_url: str, issuer: FakeIssuer, **more: str) -> dict[str, str]:
    """Return the settings of a service."""
    trusted = [
        {
            "issuer": issuer.issuer,
            "audiences": ["kheops"],
            "access_token_typ": "at+jwt",
            "client_id": "kheops-web",
        }
    ]
    return {
        "KHEOPS_PUBLIC_URL": "http://127.0.0.1:1",
        "KHEOPS_DATABASE_URL": database_url,
        "KHEOPS_STORE_KIND": "dicomweb",
        "KHEOPS_STORE_URL": "http://127.0.0.1:9/dicom-web",
        "KHEOPS_ISSUERS": json.dumps(trusted),
        "KHEOPS_TOKEN_PEPPER": "pepper-of-the-tests-0123456789abcdef",
        "KHEOPS_SESSION_KEY": "session-key-of-the-tests-0123456789",
        "KHEOPS_ALLOWED_ORIGINS": "https://viewer.example",
        **more,
    }


@contextmanager
def serve(service: str, start: Start, settings: Mapping[str, str], logs: Path) -> Iterator[Served]:
    """Start a service from its folder and end it at the end."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with Processes(logs) as processes:
        child = processes.start(
            f"{service}-{start}",
            _command(start, port),
            # The plain command opens nothing before its first request, which is for the tests to send.
            ready=(lambda: answers_http(f"{url}/robots.txt", statuses=(200, 404, 401)))
            if start == "granian"
            else (lambda: listens(port)),
            environment=settings,
            folder=FUNCTIONS / service,
        )
        yield Served(url, child.log)


def _command(start: Start, port: int) -> list[str]:
    if start == "granian":
        return [
            str(_BIN / "granian"),
            *("--interface", "asgi", "--http", "auto", "--host", "127.0.0.1", "--port", str(port)),
            *("--log-level", "warning", "--no-access-log", "main:app"),
        ]
    return [
        str(_BIN / "functions-framework"),
        *("--source", "main.py", "--target", "entry", "--host", "127.0.0.1", "--port", str(port)),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
