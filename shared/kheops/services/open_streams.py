"""How many retrievals one person has open at once, so that slow readers leave the store to others."""

import asyncio
from collections import deque
from typing import Final

from kheops.errors import TooManyRequestsError
from kheops.ids import UserPk
from kheops.observability import get_logger

__all__ = ["OpenStreams", "StreamPlace"]

_RETRY_AFTER: Final = 5
"""Seconds."""

_LOG = get_logger(__name__)


class StreamPlace:
    """The right to have one retrieval open; `OpenStreams.take` gives it."""

    __slots__ = ("_streams", "_user")

    def __init__(self, streams: "OpenStreams", user: UserPk) -> None:
        self._streams: OpenStreams | None = streams
        self._user = user

    def give_back(self) -> None:
        """Let the next one in. Harmless when repeated."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams._end(self._user)  # noqa: SLF001 - two halves of one thing

    def __del__(self) -> None:
        """Give back what an answer that never began, or was dropped with its task, has kept."""
        self.give_back()


class OpenStreams:
    """Counts the open retrievals of each person in this process.

    A person is counted as a whole: tokens and viewer tokens of theirs share the limit, since anybody makes as many of
    them as they like.

    Parameters
    ----------
    limit
        Retrievals of one person that may be open.
    patience
        Seconds that a further one waits. Those who wait are let in in their order.
    """

    def __init__(self, *, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._open: dict[UserPk, int] = {}
        self._waiting: dict[UserPk, deque[asyncio.Future[None]]] = {}

    async def take(self, user: UserPk) -> StreamPlace:
        """Return a place, at once or when another one is given back.

        Raises
        ------
        TooManyRequestsError
            If none is given back in time.
        """
        count = self._open.get(user, 0)
        if count < self._limit:
            self._open[user] = count + 1
        else:
            await self._wait(user)
        return StreamPlace(self, user)

    async def _wait(self, user: UserPk) -> None:
        """Wait until somebody's place is ours; the count stays as it is then."""
        turn = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(user, deque())
        queue.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._end(user)
            elif turn in queue:
                self._forget(user, turn)
            if isinstance(error, TimeoutError):
                _LOG.warning("stream.refused", open=self._limit)
                raise TooManyRequestsError(
                    "Too many retrievals are open. Read or close some of them.", retry_after=_RETRY_AFTER
                ) from None
            raise

    def _forget(self, user: UserPk, turn: "asyncio.Future[None]") -> None:
        queue = self._waiting[user]
        queue.remove(turn)
        if not queue:
            del self._waiting[user]

    def _end(self, user: UserPk) -> None:
        """Hand a place to whoever waits longest, or count one less."""
        queue = self._waiting.get(user)
        while queue:
            turn = queue.popleft()
            if not queue:
                del self._waiting[user]
            if not turn.done():
                turn.set_result(None)
                return
        count = self._open[user] - 1
        if count:
            self._open[user] = count
        else:
            del self._open[user]
