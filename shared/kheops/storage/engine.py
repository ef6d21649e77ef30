"""Connections to PostgreSQL, and units of work on them.

pg8000 blocks, so a unit of work is a plain function of a connection that runs on a thread of its own pool: one
thread for each connection, so that a unit of work never waits for a connection while it holds a thread.
"""

import asyncio
import contextvars
import functools
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import pg8000.dbapi
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import InterfaceError as AlchemyInterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from kheops.errors import DatabaseUnavailableError, InvalidTokenError
from kheops.observability import get_logger
from kheops.storage.connections import ConnectionSource, DirectConnections, connection_arguments
from kheops.storage.due_tasks import take_due
from kheops.telemetry.signals import part

__all__ = ["Database", "check_arithmetic", "connection_arguments", "is_connection_lost", "sqlstate"]

_T = TypeVar("_T")
_LOG = get_logger(__name__)

_STATEMENT_TIMEOUT_MS = 10_000
_WORK_MEM = "32MB"
"""Of a sort or hash: the studies of a person with tens of thousands are grouped without going to disk."""
_LOCK_TIMEOUT_MS = 5_000
_POOL_WAIT_SECONDS = 5
_QUEUE_LIMIT = 256
"""Units of work that may wait for a thread; beyond it the answer is 503 at once rather than after a long wait."""
_TRIES = 4
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_FOREIGN_KEY_VIOLATION = "23503"
_RETRIED = frozenset({_SERIALIZATION_FAILURE, _DEADLOCK, _FOREIGN_KEY_VIOLATION})
_UNAVAILABLE = frozenset(
    {"57P01", "57P02", "57P03", "53300", "53200", "55P03", "57014", "28000", "28P01", "3D000"},
)
"""Server shutting down or starting, too many connections, out of memory, lock or statement time-out, and what is wrong
at connecting: authentication, or no such database."""


