"""A scene for each kind of store, and a page of another origin."""

import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.postgres import Server
from tests.system.clients.scene import Scene, set_scene


class _Quiet(SimpleHTTPRequestHandler):
    @override
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Page:
    """A site of its own origin, with whatever files its folder has."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.origin = f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Give the site whose pages may call."""
    folder = tmp_path_factory.mktemp("page")
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a, **k: _Quiet(*a, directory=str(folder), **k))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Page(folder, server.server_port)
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(scope="session", params=["emulator", "orthanc"])
def scene(
    request: pytest.FixtureRequest, postgres: Server, tmp_path_factory: pytest.TempPathFactory, page: Page
) -> Iterator[Scene]:
    """Give the scene over each store in turn."""
    with set_scene(
        postgres, tmp_path_factory.mktemp(f"clients-{request.param}"), store=request.param, origin=page.origin
    ) as running:
        yield running
        text = running.system.log_text()
    assert not [secret[:12] for secret in running.system.secrets_used if secret in text], "logs contain tokens"
