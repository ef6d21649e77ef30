"""Prepared statements on connections of their own, for the pixel path.

pg8000 is as fast as any driver with prepared statements and three to five times dearer without (measured), and
SQLAlchemy prepares none. Each thread owns one connection; a lost connection is opened again and the statement run
once more, which is safe since all of them only read.
"""

import asyncio
import contextlib
import queue
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pg8000.dbapi
import pg8000.native

from kheops.errors import DatabaseUnavailableError
from kheops.observability import get_logger
from kheops.storage.connections import ConnectionSource

__all__ = ["PreparedStatements", "Rows"]

_LOG = get_logger(__name__)

_STATEMENT_TIMEOUT: Final = "2s"
_QUEUE_LIMIT: Final = 2048
"""Lookups that may wait; beyond it the answer is 503 at once."""
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")

Rows = Sequence[Sequence[Any]]
"""What a statement returned, in the driver's types."""


@dataclass(frozen=True, slots=True)
class _Job:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Rows]
    statement: str
    parameters: dict[str, object]


class PreparedStatements:
    """Runs statements that only read, each prepared once for each connection.

    Parameters
    ----------
    source
        What opens connections.
    statements
        SQL by name, its parameters as ``:name``.
    types
        Of each parameter: a statement is prepared before the driver sees a value to infer a type from.
    threads
        Worker threads, each with one connection.
    """

    def __init__(
        self, source: ConnectionSource, statements: Mapping[str, str], types: Mapping[str, str], *, threads: int
    ) -> None:
        self._source = source
        self._statements = {name: _typed(sql, types) for name, sql in statements.items()}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"lookup-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, statement: str, parameters: dict[str, object]) -> Rows:
        """Return the rows of a statement by its name.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer in time, or too many lookups wait.
        """
        if self._jobs.qsize() >= _QUEUE_LIMIT:
            raise DatabaseUnavailableError("Too many requests wait for the database.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Rows] = loop.create_future()
        self._jobs.put(_Job(loop, future, statement, parameters))
        return await future

    async def aclose(self) -> None:
        """End the threads and close their connections."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 5)

    def _work(self) -> None:
        worker = _Worker(self._source, self._statements)
        while (job := self._jobs.get()) is not None:
            try:
                rows = worker.run(job.statement, job.parameters)
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiting request must hear of it
                _deliver(job, None, error)
            else:
                _deliver(job, rows, None)
        worker.close()


class _Worker:
    """One connection with its prepared statements; used by one thread."""

    def __init__(self, source: ConnectionSource, statements: Mapping[str, str]) -> None:
        self._source = source
        self._statements = statements
        self._connection: pg8000.dbapi.Connection | None = None
        self._prepared: dict[str, Any] = {}

    def run(self, statement: str, parameters: dict[str, object]) -> Rows:
        fresh = self._connection is None
        try:
            return self._run(statement, parameters)
        except pg8000.native.DatabaseError as error:
            # The server's word about the statement; the connection survives, unless the server is going away.
            code = error.args[0].get("C", "") if error.args and isinstance(error.args[0], dict) else ""
            if not code.startswith("57P"):
                _LOG.warning("lookup.failed", statement=statement, sqlstate=code)
                raise DatabaseUnavailableError from None
        except (pg8000.native.InterfaceError, OSError) as error:
            _LOG.warning("lookup.connection_lost", error=type(error).__name__)
        self.close()
        if fresh:
            raise DatabaseUnavailableError
        try:
            return self._run(statement, parameters)
        except (pg8000.native.DatabaseError, pg8000.native.InterfaceError, OSError) as error:
            _LOG.warning("lookup.unavailable", error=type(error).__name__)
            self.close()
            raise DatabaseUnavailableError from None

    def close(self) -> None:
        self._prepared.clear()
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _run(self, statement: str, parameters: dict[str, object]) -> Rows:
        if self._connection is None:
            connection = self._source.open()
            self._connection = connection
            # Not by a cursor, which would begin a transaction.
            connection.execute_simple(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'")
            connection.execute_simple("SET default_transaction_read_only = on")
            connection.execute_simple("SET timezone = 'UTC'")
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = pg8000.native.PreparedStatement(self._connection, self._statements[statement])
            self._prepared[statement] = prepared
        rows: Rows = prepared.run(**parameters)
        return rows


def _typed(sql: str, types: Mapping[str, str]) -> str:
    return _PARAMETER.sub(lambda match: f"CAST(:{match[1]} AS {types[match[1]]})", sql)


def _deliver(job: _Job, rows: Rows | None, error: Exception | None) -> None:
    def settle() -> None:
        if job.future.cancelled():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(rows if rows is not None else ())

    # The loop is closed when the process ends before the answer: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        job.loop.call_soon_threadsafe(settle)
