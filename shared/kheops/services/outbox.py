"""The worker of the outbox: claims what is due, sends it, and writes down how that ended.

A claim is a transaction of its own, and so is the end of an attempt; between them lies only the sending. Killed at
any point, a task is either still due or leased, and the next worker has it when the lease has run out. Several workers
share the tasks; none waits for another.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.errors import UnavailableError
from kheops.observability import get_logger
from kheops.storage import outbox, webhook_deliveries
from kheops.storage.engine import Database
from kheops.storage.outbox import MOST_ATTEMPTS, Task

__all__ = ["WAITS", "Outbox", "Sender", "Sent"]

_LOG = get_logger(__name__)

WAITS: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
"""Before the second, third, fourth and fifth attempt; each up to a tenth longer, so that not all come back at once."""
_LEASE: Final = timedelta(minutes=2)
"""Longer than any sender takes: the far end has ten seconds, a mail server ten for each of a few exchanges."""
_AT_ONCE: Final = 8
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


class Outbox:
    """Delivers what is in the outbox.

    Parameters
    ----------
    database, clock
        Where tasks are, and the current time.
    senders
        By kind of task. Kinds without one wait: another process may have it.
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
        waits: Sequence[timedelta] = WAITS,
        lease: timedelta = _LEASE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._senders = senders
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
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                free = _AT_ONCE - len(running)
                claimed = await self._claim(free) if free else []
                number += len(claimed)
                running |= {asyncio.create_task(self._attempt(task)) for task in claimed}
                if not running:
                    return number
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
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
            return outbox.give_up_expired(tx, at=at)

        given_up = await self._database.run(work)
        if given_up:
            _LOG.warning("outbox.given_up", tasks=given_up)

    async def _claim(self, most: int) -> list[Task]:
        kinds = sorted(self._senders)
        return await self._database.run(
            lambda tx: outbox.claim(tx, kinds=kinds, at=self._clock(), lease=self._lease, most=most)
        )

    async def _attempt(self, task: Task) -> None:
        try:
            sent = await self._senders[task.kind](task)
        except UnavailableError:
            sent = Sent(delivered=False)
        except Exception:  # noqa: BLE001 - one task that cannot be sent must not keep the others
            _LOG.exception("outbox.task_failed", kind=task.kind, task=task.pk)
            sent = Sent(delivered=False)
        ended = sent.delivered or not sent.again or task.attempt >= MOST_ATTEMPTS
        if not await self._database.run(partial(self._end, task=task, sent=sent, ended=ended)):
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
        if kept and sent.record is not None:
            sent.record(tx)
        return kept
