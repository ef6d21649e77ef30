"""Connections by the Cloud SQL connector, to a real PostgreSQL behind a fake of the Admin API and its TLS server."""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pg8000.dbapi
import pytest
from sqlalchemy import text
from typing_extensions import override

from kheops.domain.cloud_sql_instance import CloudSqlInstance
from kheops.errors import DatabaseUnavailableError
from kheops.storage.cloud_sql import CloudSqlConnections
from kheops.storage.connections import connection_source
from kheops.storage.engine import Database, check_arithmetic, connection_arguments
from kheops.storage.lookup import HotLookup
from kheops.storage.schema import check_schema
from tests.fakes.cloud_sql import FakeCloudSql, run_cloud_sql
from tests.fakes.google_token import StaticToken
from tests.postgres import Server

pytestmark = pytest.mark.filterwarnings(
    # The driver leaves a socket to the garbage collector when a login fails half-way.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

IAM_USER = "kheops-api@project.iam"
PASSWORD_USER = "kheops-by-password"


@pytest.fixture(autouse=True)
def socket_timeout() -> Iterator[None]:
    """Put the process's default back, which opening sets: other tests are to find it as it was."""
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)
    gc.collect()


@pytest.fixture(scope="module")
def roles(postgres: Server) -> None:
    """Make a role that IAM lets in and one that has a password."""
    hba = postgres.folder / "data" / "pg_hba.conf"
    hba.write_text(f'local all "{PASSWORD_USER}" scram-sha-256\n' + hba.read_text())
    with pg8000.dbapi.connect(**connection_arguments(postgres.url("postgres"))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f'CREATE ROLE "{IAM_USER}" LOGIN SUPERUSER')
        cursor.execute(f"CREATE ROLE \"{PASSWORD_USER}\" LOGIN SUPERUSER PASSWORD 'right'")
        cursor.execute("SELECT pg_reload_conf()")


@pytest.fixture
def instance(postgres: Server, roles: None) -> Iterator[FakeCloudSql]:
    with run_cloud_sql(postgres.folder / ".s.PGSQL.5432") as instance:
        yield instance


Open = Callable[..., CloudSqlConnections]


@pytest.fixture
def source(instance: FakeCloudSql, database_url: str) -> Iterator[Open]:
    made = []

    def make(
        *,
        user: str = f"{IAM_USER}.gserviceaccount.com",
        password: str | None = None,
        credentials: StaticToken | None = None,
        open_seconds: float = 20,
    ) -> CloudSqlConnections:
        source = CloudSqlConnections(
            CloudSqlInstance(instance.name, "private"),
            user=user,
            database=connection_arguments(database_url)["database"],
            password=None if password is None else lambda: password,
            credentials=credentials or StaticToken(),
            admin_endpoint=instance.endpoint,
            open_seconds=open_seconds,
        )
        made.append(source)
        return source

    yield make
    for each in made:
        each.close()


def _user(database: Database) -> str:
    user: str = database.run_blocking(lambda tx: tx.execute(text("SELECT current_user")).scalar_one())
    return user


@pytest.fixture
def database(source: Open) -> Iterator[Database]:
    database = Database(source(), size=2)
    yield database
    database.close()


def test_iam_role_is_let_in_by_its_certificate_without_a_password(database: Database, instance: FakeCloudSql) -> None:
    assert _user(database) == IAM_USER
    database.run_blocking(check_schema)
    assert len(instance.with_login_token) == instance.certificates == 1


def test_role_with_a_password_needs_the_right_one_and_no_login_token(source: Open, instance: FakeCloudSql) -> None:
    database = Database(source(user=PASSWORD_USER, password="right"), size=1)
    assert _user(database) == PASSWORD_USER
    database.close()
    assert instance.with_login_token == set()
    wrong = Database(source(user=PASSWORD_USER, password="wrong"), size=1)
    with pytest.raises(DatabaseUnavailableError):
        _user(wrong)
    wrong.close()
    without_iam = Database(source(user=IAM_USER, password="any"), size=1)
    with pytest.raises(DatabaseUnavailableError):
        _user(without_iam)
    without_iam.close()


def test_hot_lookup_and_units_of_work_share_one_certificate(source: Open, instance: FakeCloudSql) -> None:
    shared = source()

    async def run() -> None:
        database = Database(shared, size=3)
        lookup = HotLookup(shared, threads=3)
        found = await asyncio.gather(*(lookup.capability(bytes([number]) * 32) for number in range(20)))
        assert found == [None] * 20
        users = await asyncio.gather(*(asyncio.to_thread(_user, database) for _ in range(6)))
        assert set(users) == {IAM_USER}
        await lookup.aclose()
        await database.aclose()

    asyncio.run(run())
    assert instance.certificates == 1
    assert len(instance.asked) == 2


