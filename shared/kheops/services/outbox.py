"""The worker of the outbox: claims what is due, sends it, and writes down how that ended.

A claim is a transaction of its own, and so is the end of an attempt; between them lies only the sending. Killed at
any point, a task is either still due or leased, and the next worker has it when the lease has run out. Several workers
share the tasks; none waits for another.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.errors import UnavailableError
from kheops.observability import get_logger
from kheops.storage import allowances, outbox, webhook_deliveries
from kheops.storage.engine import Database
from kheops.storage.outbox import MOST_ATTEMPTS, Task
from kheops.telemetry.signals import Level, installed, level

__all__ = ["WAITS", "GivenUp", "Outbox", "Sender", "Sent"]

_LOG = get_logger(__name__)

WAITS: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
"""Before the second, third, fourth and fifth attempt; each up to a tenth longer, so that not all come back at once."""
_LEASE: Final = timedelta(minutes=2)
"""Longer than any sender takes: the far end has ten seconds, a mail server ten for each of a few exchanges."""
_AT_ONCE: Final = 8
"""Tasks of one kind that a worker has under way, so that one kind's slow ones keep no other kind waiting."""
_POLL_SECONDS: Final = 1.0
_KEPT: Final = timedelta(days=7)
"""Ended tasks, which hold nothing any longer, for whoever looks for a fault."""
_LOG_KEPT: Final = timedelta(days=90)
"""The log of deliveries that administrators of albums read."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How an attempt ended.

    Parameters
    ----------
    delivered
        Whether it is done.
    again
        Whether another attempt is of any use, where it is not.
    record
        Written in the transaction of the end; not if another worker has begun a later attempt meanwhile.
    """

    delivered: bool
    again: bool = True
    record: Callable[[Connection], None] | None = None


Sender = Callable[[Task], Awaitable[Sent]]
"""Sends one kind of task. What it raises counts as an attempt without answer."""

GivenUp = Callable[[Connection, Task, datetime], None]
"""Writes down that a task had its last attempt without any record of it, in the transaction that ends it."""


class Outbox:
    """Delivers what is in the outbox.

    Parameters
    ----------
    database, clock
        Where tasks are, and the current time.
    senders
        By kind of task. Kinds without one wait: another process may have it.
    given_up
        By kind, what is written where the last attempt of a task has left no record.
    waits
        Before each further attempt.
    lease
        How long a worker that died keeps a task from the others.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        senders: Mapping[str, Sender],
        *,
        given_up: Mapping[str, GivenUp] | None = None,
        waits: Sequence[timedelta] = WAITS,
        lease: timedelta = _LEASE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._senders = senders
        self._given_up = given_up or {}
        self._waits = waits
        self._lease = lease

    async def run_once(self) -> int:
        """Deliver everything that is due now, and return how many attempts that took.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        number = 0
        running: dict[asyncio.Task[None], str] = {}
        try:
            while True:
                under_way = Counter(running.values())
                for task in await self._claim(under_way):
                    number += 1
                    running[asyncio.create_task(self._attempt(task))] = task.kind
                if not running:
                    return number
                # What becomes due meanwhile does not wait for the slowest.
                done, _ = await asyncio.wait(running, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    del running[each]
        except UnavailableError:
            # What is on its way has been sent perhaps; cut off, it would be sent again, and have lost an attempt.
            if running:
                await asyncio.wait(running)
            raise
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def run_forever(self) -> None:
        """Do as `run_once`, again and again, within a second of what becomes due; never returns."""
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:
                _LOG.warning("outbox.waits", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - the next round tries again; the log says what it was
                _LOG.exception("outbox.failed")
            await asyncio.sleep(_POLL_SECONDS)

    async def clear(self) -> None:
        """Give up what died in its last attempt, and delete what ended long ago."""
        at = self._clock()

        def work(tx: Connection) -> int:
            outbox.clear(tx, before=at - _KEPT)
            webhook_deliveries.clear(tx, before=at - _LOG_KEPT)
            allowances.clear(tx, at=at)
            dead = outbox.give_up_expired(tx, at=at)
            for task in dead:
                self._write_given_up(tx, task, at)
            return len(dead)

        given_up = await self._database.run(work)
        if installed() is not None:
            level(Level.OUTBOX_BACKLOG, await self._database.run(partial(outbox.backlog, at=at)))
        if given_up:
            _LOG.warning("outbox.given_up", tasks=given_up)

    async def _claim(self, under_way: Mapping[str, int]) -> list[Task]:
        free = {kind: _AT_ONCE - under_way.get(kind, 0) for kind in sorted(self._senders)}
        most = {kind: number for kind, number in free.items() if number}
        if not most:
            return []
        return await self._database.run(lambda tx: outbox.claim(tx, most=most, at=self._clock(), lease=self._lease))

    async def _attempt(self, task: Task) -> None:
        try:
            sent = await self._senders[task.kind](task)
        except UnavailableError:
            sent = Sent(delivered=False)
        except Exception:  # noqa: BLE001 - one task that cannot be sent must not keep the others
            _LOG.exception("outbox.task_failed", kind=task.kind, task=task.pk)
            sent = Sent(delivered=False)
        ended = sent.delivered or not sent.again or task.attempt >= MOST_ATTEMPTS
        try:
            kept = await self._database.run(partial(self._end, task=task, sent=sent, ended=ended))
        except UnavailableError:
            # The lease runs out, and the task is sent again: at least once.
            _LOG.warning("outbox.end_lost", kind=task.kind, task=task.pk, attempt=task.attempt)
        except Exception:  # noqa: BLE001 - one task whose end cannot be written must not keep the others
            _LOG.exception("outbox.end_failed", kind=task.kind, task=task.pk, attempt=task.attempt)
        else:
            if not kept:
                _LOG.warning("outbox.overtaken", kind=task.kind, task=task.pk, attempt=task.attempt)
            elif ended and not sent.delivered:
                _LOG.warning("outbox.undelivered", kind=task.kind, task=task.pk, attempts=task.attempt)

    def _end(self, tx: Connection, task: Task, sent: Sent, *, ended: bool) -> bool:
        at = self._clock()
        if ended:
            kept = outbox.finish(tx, task, at=at, delivered=sent.delivered)
        else:
            wait = self._waits[task.attempt - 1] * random.uniform(1, 1.1)  # noqa: S311 - a wait
            kept = outbox.put_off(tx, task, until=at + wait)
        if not kept:
            return False
        if sent.record is not None:
            sent.record(tx)
        elif ended and not sent.delivered:
            self._write_given_up(tx, task, at)
        return True

    def _write_given_up(self, tx: Connection, task: Task, at: datetime) -> None:
        write = self._given_up.get(task.kind)
        if write is not None:
            write(tx, task, at)
