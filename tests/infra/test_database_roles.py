"""The database roles that Terraform gives: the migrations own the schema, the services only read and write rows."""

from collections.abc import Iterator

import pg8000.native
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from kheops.storage.engine import Database, connection_arguments
from kheops.storage.schema import check_schema, migrate
from tests.infra.terraform import INFRA
from tests.postgres import Server


@pytest.fixture
def as_service(postgres: Server) -> Iterator[Database]:
    """Give a connection with a service's roles to a database whose schema another role has made."""
    name = postgres.create()
    admin = connection_arguments(postgres.url("postgres"))
    with pg8000.native.Connection(**admin) as connection:
        connection.run("CREATE ROLE infra_migrate LOGIN")
        connection.run("CREATE ROLE infra_service LOGIN IN ROLE pg_read_all_data, pg_write_all_data")
        # As Cloud SQL: the database belongs to a role that the migrations are a member of.
        connection.run(f"ALTER DATABASE {name} OWNER TO infra_migrate")
    arguments = connection_arguments(postgres.url(name))
    owner = Database(arguments | {"user": "infra_migrate"}, size=1)
    with owner.connect() as connection:
        migrate(connection)
    owner.close()
    service = Database(arguments | {"user": "infra_service"}, size=1)
    yield service
    service.close()
    postgres.drop(postgres.url(name))
    with pg8000.native.Connection(**admin) as connection:
        connection.run("DROP ROLE infra_migrate, infra_service")


def test_terraform_gives_these_roles() -> None:
    assert 'each.key == "migrate" ? ["cloudsqlsuperuser"] : ["pg_read_all_data", "pg_write_all_data"]' in (
        INFRA / "database.tf"
    ).read_text("utf-8")


def test_a_service_finds_the_schema_and_writes_rows(as_service: Database) -> None:
    as_service.run_blocking(check_schema)
    insert = text(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at) VALUES (:id, 'album', 'x', now(), now())"
    )
    as_service.run_blocking(lambda tx: tx.execute(insert, {"id": "abcdefghij"}))
    locked = text("SELECT name FROM albums WHERE id = 'abcdefghij' FOR UPDATE")
    assert as_service.run_blocking(lambda tx: tx.execute(locked).scalar_one()) == "x"
    as_service.run_blocking(lambda tx: tx.execute(text("DELETE FROM albums")))


@pytest.mark.parametrize(
    "change", ["ALTER TABLE albums ADD COLUMN x int", "DROP TABLE audit", "CREATE TABLE x (y int)"]
)
def test_a_service_cannot_change_the_schema(as_service: Database, change: str) -> None:
    with pytest.raises(DatabaseError, match="42501"):
        as_service.run_blocking(lambda tx: tx.execute(text(change)))
