"""The schema's version: bringing it up to date, and refusing to serve when it is behind."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from kheops.errors import DatabaseUnavailableError

__all__ = ["LOWEST_POSTGRESQL", "check_schema", "migrate"]

LOWEST_POSTGRESQL = 130000
"""``server_version_num`` of the lowest PostgreSQL that we test for and support: 13."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"

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
    # Only whoever migrates pays for Alembic; services ask for the version at each cold start.
    from alembic import command
    from alembic.config import Config

    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
    connection.commit()
    try:
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.commit()
    return _known()[-1]


def check_schema(connection: Connection) -> None:
    """Raise `DatabaseUnavailableError` if the schema lacks a migration that this code needs.

    A schema that is ahead is fine: changes expand first and contract when no old code runs.
    """
    current = None
    if connection.execute(text("SELECT to_regclass('schema_version')")).scalar_one() is not None:
        current = connection.execute(text("SELECT version_num FROM schema_version")).scalar_one_or_none()
    known = _known()
    if current is None or (current in known and current != known[-1]):
        raise DatabaseUnavailableError("The database schema is behind; run `kheops migrate`.")


def _known() -> list[str]:
    """Return the versions that this code knows, the newest last: the numbers of the scripts."""
    return sorted(script.name.partition("_")[0] for script in _MIGRATIONS.glob("versions/[0-9]*.py"))