class Database:
    """Runs units of work.

    Parameters
    ----------
    source
        What opens connections; or what `connection_arguments` returned, for direct ones.
    size
        Connections, and threads, of this process for units of work.
    on_due
        Called on the event loop after the commit of a unit of work of `run` that has put something into the outbox,
        with the time at which the earliest of that is due.
    """

    def __init__(
        self,
        source: ConnectionSource | dict[str, Any],
        *,
        size: int,
        on_due: Callable[[datetime], None] | None = None,
    ) -> None:
        source = DirectConnections(source) if isinstance(source, dict) else source
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="database")
        self._waiting = 0
        self._size = size
        self._on_due = on_due
        self._engine: Engine = create_engine(
            "postgresql+pg8000://",
            creator=functools.partial(_connect, source),
            pool_size=size,
            max_overflow=0,
            pool_timeout=_POOL_WAIT_SECONDS,
            pool_pre_ping=True,
            pool_recycle=1800,
        )

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` in one transaction and return its result.

        It is committed when ``work`` returns and rolled back when it raises. ``work`` is run again, at most three
        times, after a deadlock or serialization failure, or when a row that it refers to has gone while it ran: it
        must have no effect outside the database.

        Raises
        ------
        InvalidTokenError
            If it refers to a person who is not there, however often it looks: the caller, who has been erased since
            their token was found good. Anybody else is looked up by the work itself.
        DatabaseUnavailableError
            If the database cannot be reached, has no connection left, or too many units of work wait already.
        """
        if self._waiting >= _QUEUE_LIMIT:
            raise DatabaseUnavailableError("Too many requests wait for the database.")
        self._waiting += 1
        try:
            with part("unit of work", {"code.function.name": _name(work)}):
                result, due = await asyncio.get_running_loop().run_in_executor(
                    # So that what the thread logs belongs to the request.
                    self._threads,
                    contextvars.copy_context().run,
                    self._run,
                    work,
                )
        finally:
            self._waiting -= 1
        if due is not None and self._on_due is not None:
            self._on_due(due)
        return result

    def run_blocking(self, work: Callable[[Connection], _T]) -> _T:
        """Do as `run` does, on the calling thread; for the command line and tests."""
        return self._run(work)[0]

    def connect(self) -> Connection:
        """Return a bare connection for work that manages its own transactions, such as migrations."""
        return self._engine.connect()

    async def aclose(self) -> None:
        """Wait for running units of work, then close all connections."""
        await asyncio.to_thread(self._threads.shutdown, wait=True)
        self._engine.dispose()

    def close(self) -> None:
        """Do as `aclose` does, blocking."""
        self._threads.shutdown(wait=True)
        self._engine.dispose()

    def _run(self, work: Callable[[Connection], _T]) -> tuple[_T, datetime | None]:
        for attempt in range(1, _TRIES + 1):
            try:
                with self._engine.begin() as connection:
                    # A transaction that was rolled back has left what it noted.
                    take_due(connection)
                    result = work(connection)
                    due = take_due(connection)
            except PoolTimeoutError:
                raise DatabaseUnavailableError from None
            except DBAPIError as error:
                state = sqlstate(error)
                if state in _RETRIED and attempt < _TRIES:
                    # Two that met once meet again if both try at once.
                    time.sleep(random.uniform(0, 0.05) * attempt)  # noqa: S311 - a wait
                    continue
                if state == _FOREIGN_KEY_VIOLATION:
                    # Somebody else would have been looked up anew, and not been found, by the work itself.
                    if self._run(functools.partial(_refers_to_a_person, _fields(error)))[0]:
                        raise InvalidTokenError("erased") from None
                    raise
                if state in _RETRIED or state in _UNAVAILABLE or is_connection_lost(error):
                    _LOG.warning("database.unavailable", sqlstate=state, error=type(error.orig).__name__)
                    raise DatabaseUnavailableError from None
                raise
            except OSError as error:
                _LOG.warning("database.unreachable", error=type(error).__name__)
                raise DatabaseUnavailableError from None
            else:
                return result, due
        raise DatabaseUnavailableError


def check_arithmetic(connection: Connection, *, per_instance: int, instances: int) -> str | None:
    """Return a plain fault if a roll-over of all instances could use up the server's connections.

    Two revisions run side by side during an upgrade: instances x connections x 2 must stay below
    ``max_connections`` less the reserved ones.
    """
    limit = connection.execute(
        text("SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int")
    ).scalar_one()
    needed = per_instance * instances * 2
    if needed < limit:
        return None
    return (
        f"KHEOPS_MAX_INSTANCES ({instances}) x connections of each ({per_instance}) x 2 is {needed}, and PostgreSQL "
        f"takes {limit}: lower KHEOPS_MAX_INSTANCES, KHEOPS_DATABASE_POOL or KHEOPS_LOOKUP_THREADS, or raise "
        "max_connections."
    )


def sqlstate(error: DBAPIError) -> str | None:
    """Return the five-character SQLSTATE of a driver error, if it carries one (PostgreSQL appendix A)."""
    return _fields(error).get("C")


def is_connection_lost(error: DBAPIError) -> bool:
    """Return whether the error means that the connection is gone, rather than that a statement was wrong."""
    return error.connection_invalidated or isinstance(error, OperationalError | AlchemyInterfaceError)


def _name(work: Callable[..., object]) -> str:
    """Return what the code calls a unit of work."""
    while isinstance(work, functools.partial):
        work = work.func
    return getattr(work, "__qualname__", type(work).__name__)


def _fields(error: DBAPIError) -> Mapping[str, str]:
    """Return the fields of a driver error, by their letters (PostgreSQL 55.8); none if it is not the server's."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], dict) else {}


def _refers_to_a_person(fields: Mapping[str, str], connection: Connection) -> bool:
    """Return whether the violated constraint of an error's fields lets a row refer to a person."""
    found: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid "
            "WHERE c.conname = :name AND t.relname = :table AND c.confrelid = to_regclass('users'))"
        ),
        {"name": fields.get("n"), "table": fields.get("t")},
    ).scalar_one()
    return found


def _connect(source: ConnectionSource) -> pg8000.dbapi.Connection:
    connection = source.open()
    cursor = connection.cursor()
    cursor.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_MS}")
    cursor.execute(f"SET work_mem = '{_WORK_MEM}'")
    # Compiling takes longer than a list of studies does: 110 to 120 ms.
    cursor.execute("SET jit = off")
    cursor.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
    cursor.execute("SET idle_in_transaction_session_timeout = 60000")
    cursor.execute("SET timezone = 'UTC'")
    connection.commit()
    return connection
