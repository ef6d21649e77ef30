"""A fake of Compute Engine's metadata server, for google-auth.

It has: the root that detection pings; ``instance/service-accounts/default/`` with ``recursive=true``; ``token``, with
``scopes``; ``universe/universe-domain``; the header ``Metadata-Flavor`` in answers, and 403 without it in requests;
one token handed out again until five minutes before its end. It lacks identity tokens and everything else.

Source: https://cloud.google.com/compute/docs/access/authenticate-workloads and
https://cloud.google.com/compute/docs/metadata/querying-metadata.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.loopback import Answer, Asked, serve

__all__ = ["MetadataServer", "run_metadata_server"]

_FLAVOR = {"Metadata-Flavor": "Google"}
_ROOT = "/computeMetadata/v1"
_KEPT_UNTIL = 300
"""Seconds before a token's end from which another is given out."""


class MetadataServer:
    """The server's state. ``lifetime`` is in seconds; ``fails`` makes it answer 503; ``holds`` keeps answers back."""

    def __init__(self) -> None:
        self.origin = ""
        self.lifetime = 3600.0
        self.fails = False
        self.release = threading.Event()
        self.release.set()
        self.asked: list[Asked] = []
        self._issued: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """What points google-auth here; it reads that when it is imported."""
        host = self.origin.removeprefix("http://")
        return {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": "/nonexistent"}

    @property
    def tokens_asked_for(self) -> int:
        """How many requests for a token came."""
        return sum(asked.path.endswith("/token") for asked in self.asked)

    def handle(self, asked: Asked) -> Answer:
        """Answer a request."""
        with self._lock:
            self.asked.append(asked)
        if asked.path == "/":
            return Answer("computeMetadata/\n", headers=_FLAVOR)
        if asked.headers.get("metadata-flavor") != "Google":
            return Answer("Missing required header: Metadata-Flavor", 403, _FLAVOR)
        self.release.wait(30)
        if self.fails:
            return Answer("unavailable", 503, _FLAVOR)
        if asked.path == f"{_ROOT}/universe/universe-domain":
            return Answer("googleapis.com", headers=_FLAVOR)
        account = f"{_ROOT}/instance/service-accounts/default/"
        if asked.path == account:
            content = {"aliases": ["default"], "email": "kheops@p.iam.gserviceaccount.com", "scopes": ["cloud"]}
            return Answer(content, headers=_FLAVOR)
        if asked.path in {
            f"{account}token",
            f"{_ROOT}/instance/service-accounts/{'kheops@p.iam.gserviceaccount.com'}/token",
        }:
            return Answer(self._token(asked.query.get("scopes", "")), headers=_FLAVOR)
        return Answer("not found", 404, _FLAVOR)

    def _token(self, scopes: str) -> dict[str, object]:
        with self._lock:
            token, ends = self._issued.get(scopes, ("", 0.0))
            if ends - time.monotonic() <= min(_KEPT_UNTIL, self.lifetime / 2):
                ends = time.monotonic() + self.lifetime
                token = f"ya29.fake-{len(self.asked)}"
                self._issued[scopes] = (token, ends)
            return {"access_token": token, "expires_in": int(ends - time.monotonic()), "token_type": "Bearer"}


@contextmanager
def run_metadata_server() -> Iterator[MetadataServer]:
    """Run one."""
    server = MetadataServer()
    with serve(server.handle) as origin:
        server.origin = origin
        yield server
        server.release.set()
