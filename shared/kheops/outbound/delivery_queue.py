"""Waking the deliverer by Cloud Tasks: a task at the second in which something of the outbox is due.

The outbox in the database stays the truth. A task says nothing but "look now"; one that is lost costs no more than
the wait for the sweep of the scheduler. Which address is called, and as whom, the queue itself says (its
``httpTarget``), so that whoever may add a task can neither call another address in that name nor see a token.

Sources: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create (names, 409 for
one that is there or was) and https://cloud.google.com/tasks/docs/configuring-queues (routing of the queue).
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

import httpx

from kheops.clock import Clock
from kheops.errors import KheopsError
from kheops.observability import get_logger

__all__ = ["DeliveryQueue"]

_LOG = get_logger(__name__)

_ADDRESS: Final = "https://events.invalid/tasks/deliver"
"""A task has to have one; the queue replaces it."""
_FARTHEST: Final = timedelta(hours=1)
"""What is due later is left to the sweep."""
_SECONDS: Final = 10.0
_AT_ONCE: Final = 16
"""Calls under way; further ones are left out, and the sweep makes them good."""
_TAKEN: Final = frozenset({HTTPStatus.OK, HTTPStatus.CONFLICT})


class DeliveryQueue:
    """Asks Cloud Tasks to have the deliverer called.

    Parameters
    ----------
    queue
        The queue's resource below the API's root: ``https://cloudtasks.googleapis.com/v2/projects/P/locations/L/queues/Q``.
    client
        Sends the calls; it is not closed here.
    authorization
        Gives the ``Authorization`` header's value; raises a `KheopsError` if there is none now.
    clock
        The current time.
    """

    def __init__(
        self,
        queue: str,
        *,
        client: httpx.AsyncClient,
        authorization: Callable[[], Awaitable[str | None]],
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._resource = queue[queue.index("/projects/") + 1 :]
        self._client = client
        self._authorization = authorization
        self._clock = clock
        self._calls: set[asyncio.Task[None]] = set()
        self._asked: set[int] = set()

    def wake(self, due: datetime) -> None:
        """Begin to ask that the deliverer be called within a second of ``due`` (aware), or of now.

        A second is asked for once. It returns at once and never raises: what it cannot ask for, the sweep makes good.
        """
        at = self._clock()
        if due - at > _FARTHEST:
            return
        # The next whole second: a task of this one may run already, and not see what was committed just now.
        second = math.floor(max(at, due).timestamp()) + 1
        self._asked = {each for each in self._asked if each > at.timestamp()}
        if second in self._asked or len(self._calls) >= _AT_ONCE:
            return
        self._asked.add(second)
        call = asyncio.get_running_loop().create_task(self._ask(second))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def aclose(self) -> None:
        """Wait for the calls that are under way."""
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _ask(self, second: int) -> None:
        # All processes give one second the same name, so that it becomes one task. Names that count up would all lie
        # in one place of the service, which slows it down.
        scattered = hashlib.sha256(str(second).encode()).hexdigest()[:8]
        task = {
            "name": f"{self._resource}/tasks/deliver-{scattered}-{second}",
            "scheduleTime": datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"),
            "httpRequest": {"url": _ADDRESS, "httpMethod": "POST"},
        }
        try:
            async with asyncio.timeout(_SECONDS):
                value = await self._authorization()
                headers = {} if value is None else {"Authorization": value}
                answer = await self._client.post(f"{self._queue}/tasks", json={"task": task}, headers=headers)
        except (KheopsError, TimeoutError, httpx.HTTPError) as error:
            _LOG.warning("outbox.not_woken", error=type(error).__name__)
            return
        if answer.status_code not in _TAKEN:
            _LOG.warning("outbox.not_woken", status=answer.status_code)
