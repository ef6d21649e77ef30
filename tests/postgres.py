"""A real PostgreSQL for the tests: one server a run, one database a test."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pg8000.native

from kheops.storage.engine import Database, connection_arguments
from kheops.storage.schema import migrate

__all__ = ["Server", "binaries", "start_server"]

_numbers = itertools.count(1)


class Server:
    """A running server that listens on a Unix socket only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._template_made = False

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return f"postgresql://postgres@localhost/{name}?unix_sock={self.folder}/.s.PGSQL.5432"

    def create(self, *, template: str | None = None) -> str:
        """Create a database, empty or as a copy, and return its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def migrated(self) -> str:
        """Create a database with our schema and return its address."""
        if not self._template_made:
            self._run("CREATE DATABASE migrated")
            database = Database(connection_arguments(self.url("migrated")), size=1)
            with database.connect() as connection:
                migrate(connection)
            database.close()
            self._template_made = True
        return self.url(self.create(template="migrated"))

    def drop(self, url: str) -> None:
        """Drop the database at ``url``, ending whoever is still connected."""
        self._run(f"DROP DATABASE IF EXISTS {connection_arguments(url)['database']} WITH (FORCE)")

    def _run(self, sql: str) -> None:
        with pg8000.native.Connection(**connection_arguments(self.url("postgres"))) as connection:
            connection.run(sql)


def binaries() -> Path:
    """Return where PostgreSQL's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path is not None, "PostgreSQL's server programs are needed: apt-get install postgresql"
    return Path(on_path).resolve().parent


@contextmanager
def start_server(*, max_connections: int = 200) -> Iterator[Server]:
    """Start a server in a temporary folder; stop it and remove the folder at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kheops-pg-"))
    as_postgres: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    programs = binaries()

    def run(*command: str) -> None:
        result = subprocess.run(
            [*as_postgres, *command], cwd="/", capture_output=True, text=True, check=False, timeout=60
        )
        assert result.returncode == 0, result.stdout + result.stderr

    data = str(folder / "data")
    run(
        str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8",
        "--no-sync",
    )  # fmt: skip
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off "
    options += f"-c max_connections={max_connections}"
    # The log must not be a pipe of ours: the server would keep it open and the call would never return.
    run(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield Server(folder)
    finally:
        run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
