"""Answers of the store on their way to the caller: several opened ahead of time, or one under our own name."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_media_type
from kheops.errors import ArchiveProtocolError, InvalidIdentifierError
from kheops.ids import transfer_syntax_uid

__all__ = ["Abortable", "OpenedAhead", "Renamed", "object_type"]

_DICOM: Final = "application/dicom"
_OCTETS: Final = "application/octet-stream"
_PASSED_ON: Final = frozenset(
    {
        _DICOM,
        _OCTETS,
        "application/x-deflate",
        "image/dicom-rle",
        "image/jls",
        "image/jp2",
        "image/jpeg",
        "image/jphc",
        "image/jpx",
        "image/jxl",
        "image/png",
        "video/h265",
        "video/mp4",
        "video/mpeg",
        "video/mpeg2",
    }
)
"""Media types that a browser does nothing harmful with; any other one is called octets."""


@lru_cache(maxsize=256)
def object_type(sent: str, *, asked: str) -> str:
    """Return the Content-Type of an object, made from what the store called it.

    Parameters
    ----------
    sent
        The store's Content-Type of the object.
    asked
        The media type that was asked for.

    Raises
    ------
    ArchiveProtocolError
        If DICOM was asked for and something else was sent.
    """
    try:
        media_type = parse_media_type(sent)
    except MalformedMediaTypeError:
        essence, syntax = "", None
    else:
        essence, syntax = media_type.essence, media_type.parameters.get("transfer-syntax")
    if asked == _DICOM and essence != _DICOM:
        raise ArchiveProtocolError("the store sent something else than DICOM")
    known = essence if essence in _PASSED_ON else _OCTETS
    try:
        return known if syntax is None else f"{known}; transfer-syntax={transfer_syntax_uid(syntax)}"
    except InvalidIdentifierError:
        return known


class Renamed:
    """An answer whose body is passed on untouched under a Content-Type of ours."""

    __slots__ = ("_inner", "content_length", "content_range", "content_type", "status")

    def __init__(self, inner: ArchiveStream, content_type: str) -> None:
        self._inner = inner
        self.status = inner.status
        self.content_type = content_type
        self.content_length = inner.content_length
        self.content_range = inner.content_range

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once; raises as the store's own stream does."""
        return self._inner.chunks()

    def abort(self) -> None:
        """Close the connection to the store."""
        self._inner.abort()


class Abortable(Protocol):
    """What has a connection to the store."""

    def abort(self) -> None:
        """Close it."""


_Answer = TypeVar("_Answer", bound=Abortable)


class OpenedAhead(Generic[_Answer]):
    """Gives one answer after the other, while the next one is already being opened.

    Parameters
    ----------
    answers
        Opens them one by one.
    """

    def __init__(self, answers: AsyncGenerator[_Answer, None]) -> None:
        self._answers = answers
        self._next: asyncio.Task[_Answer | None] | None = None
        self._current: _Answer | None = None
        self._aborted = False

    async def next(self) -> _Answer | None:
        """Return the next answer; ``None`` after the last one. Raises whatever opening it raised."""
        if self._aborted:
            return None
        task = self._next or self._open()
        self._next = task
        current = await task
        self._current = current
        self._next = None if current is None or self._aborted else self._open()
        if self._aborted and current is not None:
            current.abort()
            return None
        return current

    def abort(self) -> None:
        """Close the connections of the answer in use and of the one being opened."""
        self._aborted = True
        if self._current is not None:
            self._current.abort()
        task, self._next = self._next, None
        if task is not None:
            task.cancel()
            task.add_done_callback(_close)

    def _open(self) -> asyncio.Task[_Answer | None]:
        return asyncio.create_task(self._opened(), name="open-ahead")

    async def _opened(self) -> _Answer | None:
        return await anext(self._answers, None)


def _close(task: asyncio.Task[_Answer | None]) -> None:
    """Close what was opened for nobody, and take note of the error that nobody waits for."""
    if task.cancelled() or task.exception() is not None:
        return
    answer = task.result()
    if answer is not None:
        answer.abort()
