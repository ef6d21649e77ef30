"""A site of another origin than the system, on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typing_extensions import override

__all__ = ["Page", "serve"]


class _Quiet(SimpleHTTPRequestHandler):
    @override
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Page:
    """A site of its own origin, with whatever files its folder has."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.origin = f"http://127.0.0.1:{port}"


@contextmanager
def serve(folder: Path) -> Iterator[Page]:
    """Serve a folder until the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Page(folder, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
