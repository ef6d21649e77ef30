"""PostgreSQL of a stack: a cluster of its own, on a loopback port and a Unix socket."""

import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.kept_secrets import write_private
from local.processes import ProcessError, Processes, RunAs, run_to_end

__all__ = ["Postgres", "binaries", "start_postgres"]

_LEAST_MAJOR: Final = 13
_DATABASE: Final = "kheops"
_SUPERUSER: Final = "kheops"
_SOCKET_PATH_LENGTH: Final = 107
"""Bytes that Linux allows for the path of a Unix socket (unix(7))."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    port: int
    password: str
    data: Path

    @property
    def url(self) -> str:
        """A ``KHEOPS_DATABASE_URL``. It contains the password."""
        return f"postgresql://{_SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{_DATABASE}"


def binaries() -> Path:
    """Return the folder with ``initdb`` and ``postgres``, of the newest version installed.

    Raises
    ------
    ProcessError
        If there is none, or none of version 13 or later.
    """
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("postgres")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    versions = {folder: _major(folder) for folder in folders if (folder / "initdb").exists()}
    usable = {folder: major for folder, major in versions.items() if major >= _LEAST_MAJOR}
    if not usable:
        raise ProcessError(f"PostgreSQL {_LEAST_MAJOR} or later is not installed; `local/setup.sh` installs it.")
    return max(usable, key=lambda folder: usable[folder])


def _major(folder: Path) -> int:
    answer = run_to_end("postgres --version", [str(folder / "postgres"), "--version"])
    match = re.search(r"(\d+)", answer)
    return int(match[1]) if match else 0


def start_postgres(processes: Processes, folder: Path, *, port: int, password: str) -> Postgres:
    """Start the cluster in ``folder``, and make it before if it is not there.

    Parameters
    ----------
    processes
        What the server will be a child of.
    folder
        Where ``data`` lies. As root, everything in it belongs to the user ``postgres``, since PostgreSQL refuses
        to run as root.
    port
        The loopback port.
    password
        Of the only role; no other way of authentication is set up.

    Raises
    ------
    ProcessError
        If it cannot be made or started.
    """
    programs = binaries()
    data = folder / "data"
    folder.mkdir(parents=True, exist_ok=True)
    run_as = _account(folder) if os.geteuid() == 0 else None
    if run_as is not None:
        shutil.chown(folder, run_as.user, run_as.user)
    if not (data / "PG_VERSION").exists():
        _initialise(programs, folder, password=password, run_as=run_as)
    processes.start(
        "postgres",
        [str(programs / "postgres"), "-D", str(data), *_options(folder, port)],
        ready=lambda: _accepts(programs, port),
        folder=Path("/"),
        run_as=run_as,
        # "Fast" shutdown: SIGTERM would wait until the last client has left.
        stop_signal=signal.SIGINT,
    )
    return Postgres(port=port, password=password, data=data)


def _options(folder: Path, port: int) -> list[str]:
    socket_path = folder / f".s.PGSQL.{port}"
    sockets = str(folder) if len(os.fsencode(socket_path)) <= _SOCKET_PATH_LENGTH else ""
    settings = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        # Statements carry patient names; a failed one is logged without its text.
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _initialise(programs: Path, folder: Path, *, password: str, run_as: RunAs | None) -> None:
    password_file = folder / "initial-password"
    write_private(password_file, password + "\n")
    if run_as is not None:
        shutil.chown(password_file, run_as.user, run_as.user)
    unfinished = folder / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        run_to_end(
            "initdb",
            [
                str(programs / "initdb"),
                *("-D", str(unfinished), "-U", _SUPERUSER, "--locale=C.UTF-8", "-E", "UTF8"),
                *("-A", "scram-sha-256", f"--pwfile={password_file}"),
            ],
            folder=Path("/"),
            run_as=run_as,
        )
        _create_database(programs, unfinished, run_as=run_as)
    finally:
        password_file.unlink(missing_ok=True)
    unfinished.rename(folder / "data")


def _create_database(programs: Path, data: Path, *, run_as: RunAs | None) -> None:
    # Single-user mode needs no server, no port and no password.
    run_to_end(
        "create database",
        [
            "/bin/sh",
            "-c",
            f'echo "CREATE DATABASE {_DATABASE}" | "$0" --single -D "$1" postgres',
            str(programs / "postgres"),
            str(data),
        ],
        folder=Path("/"),
        run_as=run_as,
    )


def _accepts(programs: Path, port: int) -> bool:
    try:
        run_to_end("pg_isready", [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)])
    except ProcessError:
        return False
    return True


def _account(folder: Path) -> RunAs:
    """Return the account that PostgreSQL, which refuses root, runs under so that it can enter ``folder``."""
    # A checkout below /root is closed to other users; the capability lets the server pass through and no more
    # than read there.
    for account in (RunAs("postgres"), RunAs("postgres", capability="dac_read_search")):
        try:
            run_to_end("stat", ["stat", f"{folder}/."], folder=Path("/"), run_as=account)
        except ProcessError:
            continue
        return account
    raise ProcessError(
        f"PostgreSQL must not run as root, and the user postgres cannot enter {folder}. Move the project to a folder "
        f"whose parents everybody may enter, for example below /srv, or run as another user."
    )
