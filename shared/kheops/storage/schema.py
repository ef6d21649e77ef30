"""The schema's version: bringing it up to date, and refusing to serve when it is behind."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from kheops.errors import DatabaseUnavailableError

__all__ = ["LOWEST_POSTGRESQL", "check_schema", "migrate"]

LOWEST_POSTGRESQL = 130000
"""``server_version_num`` of the lowest PostgreSQL that we test for and support: 13."""

_LOCK = 0x6B68656F7073
"""Advisory lock of migrations: "kheops" in ASCII."""


def migrate(connection: Connection) -> str:
    """Run the missing migrations and return the schema's version.

    Safe to run from several processes at once: one works, the others wait for it.

    Raises
    ------
    DatabaseUnavailableError
        If the server is older than PostgreSQL 13.
    """
    version = connection.execute(text("SELECT current_setting('server_version_num')::int")).scalar_one()
    if version < LOWEST_POSTGRESQL:
        raise DatabaseUnavailableError(f"PostgreSQL 13 or later is needed, this is {version // 10000}.")
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    connection.commit()
    try:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.commit()
    return _head()


def check_schema(connection: Connection) -> None:
    """Raise `DatabaseUnavailableError` if the schema lacks a migration that this code needs.

    A schema that is ahead is fine: changes expand first and contract when no old code runs.
    """
    current = MigrationContext.configure(connection, opts={"version_table": "schema_version"}).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is None or (current in known and current != _head()):
        raise DatabaseUnavailableError("The database schema is behind; run `kheops migrate`.")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _head() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head
