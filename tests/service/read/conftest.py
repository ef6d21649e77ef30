"""A data plane on a real PostgreSQL; callers come by capability tokens, so that no identity provider is needed."""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from starlette.types import ASGIApp

from kheops import factory
from kheops.archive.port import Archive
from kheops.storage.engine import Database, connection_arguments
from tests.contract.archive.real_stores import RealStore, emulator, orthanc
from tests.service.read.catalog import PEPPER, Catalog
from tests.service.read.client import Answer, request

T = TypeVar("T")

ROOT = "https://kheops.example"
_MAIN = Path(__file__).parents[3] / "functions/dicomweb/main.py"


class Service:
    """The data plane, and the rows that it serves."""

    def __init__(self, catalog: Catalog, app: ASGIApp) -> None:
        self.catalog = catalog
        self._app = app

    def run(self, use: Callable[["Running"], Awaitable[T]], archive: Archive | None = None) -> T:
        """Call ``use`` with the service running before ``archive``."""

        async def main() -> T:
            process = await factory.open_process()
            if archive is not None:
                process.archive = archive
            try:
                return await use(Running(self._app, process))
            finally:
                await factory.close_process()

        return asyncio.run(main())

    def get(
        self,
        path: str,
        token: str | None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        archive: Archive | None = None,
    ) -> Answer:
        """Send one request."""

        async def use(running: "Running") -> Answer:
            return await running.get(path, token, method=method, headers=headers)

        return self.run(use, archive)


class Running:
    """The service while it runs."""

    def __init__(self, app: ASGIApp, process: factory.Process) -> None:
        self.app = app
        self.process = process

    async def get(
        self,
        path: str,
        token: str | None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        leave_after: int | None = None,
    ) -> Answer:
        return await request(
            self.app, f"/api{path}", method=method, token=token, headers=headers, leave_after=leave_after
        )


@pytest.fixture
def service(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    for name, value in {
        "PUBLIC_URL": ROOT,
        "DATABASE_URL": database_url,
        "STORE_KIND": "dicomweb",
        "STORE_URL": "http://127.0.0.1:9/dicom-web",
        "TOKEN_PEPPER": PEPPER,
        "SESSION_KEY": "a key of the tests, which differs: 42",
        "ISSUERS": '[{"issuer": "https://idp.example", "audiences": ["kheops"], "access_token_typ": "at+jwt"}]',
        "LOG_LEVEL": "error",
    }.items():
        monkeypatch.setenv(f"KHEOPS_{name}", value)
    spec = importlib.util.spec_from_file_location("functions_dicomweb_main", _MAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, spec.name, module)
    spec.loader.exec_module(module)
    database = Database(connection_arguments(database_url), size=2)
    yield Service(Catalog(database), module.app)
    database.close()


@pytest.fixture(scope="session", params=["orthanc", "emulator"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    start = {"orthanc": orthanc, "emulator": emulator}[request.param]
    with start(tmp_path_factory.mktemp(request.param)) as running:
        yield running
