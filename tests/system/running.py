"""The services as they run in production, for tests: Granian, a real PostgreSQL, a real DICOM store.

Only the login is left out: an issuer on loopback signs access tokens (``tests/fakes/jwks_server.py``), so that a test
has as many people as it wants. Logging in at real providers is tested in ``tests/system/identity`` and by the smoke
run.
"""

import json
import secrets
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
from sqlalchemy import text

from kheops.storage.engine import Database, connection_arguments
from local.allocator import ALLOCATOR
from local.dicom_store import DicomStore
from local.emulator import start_emulator
from local.orthanc import start_orthanc
from local.ports import kept_ports
from local.processes import ChildProcess, Processes, answers_http
from tests.dicom_files import multipart
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import Server

__all__ = ["System", "granian", "start_system"]

StoreKind = Literal["emulator", "orthanc"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_TLS = ssl.create_default_context()
"""Made once: each costs more than a test's requests, and none is used where all is plain HTTP on loopback."""
_KEY = SigningKey("test-key")


@dataclass
class System:
    """A running system."""

    url: str
    issuer: FakeIssuer
    database: Database
    store: DicomStore
    logs: Path
    processes: Processes
    services: ChildProcess
    environment: dict[str, str]
    port: int
    tokens: dict[str, str] = field(default_factory=dict)
    secrets_used: set[str] = field(default_factory=set)
    """Every token that a test sent or got; none may ever be found in a log."""

    def token(self, sub: str, *, expires_in: float = 3600, **claims: object) -> str:
        """Return an access token of a person."""
        now = int(time.time())
        made = _KEY.sign(
            {
                "iss": self.issuer.issuer,
                "sub": sub,
                "aud": "kheops",
                "iat": now,
                "exp": now + int(expires_in),
                "jti": secrets.token_hex(8),
                "email": f"{sub}@example.org",
                "email_verified": True,
                "name": sub.title(),
                **claims,
            },
            typ="at+jwt",
        )
        self.secrets_used.add(made)
        return made

    def client(self, sub: str | None = None, *, token: str | None = None, **options: object) -> httpx.Client:
        """Return a client that calls as a person, with a token, or as nobody."""
        if sub is not None:
            token = self.tokens.setdefault(sub, self.token(sub))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(
            base_url=f"{self.url}/api",
            headers=headers,
            timeout=60,
            trust_env=False,
            verify=_TLS,
            **options,  # type: ignore[arg-type]
        )

    def store_files(self, sub: str, *files: bytes, album: str | None = None) -> httpx.Response:
        """Store files as a person."""
        with self.client(sub) as client:
            return client.post(
                "/studies",
                params={} if album is None else {"album": album},
                content=multipart(*files),
                headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary'},
            )

    def run_sql(self, sql: str, **parameters: object) -> list[tuple[object, ...]]:
        """Run a statement on the database and return its rows, if it has any."""

        def work(tx: object) -> list[tuple[object, ...]]:
            result = tx.execute(text(sql), parameters)  # type: ignore[attr-defined]
            return [tuple(row) for row in result.all()] if result.returns_rows else []

        return self.database.run_blocking(work)

    def restart(self, application: str = "local.gateway:app") -> None:
        """Start the services again after they ended."""
        self.services = _start_services(self.processes, self.port, self.environment, application)

    def log_text(self) -> str:
        """Return everything that the services and the store have logged."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self.logs.rglob("*") if path.is_file())


@contextmanager
def start_system(
    postgres: Server,
    folder: Path,
    *,
    store: StoreKind = "emulator",
    settings: dict[str, str] | None = None,
    application: str = "local.gateway:app",
    emulator_options: Sequence[str] = (),
) -> Iterator[System]:
    """Start a system with an empty database and an empty store; end it at the end.

    Parameters
    ----------
    postgres
        Where the database is made.
    folder
        Where logs, ports and the store's data lie.
    store
        Which store stands behind.
    settings
        Further variables of the services, which win.
    application
        What Granian serves; tests that break something on purpose have one of their own.
    emulator_options
        Further options of the emulator's command line.
    """
    with ExitStack() as ending:
        ports = kept_ports(folder, ["services", "store"])
        issuer = ending.enter_context(running(_KEY))
        processes = ending.enter_context(Processes(folder / "logs"))
        if store == "emulator":
            dicom = start_emulator(processes, folder / "store", port=ports["store"], options=emulator_options)
        else:
            dicom = start_orthanc(processes, folder / "store", port=ports["store"], password="orthanc-test-password")
        database_url = postgres.migrated()
        ending.callback(postgres.drop, database_url)
        database = Database(connection_arguments(database_url), size=2)
        ending.callback(database.close)
        environment = {
            "KHEOPS_PUBLIC_URL": f"http://127.0.0.1:{ports['services']}",
            "KHEOPS_DATABASE_URL": database_url,
            "KHEOPS_ISSUERS": json.dumps(
                [
                    {
                        "issuer": issuer.issuer,
                        "audiences": ["kheops"],
                        "access_token_typ": "at+jwt",
                        "email_domains": ["example.org"],
                        "groups_claim": "groups",
                        "client_id": "kheops-web",
                    }
                ]
            ),
            "KHEOPS_ADMINISTRATORS": json.dumps(
                [{"issuer": issuer.issuer, "claim": "groups", "value": "administrators"}]
            ),
            "KHEOPS_TOKEN_PEPPER": "pepper-of-the-tests-0123456789abcdefghij",
            "KHEOPS_SESSION_KEY": "session-key-of-the-tests-0123456789abcdef",
            "KHEOPS_ALLOWED_ORIGINS": "https://viewer.example",
            "KHEOPS_EMAIL_FROM_USERINFO": "false",
            "LOCAL_PURGE": "by-hand",
            **dicom.settings,
            **(settings or {}),
        }
        services = _start_services(processes, ports["services"], environment, application)
        yield System(
            url=environment["KHEOPS_PUBLIC_URL"],
            issuer=issuer,
            database=database,
            store=dicom,
            logs=folder / "logs",
            processes=processes,
            services=services,
            environment=environment,
            port=ports["services"],
        )


def granian(port: int, application: str) -> list[str]:
    """Return the command that serves an application on loopback as in production."""
    return [
        str(Path(sys.executable).with_name("granian")),
        *("--interface", "asgi", "--http", "auto", "--host", "127.0.0.1", "--port", str(port)),
        *("--log-level", "warning", "--no-access-log", application),
    ]


def _start_services(
    processes: Processes, port: int, environment: dict[str, str], application: str = "local.gateway:app"
) -> ChildProcess:
    return processes.start(
        "services",
        granian(port, application),
        ready=lambda: answers_http(f"http://127.0.0.1:{port}/api/readiness"),
        environment={**ALLOCATOR, **environment},
        folder=_REPOSITORY,
        deadline_seconds=60,
    )
