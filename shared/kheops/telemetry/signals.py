"""What the code tells of itself: counts, levels, and parts of traces. Without a recorder it is told to nobody.

Names and values come from closed lists in the code, since they leave the system: statuses, kinds, templates of routes.
A path, a UID, a token or the words of an exception is never one of them.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from enum import Enum
from typing import Final, Protocol, Self

from typing_extensions import override

from kheops.request_context import RequestContext

__all__ = [
    "Count",
    "Level",
    "Part",
    "Recorder",
    "ServedRequest",
    "count",
    "install",
    "installed",
    "level",
    "part",
]


class Count(Enum):
    """What is counted: the metric's name, its unit (UCUM), and what it says."""

    DENIALS = ("kheops.denials", "{denial}", "Decisions that went against the caller, by reason.")
    KEY_FETCHES = ("kheops.issuer.key_fetches", "{fetch}", "Fetches of issuers' keys, by outcome.")
    REQUEST_BYTES = ("kheops.http.request.bytes", "By", "Bytes of the bodies of requests that were taken.")
    RESPONSE_BYTES = ("kheops.http.response.bytes", "By", "Bytes of the bodies of answers.")
    STORE_RETRIES = ("kheops.store.retries", "{retry}", "Requests to the store that were sent again.")


class Level(Enum):
    """What goes up and down: the metric's name, its unit (UCUM), and what it says."""

    HELD_BYTES = ("kheops.uploads.held_bytes", "By", "Bytes of uploads that this process holds.")
    OPEN_STREAMS = ("kheops.streams.open", "{stream}", "Retrievals that this process has open.")
    OUTBOX_BACKLOG = ("kheops.outbox.backlog", "{task}", "Tasks of the outbox that are due and not done, each minute.")


class Part(Protocol):
    """A part of a trace that is under way."""

    def tell(self, name: str, value: str | int) -> None:
        """Add something that is known only now."""


class ServedRequest(Protocol):
    """A request that is being answered."""

    def end(
        self,
        *,
        route: str | None,
        status: int | None,
        error: str | None,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Say how it ended.

        Parameters
        ----------
        route
            The template of its path; ``None`` if there is no such path.
        status
            Of the answer; ``None`` if none was begun.
        error
            Which kind of error it was: our code of it, or a class of exception.
        request_bytes, response_bytes
            Of the bodies.
        """


class Recorder(Protocol):
    """What is told about all this, and passes it on. It never raises and never waits."""

    def count(self, what: Count, amount: int, attributes: dict[str, str]) -> None:
        """Add to a count."""

    def level(self, what: Level, value: int) -> None:
        """Set a level."""

    def watch(self, what: Level, read: Callable[[], int]) -> None:
        """Read a level whenever it is wanted, from another thread."""

    def part(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Part]:
        """Begin a part of the trace of the running request, if that is traced."""

    def request(self, context: RequestContext, *, method: str) -> ServedRequest:
        """Begin a request."""


class _NoPart(AbstractContextManager[Part]):
    """Nothing, told to nobody."""

    __slots__ = ()

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_: object) -> None:
        return None

    def tell(self, name: str, value: str | int) -> None:
        del name, value


class _Installed:
    """Who is told, in this process."""

    recorder: Recorder | None = None


NO_PART: Final = _NoPart()


def install(recorder: Recorder | None) -> None:
    """Tell ``recorder`` from now on; ``None`` tells nobody."""
    _Installed.recorder = recorder


def installed() -> Recorder | None:
    """Return who is told; ``None`` if nobody."""
    return _Installed.recorder


def count(what: Count, amount: int = 1, **attributes: str) -> None:
    """Add ``amount`` to a count."""
    recorder = _Installed.recorder
    if recorder is not None:
        recorder.count(what, amount, attributes)


def level(what: Level, value: int) -> None:
    """Set a level."""
    recorder = _Installed.recorder
    if recorder is not None:
        recorder.level(what, value)


def part(name: str, attributes: Mapping[str, str]) -> AbstractContextManager[Part]:
    """Return a context whose time is a part of the trace of the running request, if that is traced."""
    recorder = _Installed.recorder
    return NO_PART if recorder is None else recorder.part(name, attributes)
