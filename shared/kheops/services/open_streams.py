"""How many retrievals one person or link has open at once, so that slow readers leave the store to others."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from kheops.domain.principals import LinkVisit, Principal, parent_of
from kheops.errors import TooManyRequestsError
from kheops.ids import LinkPk, UserPk
from kheops.observability import get_logger

__all__ = ["OpenStreams", "StreamHolder", "StreamPlace"]

_RETRY_AFTER: Final = 5
"""Seconds."""

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamHolder:
    """Whose retrievals are counted together.

    Parameters
    ----------
    user
        A person, with their tokens and viewer tokens, since anybody makes as many of them as they like.
    link
        A link of theirs, whose visitors share its places and leave their host's alone.
    """

    user: UserPk
    link: LinkPk | None = None

    @classmethod
    def of(cls, principal: Principal) -> "StreamHolder":
        """Return under whom the retrievals of a principal are counted."""
        parent = parent_of(principal)
        return cls(principal.user, parent.pk if isinstance(parent, LinkVisit) else None)


class StreamPlace:
    """The right to have one retrieval open; `OpenStreams.take` gives it."""

    __slots__ = ("_holder", "_streams")

    def __init__(self, streams: "OpenStreams", holder: StreamHolder) -> None:
        self._streams: OpenStreams | None = streams
        self._holder = holder

    def give_back(self) -> None:
        """Let the next one in. Harmless when repeated."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams._end(self._holder)  # noqa: SLF001 - two halves of one thing

    def __del__(self) -> None:
        """Give back what an answer that never began, or was dropped with its task, has kept."""
        self.give_back()


class OpenStreams:
    """Counts the open retrievals of each person, and of the visitors of each link, in this process.

    Parameters
    ----------
    limit
        Retrievals of one holder that may be open.
    patience
        Seconds that a further one waits. Those who wait are let in in their order.
    """

    def __init__(self, *, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._open: dict[StreamHolder, int] = {}
        self._waiting: dict[StreamHolder, deque[asyncio.Future[None]]] = {}

    @property
    def open(self) -> int:
        """How many retrievals are open; may be asked from another thread."""
        return sum(tuple(self._open.values()))

    async def take(self, holder: StreamHolder) -> StreamPlace:
        """Return a place, at once or when another one is given back.

        Raises
        ------
        TooManyRequestsError
            If none is given back in time.
        """
        count = self._open.get(holder, 0)
        if count < self._limit:
            self._open[holder] = count + 1
        else:
            await self._wait(holder)
        return StreamPlace(self, holder)

    async def _wait(self, holder: StreamHolder) -> None:
        """Wait until somebody's place is ours; the count stays as it is then."""
        turn = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(holder, deque())
        queue.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._end(holder)
            elif turn in queue:
                self._forget(holder, turn)
            if isinstance(error, TimeoutError):
                _LOG.warning("stream.refused", open=self._limit)
                raise TooManyRequestsError(
                    "Too many retrievals are open. Read or close some of them.", retry_after=_RETRY_AFTER
                ) from None
            raise

    def _forget(self, holder: StreamHolder, turn: "asyncio.Future[None]") -> None:
        queue = self._waiting[holder]
        queue.remove(turn)
        if not queue:
            del self._waiting[holder]

    def _end(self, holder: StreamHolder) -> None:
        """Hand a place to whoever waits longest, or count one less."""
        queue = self._waiting.get(holder)
        while queue:
            turn = queue.popleft()
            if not queue:
                del self._waiting[holder]
            if not turn.done():
                turn.set_result(None)
                return
        count = self._open[holder] - 1
        if count:
            self._open[holder] = count
        else:
            del self._open[holder]
