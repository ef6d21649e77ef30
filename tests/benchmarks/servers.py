"""The two ways to the same store: nginx with ``auth_request``, and our own data plane; and the store itself."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.allocator import ALLOCATOR
from local.processes import ChildProcess, Processes, answers_http, listens

__all__ = ["BOUNDARY", "Ports", "dicomweb_function", "nginx_with_authorizer", "static_store"]

BOUNDARY = "frames-of-the-benchmark"

_REPOSITORY = Path(__file__).resolve().parents[2]
_UNDER_TEST = ("taskset", "--cpu-list", "0")
_GRANIAN = (
    str(Path(sys.executable).with_name("granian")),
    *("--interface", "asgi", "--http", "auto", "--host", "127.0.0.1"),
    *("--log-level", "warning", "--no-access-log"),
)
_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 10000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""
_STORE = """
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/dicom-web/studies/1\\.2\\.(16|256)\\.[0-9]+/series/[0-9.]+/instances/[0-9.]+/frames/([0-9]+)$ {{
            alias {data}/$1/$2;
            default_type 'multipart/related; type="application/octet-stream"; boundary={boundary}';
        }}
        location ~ ^/dicom-web/studies/1\\.2\\.200000\\.1/series/[0-9.]+/instances/[0-9.]+$ {{
            alias {data}/instance;
            default_type 'multipart/related; type="application/dicom"; boundary={boundary}';
        }}
    }}
"""
# Each location sets every header anew: one `proxy_set_header` in a location drops all that it would inherit, and
# without `Connection ""` nginx opens a connection to the upstream for each request.
_AUTH_REQUEST = """
    upstream store {{ server 127.0.0.1:{store}; keepalive 64; keepalive_requests 10000000; }}
    upstream authorizer {{ server 127.0.0.1:{authorizer}; keepalive 64; keepalive_requests 10000000; }}
    server {{
        listen 127.0.0.1:{port};
        location /api/studies/ {{
            auth_request /authorize;
            error_page 403 =404 /absent;
            proxy_pass http://store/dicom-web/studies/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
            # The cheapest of four settings for frames of both sizes; buffered in 32 KiB pieces, one of 256 KiB took
            # a third more, and the large instance a fifth less.
            proxy_buffering off;
            proxy_buffer_size 64k;
            proxy_buffers 4 64k;
            proxy_busy_buffers_size 64k;
        }}
        location = /authorize {{
            internal;
            proxy_pass http://authorizer;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URI $request_uri;
            proxy_pass_request_body off;
        }}
        location = /absent {{ internal; return 404; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports."""

    store: int
    nginx: int
    authorizer: int
    dicomweb: int


def static_store(processes: Processes, folder: Path, data: Path, ports: Ports) -> ChildProcess:
    """Start nginx as a store that serves prepared multipart bodies, on the CPU of the load."""
    http = _STORE.format(port=ports.store, data=data, boundary=BOUNDARY)
    return _nginx(processes, "store", folder, http, port=ports.store, prefix=())


def nginx_with_authorizer(
    processes: Processes, folder: Path, ports: Ports, environment: Mapping[str, str]
) -> tuple[ChildProcess, ChildProcess]:
    """Start nginx and the authorizer that it asks, both on the CPU under test."""
    authorizer = processes.start(
        "authorizer",
        [*_UNDER_TEST, *_GRANIAN, "--port", str(ports.authorizer), "tests.benchmarks.authorizer:app"],
        ready=lambda: answers_http(f"http://127.0.0.1:{ports.authorizer}/", statuses=(401,)),
        environment={**environment, **ALLOCATOR},
        folder=_REPOSITORY,
    )
    http = _AUTH_REQUEST.format(port=ports.nginx, store=ports.store, authorizer=ports.authorizer)
    return _nginx(processes, "nginx", folder, http, port=ports.nginx, prefix=_UNDER_TEST), authorizer


def dicomweb_function(processes: Processes, ports: Ports, environment: Mapping[str, str]) -> ChildProcess:
    """Start ``functions/dicomweb`` as the image runs it, on the CPU under test."""
    return processes.start(
        "dicomweb",
        [*_UNDER_TEST, *_GRANIAN, "--port", str(ports.dicomweb), "main:app"],
        ready=lambda: answers_http(f"http://127.0.0.1:{ports.dicomweb}/api/studies", statuses=(401,)),
        environment={**environment, **ALLOCATOR},
        folder=_REPOSITORY / "functions" / "dicomweb",
    )


def _nginx(
    processes: Processes, name: str, folder: Path, http: str, *, port: int, prefix: tuple[str, ...]
) -> ChildProcess:
    own = folder / name
    own.mkdir()
    configuration = own / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(_NGINX.format(user=user, folder=own, http=http), "utf-8")
    return processes.start(
        name,
        [*prefix, "nginx", "-p", str(own), "-e", "stderr", "-c", str(configuration)],
        ready=lambda: listens(port),
        environment={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
    )
