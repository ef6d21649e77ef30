"""The schema from empty, on a real server."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from kheops.errors import DatabaseUnavailableError
from kheops.storage.engine import Database, check_arithmetic, connection_arguments
from kheops.storage.schema import check_schema, migrate
from tests.postgres import Server


@pytest.fixture
def empty(postgres: Server) -> Iterator[Database]:
    name = postgres.create()
    database = Database(connection_arguments(postgres.url(name)), size=2)
    yield database
    database.close()
    postgres.drop(postgres.url(name))


def test_a_service_refuses_a_database_without_our_schema(empty: Database) -> None:
    with pytest.raises(DatabaseUnavailableError, match="kheops migrate"):
        empty.run_blocking(check_schema)


def test_migrating_from_empty_makes_the_schema_current(empty: Database) -> None:
    with empty.connect() as connection:
        migrate(connection)
    empty.run_blocking(check_schema)


def test_two_migrations_at_once_do_the_work_once(empty: Database) -> None:
    versions = []

    def work() -> None:
        with empty.connect() as connection:
            versions.append(migrate(connection))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(versions) == 2
    assert versions[0] == versions[1]


def test_identifiers_that_differ_in_case_are_different(database_url: str) -> None:
    database = Database(connection_arguments(database_url), size=1)
    insert = text(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at) VALUES (:id, 'album', 'x', now(), now())"
    )
    database.run_blocking(lambda tx: tx.execute(insert, {"id": "abcdefghij"}))
    database.run_blocking(lambda tx: tx.execute(insert, {"id": "ABCDEFGHIJ"}))
    assert database.run_blocking(lambda tx: tx.execute(text("SELECT count(*) FROM albums")).scalar_one()) == 2
    database.close()


def test_the_arithmetic_of_connections_counts_a_roll_over_twice(empty: Database) -> None:
    # The test server takes 200 connections, 3 of them reserved.
    assert empty.run_blocking(lambda tx: check_arithmetic(tx, per_instance=8, instances=12)) is None
    fault = empty.run_blocking(lambda tx: check_arithmetic(tx, per_instance=8, instances=13))
    assert fault is not None
    assert "KHEOPS_MAX_INSTANCES" in fault


def test_a_schema_that_is_ahead_is_served_and_one_that_is_behind_is_not(empty: Database) -> None:
    with empty.connect() as connection:
        newest = migrate(connection)
    empty.run_blocking(lambda tx: tx.execute(text("UPDATE schema_version SET version_num = '9999'")))
    empty.run_blocking(check_schema)
    empty.run_blocking(lambda tx: tx.execute(text("DELETE FROM schema_version")))
    with pytest.raises(DatabaseUnavailableError):
        empty.run_blocking(check_schema)
    assert newest.isdigit()
