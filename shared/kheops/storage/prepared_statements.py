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
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pg8000.core
import pg8000.dbapi
import pg8000.native
from pg8000.converters import make_params

from kheops.errors import DatabaseUnavailableError
from kheops.observability import get_logger
from kheops.request_context import RequestContext, current_request, set_request
from kheops.storage.connections import ConnectionSource
from kheops.telemetry.signals import part

__all__ = ["PreparedStatements", "Rows"]

_LOG = get_logger(__name__)

_STATEMENT_TIMEOUT: Final = "2s"
_QUEUE_LIMIT: Final = 2048
"""Lookups that may wait; beyond it the answer is 503 at once."""
_NULL: Final = b"\xff\xff\xff\xff"
"""The length of no value."""
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")

Rows = Sequence[Sequence[Any]]
"""What a statement returned, in the driver's types."""


class _Answers:
    """Hands answers of the threads to whoever waits for them in one event loop, waking it once for all that are there.

    Parameters
    ----------
    loop
        The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._given: deque[tuple[asyncio.Future[Rows], Rows, Exception | None]] = deque()
        self._woken = False

    def give(self, future: "asyncio.Future[Rows]", rows: Rows, error: Exception | None = None) -> None:
        """Settle ``future`` in its loop; for any thread."""
        self._given.append((future, rows, error))
        if self._woken:
            # It has yet to look, and will find this one too.
            return
        self._woken = True
        # The loop is closed when the process ends before the answer: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        # Before looking: what is given from now on wakes the loop again.
        self._woken = False
        while self._given:
            future, rows, error = self._given.popleft()
            if future.cancelled():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(rows)


@dataclass(slots=True)
class _Job:
    answers: _Answers
    future: asyncio.Future[Rows]
    statement: str
    parameters: dict[str, object]
    request: RequestContext | None
    """To which what the thread logs belongs."""


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
        self._answers: _Answers | None = None
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
        answers = self._answers
        if answers is None or answers.loop is not loop:
            answers = self._answers = _Answers(loop)
        future: asyncio.Future[Rows] = loop.create_future()
        with part("lookup", {"kheops.statement": statement}):
            self._jobs.put(_Job(answers, future, statement, parameters, current_request()))
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
            set_request(job.request)
            try:
                rows = worker.run(job.statement, job.parameters)
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiting request must hear of it
                job.answers.give(job.future, (), error)
            else:
                job.answers.give(job.future, rows)
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
        return _in_one_answer(self._connection, prepared, parameters)


def _typed(sql: str, types: Mapping[str, str]) -> str:
    return _PARAMETER.sub(lambda match: f"CAST(:{match[1]} AS {types[match[1]]})", sql)


def _in_one_answer(
    connection: pg8000.dbapi.Connection, prepared: pg8000.native.PreparedStatement, parameters: Mapping[str, object]
) -> Rows:
    """Do as ``prepared.run`` does, but without a Flush behind each message.

    Each Flush (PostgreSQL's documentation, message flow of an extended query) has the server send an answer of its
    own: the thread wakes up for every one, and a third of the lookup's CPU went there (measured). The driver reads the
    answer, and raises what it would raise.
    """
    pieces = [b"\x00", prepared.name_bin, b"\x00\x00"]
    values = make_params(connection.py_types, prepared.make_vals(parameters))
    pieces.append(len(values).to_bytes(2, "big"))
    for value in values:
        if value is None:
            pieces.append(_NULL)
        else:
            encoded = value.encode(connection._client_encoding)  # noqa: SLF001 - the driver has no other way to this
            pieces += (len(encoded).to_bytes(4, "big"), encoded)
    pieces.append(b"\x00\x00")
    # It checks that the connection is open, and frames the message; nothing is sent yet.
    connection._send_message(pg8000.core.BIND, b"".join(pieces))  # noqa: SLF001 - as above
    socket = connection._sock  # noqa: SLF001 - as above
    socket.write(pg8000.core.EXECUTE_MSG + pg8000.core.SYNC_MSG)
    socket.flush()
    context = pg8000.core.Context(prepared.statement, columns=prepared.cols, input_funcs=prepared.input_funcs)
    connection.handle_messages(context)
    rows: Rows = context.rows
    return rows