def test_arithmetic_of_connections_holds_over_the_connector(database: Database) -> None:
    def fault(instances: int) -> str | None:
        return database.run_blocking(lambda tx: check_arithmetic(tx, per_instance=8, instances=instances))

    assert fault(12) is None
    assert "KHEOPS_MAX_INSTANCES" in (fault(13) or "")


def test_connections_that_a_failover_ends_are_opened_again(
    database: Database, source: Open, instance: FakeCloudSql
) -> None:
    async def run() -> None:
        lookup = HotLookup(source(), threads=1)
        assert await lookup.capability(b"c" * 32) is None
        assert await asyncio.to_thread(_user, database) == IAM_USER
        instance.sever()
        assert await lookup.capability(b"c" * 32) is None
        assert await asyncio.to_thread(_user, database) == IAM_USER
        await lookup.aclose()

    asyncio.run(run())


def test_server_certificate_of_another_authority_is_refused_until_the_api_tells_of_it(
    database: Database, instance: FakeCloudSql
) -> None:
    assert _user(database) == IAM_USER
    instance.sever()
    instance.rotate_authority()
    with pytest.raises(DatabaseUnavailableError):
        _user(database)
    # What was refused has the connector ask again.
    assert _user(database) == IAM_USER
    assert instance.certificates == 2


def test_refused_client_certificate_is_503(database: Database, instance: FakeCloudSql) -> None:
    instance.refuses_clients = True
    with pytest.raises(DatabaseUnavailableError):
        _user(database)
    instance.refuses_clients = False
    assert _user(database) == IAM_USER


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_refusal_of_the_admin_api_is_503_and_its_words_are_not_logged(
    status: int, database: Database, source: Open, instance: FakeCloudSql, caplog: pytest.LogCaptureFixture
) -> None:
    instance.status = status

    async def look() -> None:
        lookup = HotLookup(source(), threads=1)
        with pytest.raises(DatabaseUnavailableError):
            await lookup.capability(b"c" * 32)
        await lookup.aclose()

    with caplog.at_level("INFO"):
        with pytest.raises(DatabaseUnavailableError):
            _user(database)
        asyncio.run(look())
    assert "database.cloud_sql_unavailable" in caplog.text
    assert "secret words" not in caplog.text
    instance.status = 200
    assert _user(database) == IAM_USER


def test_admin_api_that_does_not_answer_is_given_up(source: Open, instance: FakeCloudSql) -> None:
    instance.api_release.clear()
    database = Database(source(open_seconds=0.5), size=1)
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        _user(database)
    assert time.monotonic() - begun < 5
    instance.api_release.set()
    assert _user(database) == IAM_USER
    database.close()


def test_server_that_says_nothing_is_given_up(
    source: Open, instance: FakeCloudSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kheops.storage.cloud_sql._SOCKET_SECONDS", 0.5)
    instance.is_silent = True
    connections = source()
    database = Database(connections, size=1)
    begun = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        _user(database)
    assert time.monotonic() - begun < 5
    instance.is_silent = False
    assert _user(database) == IAM_USER
    database.close()


def test_connection_keeps_the_time_limit_of_its_socket(source: Open) -> None:
    connection = source().open()
    assert connection._usock.gettimeout() == 10
    connection.close()


def test_missing_credentials_are_503(source: Open) -> None:
    class Nobody(StaticToken):
        @override
        def refresh(self, request: object) -> None:
            if request is not None:
                raise OSError("no token")

        @property
        @override
        def token_state(self) -> object:
            return None

    database = Database(source(credentials=Nobody()), size=1)
    with pytest.raises(DatabaseUnavailableError):
        _user(database)
    database.close()


def test_closed_source_opens_nothing_and_leaves_no_thread(source: Open) -> None:
    closed = source()
    closed.open().close()
    assert "cloud-sql" in {thread.name for thread in threading.enumerate()}
    closed.close()
    assert "cloud-sql" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(pg8000.dbapi.InterfaceError):
        closed.open()


def test_address_of_the_settings_asks_for_iam_only_without_a_password() -> None:
    url = "postgresql://kheops%40p.iam{}@/kheops?cloud_sql=p:europe-west6:i&ip_type=psc"
    by_iam = connection_source(url.format(""))
    assert isinstance(by_iam, CloudSqlConnections)
    assert (by_iam._user, by_iam._password, by_iam._instance.ip_type) == ("kheops@p.iam", None, "psc")
    by_password = connection_source(url.format(":a%2Fb"))
    assert isinstance(by_password, CloudSqlConnections)
    assert by_password._password is not None
    assert by_password._password() == "a/b"
