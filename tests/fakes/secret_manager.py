"""A fake of the Secret Manager API, version 1, over REST.

It has: ``projects.secrets.versions.list`` (the newest first, pages of two, ``filter=state:ENABLED``) and ``.access``
by number and by ``latest``, which is the newest whatever its state; payloads with CRC-32C; 401 without a bearer token,
403 ``PERMISSION_DENIED``, 404 ``NOT_FOUND``, 400 ``FAILED_PRECONDITION`` for a version that is disabled or destroyed,
503.
It lacks everything that writes: tests change its state directly.

Source: https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from google.api_core.client_options import ClientOptions
from google.auth.credentials import Credentials
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports.rest import (
    SecretManagerServiceRestTransport,
)

from kheops.identity.secret_manager import SecretManager, crc32c
from tests.fakes.google_token import StaticToken
from tests.fakes.loopback import Answer, Asked, serve

__all__ = ["FakeSecretManager", "run_secret_manager"]

_PAGE = 2
_VERSIONS = re.compile(r"/v1/(projects/[^/]+/secrets/[^/]+)/versions(?:/([^/:]+):access)?")


@dataclass(slots=True)
class _Version:
    data: bytes
    made: datetime
    state: str = "ENABLED"
    crc32c: int | None = None


class FakeSecretManager:
    """The service's state."""

    def __init__(self) -> None:
        self.origin = ""
        self.secrets: dict[str, list[_Version]] = {}
        self.asked: list[Asked] = []
        self.denies: set[str] = set()
        self.fails = False

    def add(self, secret: str, value: str | bytes, *, made: datetime) -> None:
        """Add a version to a secret (``projects/P/secrets/S``)."""
        data = value.encode() if isinstance(value, str) else value
        self.secrets.setdefault(secret, []).append(_Version(data, made))

    @property
    def accesses(self) -> int:
        """How many payloads were asked for."""
        return sum(asked.path.endswith(":access") for asked in self.asked)

    def reader(self, credentials: Credentials | None = None) -> SecretManager:
        """Return our reader, on the library's own client and transport."""
        transport = SecretManagerServiceRestTransport(
            host=self.origin.removeprefix("http://"),
            url_scheme="http",
            credentials=credentials or StaticToken(),
        )
        return SecretManager(SecretManagerServiceClient(transport=transport, client_options=ClientOptions()))

    def handle(self, asked: Asked) -> Answer:
        """Answer a request."""
        self.asked.append(asked)
        match = _VERSIONS.fullmatch(asked.path)
        if not asked.headers.get("authorization", "").startswith("Bearer "):
            return _error(401, "UNAUTHENTICATED")
        if self.fails:
            return _error(503, "UNAVAILABLE")
        if match is None or match[1] not in self.secrets:
            return _error(404, "NOT_FOUND")
        if match[1] in self.denies:
            return _error(403, "PERMISSION_DENIED")
        versions = self.secrets[match[1]]
        if match[2] is None:
            return self._list(match[1], versions, asked)
        number = len(versions) if match[2] == "latest" else int(match[2])
        if not 1 <= number <= len(versions):
            return _error(404, "NOT_FOUND")
        version = versions[number - 1]
        if version.state != "ENABLED":
            return _error(400, "FAILED_PRECONDITION")
        checksum = crc32c(version.data) if version.crc32c is None else version.crc32c
        payload = {"data": base64.b64encode(version.data).decode(), "dataCrc32c": str(checksum)}
        return Answer({"name": f"{match[1]}/versions/{number}", "payload": payload})

    def _list(self, secret: str, versions: list[_Version], asked: Asked) -> Answer:
        listed = [
            {
                "name": f"{secret}/versions/{number}",
                "createTime": version.made.isoformat().replace("+00:00", "Z"),
                "state": version.state,
            }
            for number, version in reversed(list(enumerate(versions, 1)))
            if asked.query.get("filter") != "state:ENABLED" or version.state == "ENABLED"
        ]
        start = int(asked.query.get("pageToken") or 0)
        content: dict[str, object] = {"versions": listed[start : start + _PAGE], "totalSize": len(listed)}
        if start + _PAGE < len(listed):
            content["nextPageToken"] = str(start + _PAGE)
        return Answer(content)


def _error(status: int, name: str) -> Answer:
    return Answer({"error": {"code": status, "message": f"{name} of the fake", "status": name}}, status)


@contextmanager
def run_secret_manager() -> Iterator[FakeSecretManager]:
    """Run one."""
    manager = FakeSecretManager()
    with serve(manager.handle) as origin:
        manager.origin = origin
        yield manager
