"""A real HTTP server on loopback that keeps what it was sent, for tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

__all__ = ["Got", "Receiver", "receiver"]


@dataclass(frozen=True)
class Got:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What arrived, and what is answered."""

    port: int = 0
    got: list[Got] = field(default_factory=list)
    status: int = 200
    statuses: list[int] = field(default_factory=list)
    """Of the next answers; then ``status``."""
    answer: bytes = b"thanks"
    headers: dict[str, str] = field(default_factory=dict)
    hold: Callable[[], None] = lambda: None
    """Called before an answer is sent."""
    connected: Callable[[int], object] = lambda port: None
    """Called with the port that a request came from."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def destination(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            kept.got.append(Got(self.command, self.path, headers, body))
            kept.connected(self.client_address[1])
            status = kept.statuses.pop(0) if kept.statuses else kept.status
            kept.hold()
            try:
                self.send_response(status)
                for name, value in kept.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(kept.answer)))
                self.end_headers()
                self.wfile.write(kept.answer)
            except (BrokenPipeError, ConnectionResetError):
                return

        do_GET = do_POST = _any  # noqa: N815 - the base class's names

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
