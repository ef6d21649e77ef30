"""One body made of several answers of the store, as they arrive.

What the body looks like is the `Joiner`'s: it sees the bytes of one answer after the other and says what is sent for
them. The body ends well only if every answer did.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Generic, Protocol, TypeVar

from kheops.archive.port import ArchiveStream
from kheops.services.store_answers import Abortable, OpenedAhead

__all__ = ["JoinedBody", "Joiner"]

_STATUS: Final = 200

_Answer = TypeVar("_Answer", bound=Abortable)
_Answer_contra = TypeVar("_Answer_contra", contravariant=True)


class Joiner(Protocol[_Answer_contra]):
    """What a joined body looks like."""

    @property
    def content_type(self) -> str:
        """The body's Content-Type, known once its first piece is."""

    def begin(self, answer: _Answer_contra) -> ArchiveStream:
        """Take note that an answer begins, and return its bytes."""

    async def take(self, chunk: bytes) -> bytes:
        """Return what is sent for the next bytes of the answer; may be empty."""

    def end(self) -> None:
        """Take note that the answer has ended; raises `KheopsError` if it was not complete."""

    def close(self) -> bytes:
        """Return what ends the body; raises `ArchiveAbsentError` if there is nothing in it."""


class JoinedBody(Generic[_Answer]):
    """An `ArchiveStream` of several; `begun` makes it.

    Parameters
    ----------
    answers
        The store's answers.
    joiner
        Says what is sent for them.
    """

    def __init__(self, answers: OpenedAhead[_Answer], joiner: Joiner[_Answer]) -> None:
        self._answers = answers
        self._joiner = joiner
        self._body = self._joined()
        self._begun: list[bytes] = []

    @classmethod
    async def begun(cls, answers: AsyncGenerator[_Answer, None], joiner: Joiner[_Answer]) -> "JoinedBody[_Answer]":
        """Return a body whose first piece has arrived: what is wrong before it can still be answered as an error.

        Parameters
        ----------
        answers
            Opens the store's answers one by one; the next one is opened while one is read.
        joiner
            Says what is sent for them.

        Raises
        ------
        KheopsError
            As opening the first answer does, or the joiner does for its first bytes.
        """
        joined = cls(OpenedAhead(answers), joiner)
        try:
            joined._begun.append(await anext(joined._body))
        except BaseException:
            joined.abort()
            raise
        return joined

    @property
    def status(self) -> int:
        """Always 200."""
        return _STATUS

    @property
    def content_type(self) -> str:
        """As the joiner says."""
        return self._joiner.content_type

    @property
    def content_length(self) -> None:
        """Not known before the end."""
        return

    @property
    def content_range(self) -> None:
        """Never a range."""
        return

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once.

        Raises
        ------
        ArchiveUnavailableError
            If an answer ends before it is complete, or the next one cannot be had.
        ArchiveProtocolError
            If one is not what was asked for.
        """
        while self._begun:
            yield self._begun.pop()
        async for piece in self._body:
            yield piece

    def abort(self) -> None:
        """Close all connections to the store."""
        self._answers.abort()

    async def _joined(self) -> AsyncGenerator[bytes, None]:
        joiner = self._joiner
        while (answer := await self._answers.next()) is not None:
            async for chunk in joiner.begin(answer).chunks():
                piece = await joiner.take(chunk)
                if piece:
                    yield piece
            joiner.end()
        yield joiner.close()
