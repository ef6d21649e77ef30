"""A process whose secrets are kept in Secret Manager: it opens, serves by them, and fails by name without them."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pg8000.dbapi
import pytest
from sqlalchemy import text

from kheops import clock
from kheops.config import IssuerSettings, Settings, load
from kheops.errors import ConfigurationError, DatabaseUnavailableError
from kheops.factory import Process
from kheops.identity.secret_store import SecretStore
from kheops.storage.engine import connection_arguments
from tests.fakes.secret_manager import FakeSecretManager, run_secret_manager
from tests.postgres import Server, start_server

ROLE = "kheops_of_secrets"
PASSWORD = "projects/kheops-1/secrets/database-password"
PEPPER = "projects/kheops-1/secrets/token-pepper"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """Give a server that asks a role for its password."""
    with start_server(max_connections=50) as server:
        hba = server.folder / "data" / "pg_hba.conf"
        hba.write_text(f"local all {ROLE} scram-sha-256\n" + hba.read_text())
        _sql(server, f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD 'first'", "SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def manager() -> Iterator[FakeSecretManager]:
    with run_secret_manager() as manager:
        manager.add(PASSWORD, "first", made=clock.now() - timedelta(days=2))
        manager.add(PEPPER, "pepper-0123456789abcdefghijklmnopqrst", made=clock.now() - timedelta(days=2))
        yield manager


def _sql(server: Server, *statements: str) -> None:
    with pg8000.dbapi.connect(**connection_arguments(server.url("postgres"))) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def _process(server: Server, manager: FakeSecretManager) -> Process:
    settings = Settings(
        public_url="https://kheops.example",
        database_url=server.migrated().replace("postgres@localhost", f"{ROLE}@localhost"),  # type: ignore[arg-type]
        database_password=f"sm://{PASSWORD}/versions/latest",  # type: ignore[arg-type]
        store_kind="dicomweb",
        store_url="https://pacs.example/dicom-web",
        issuers=(IssuerSettings(issuer="https://idp.example", audiences=("a",), access_token_typ="at+jwt"),),
        token_pepper=f"sm://{PEPPER}/versions/1",  # type: ignore[arg-type]
        session_key="session-0123456789abcdefghijklmnopqrs",  # type: ignore[arg-type]
    )
    return Process(settings, secrets=SecretStore(settings, manager=manager.reader()))


def test_password_that_is_rotated_serves_new_connections_without_a_restart(
    guarded: Server, manager: FakeSecretManager
) -> None:
    async def run() -> None:
        process = _process(guarded, manager)
        await process.check()
        assert process.pepper.current == b"pepper-0123456789abcdefghijklmnopqrst"
        assert await process.lookup.capability(b"c" * 32) is None
        _sql(guarded, f"ALTER ROLE {ROLE} PASSWORD 'second'")
        _sql(
            guarded,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'",
        )
        with pytest.raises(DatabaseUnavailableError):
            await process.database.run(lambda tx: tx.execute(text("SELECT 1")))
        manager.add(PASSWORD, "second", made=clock.now())
        process.secrets.refresh()
        assert await process.database.run(lambda tx: tx.execute(text("SELECT 1")).scalar_one()) == 1
        assert await process.lookup.capability(b"c" * 32) is None
        await process.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_secret_that_is_not_there_is_named_before_the_database_is_asked(
    guarded: Server, manager: FakeSecretManager
) -> None:
    manager.denies.add(PASSWORD)

    async def run() -> None:
        process = _process(guarded, manager)
        with pytest.raises(ConfigurationError) as caught:
            await process.check()
        assert [fault.partition(":")[0] for fault in caught.value.faults] == ["KHEOPS_DATABASE_PASSWORD"]
        await process.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KHEOPS_TOKEN_PEPPER", "sm://projects/p/secrets/s"),
        ("KHEOPS_SESSION_KEY", "file:relative"),
        ("KHEOPS_DATABASE_PASSWORD", "sm://projects/p1/secrets/s/versions/newest"),
        ("KHEOPS_DATABASE_URL", "postgresql://kheops@/kheops?cloud_sql=instance"),
        ("KHEOPS_DATABASE_URL", "postgresql://kheops@host/kheops?cloud_sql=p1:r1:i"),
        ("KHEOPS_DATABASE_URL", "postgresql:///kheops?cloud_sql=p1:r1:i"),
    ],
)
def test_mistyped_reference_in_the_environment_is_a_fault_of_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = {
        "KHEOPS_PUBLIC_URL": "https://kheops.example",
        "KHEOPS_DATABASE_URL": "postgresql://kheops%40p1.iam@/kheops?cloud_sql=p1:europe-west6:i",
        "KHEOPS_STORE_KIND": "dicomweb",
        "KHEOPS_STORE_URL": "https://pacs.example/dicom-web",
        "KHEOPS_ISSUERS": '[{"issuer": "https://idp.example", "audiences": ["k"], "access_token_typ": "at+jwt"}]',
        "KHEOPS_TOKEN_PEPPER": "sm://projects/p1/secrets/s/versions/latest",
        "KHEOPS_SESSION_KEY": f"file:{tmp_path}/key",
    }
    for name, each in good.items():
        monkeypatch.setenv(name, each)
    load()
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        load()
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [variable]
    assert value not in str(caught.value)
