"""The two functions over HTTP, with a real database and an issuer that signs real tokens."""

import asyncio
import importlib.util
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import httpx
import pytest

from kheops import factory
from tests.fakes.jwks_server import FakeIssuer, SigningKey
from tests.service.control.world import World

__all__ = ["KEY", "PUBLIC_URL", "Served", "environment", "serve"]

T = TypeVar("T")

PUBLIC_URL = "https://kheops.example.org"
KEY = SigningKey("control")


@cache
def function(name: str) -> ModuleType:
    """Load ``functions/{name}/main.py`` once."""
    path = Path(__file__).parents[3] / "functions" / name / "main.py"
    spec = importlib.util.spec_from_file_location(f"function_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Served:
    """Clients of both planes, and whoever calls them."""

    api: httpx.AsyncClient
    dicomweb: httpx.AsyncClient
    issuer: FakeIssuer
    world: World

    def token(self, sub: str, **claims: object) -> str:
        """Return a good access token of the issuer for ``sub``."""
        now = int(time.time())
        return KEY.sign(
            {
                "iss": self.issuer.issuer,
                "sub": sub,
                "aud": "kheops",
                "iat": now,
                "exp": now + 600,
                "jti": f"jti-{sub}",
                "email": f"{sub}@example.org",
                "email_verified": True,
                "name": sub.title(),
                **claims,
            },
            typ="at+jwt",
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        by: str | None = None,
        token: str | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request to the plane that has the path, as ``by`` or with ``token``."""
        bearer = token if token is not None else None if by is None else self.token(by)
        sent = dict(headers or {})
        if bearer is not None:
            sent["authorization"] = f"Bearer {bearer}"
        client = self.dicomweb if "/studies" in path else self.api
        return await client.request(method, path, data=form, headers=sent)


def environment(monkeypatch: pytest.MonkeyPatch, url: str, issuer: FakeIssuer) -> None:
    """Set the services' variables."""
    trusted = [
        {
            "issuer": issuer.issuer,
            "audiences": ["kheops"],
            "access_token_typ": "at+jwt",
            "email_domains": ["example.org"],
        }
    ]
    for name, value in {
        "PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": url,
        "STORE_KIND": "dicomweb",
        "STORE_URL": "http://127.0.0.1:9/dicom-web",
        "ISSUERS": json.dumps(trusted),
        "TOKEN_PEPPER": "pepper-of-the-tests-0123456789abcdef",
        "SESSION_KEY": "session-key-of-the-tests-0123456789",
        "LOG_LEVEL": "error",
    }.items():
        monkeypatch.setenv(f"KHEOPS_{name}", value)


def serve(world: World, issuer: FakeIssuer, body: Callable[[Served], Awaitable[T]]) -> T:
    """Run ``body`` against both functions, whose process is opened and closed for it."""

    async def run() -> T:
        async with _served(world, issuer) as served:
            return await body(served)

    return asyncio.run(run())


@asynccontextmanager
async def _served(world: World, issuer: FakeIssuer) -> AsyncIterator[Served]:
    try:
        async with _client("api") as api, _client("dicomweb") as dicomweb:
            yield Served(api, dicomweb, issuer, world)
    finally:
        await factory.close_process()


def _client(name: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(function(name).app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
