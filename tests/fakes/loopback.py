"""A small HTTP server on loopback, for fakes of Google's APIs."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

__all__ = ["Answer", "Asked", "serve"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gets: JSON of an object, or a text as it is."""

    content: object
    status: int = 200
    headers: Mapping[str, str] | None = None


class _Server(ThreadingHTTPServer):
    # Five by default: of more that call at once, some were reset.
    request_queue_size = 128


@contextmanager
def serve(handle: Callable[[Asked], Answer]) -> Iterator[str]:
    """Serve on a free port and give the origin."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = handle(Asked(self.command, parts.path, query, headers, body))
            is_text = isinstance(answer.content, str)
            data = str(answer.content).encode() if is_text else json.dumps(answer.content).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (answer.headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815 - the library's names

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
