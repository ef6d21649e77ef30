"""A process-wide limit on bytes that uploads hold in memory."""

import asyncio
from collections import deque
from typing import Final

from kheops.errors import UnavailableError

__all__ = ["ByteBudget", "take_or_refuse"]

_WAIT_SECONDS: Final = 30
"""How long an upload waits for memory that others hold before it is told to come again."""


class ByteBudget:
    """Hands out bytes in the order of asking; who asks for more than is left waits.

    Parameters
    ----------
    limit
        Bytes in all.
    """

    def __init__(self, limit: int) -> None:
        self.limit: Final = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held(self) -> int:
        """Bytes handed out."""
        return self.limit - self._free

    def try_take(self, amount: int) -> bool:
        """Take ``amount`` bytes if they are free and nobody waits; return whether they were taken."""
        if self._waiting or amount > self._free:
            return False
        self._free -= amount
        return True

    async def take(self, amount: int) -> None:
        """Take ``amount`` bytes, waiting for them.

        Whoever waits must hold nothing that only they can give back by getting more: else all could wait for each
        other.
        """
        if self.try_take(amount):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give_back(amount)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not future)
            raise

    def give_back(self, amount: int) -> None:
        """Give bytes back, and let who waits longest go on."""
        self._free += amount
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, future = self._waiting.popleft()
            if not future.done():
                self._free -= wanted
                future.set_result(None)


async def take_or_refuse(budget: ByteBudget, amount: int) -> None:
    """Take ``amount`` bytes, waiting for them for half a minute.

    Raises
    ------
    UnavailableError
        If others hold them for longer.
    """
    try:
        await asyncio.wait_for(budget.take(amount), _WAIT_SECONDS)
    except TimeoutError:
        raise UnavailableError("Too many uploads are under way.") from None
