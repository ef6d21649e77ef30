"""Faults on demand: refusals, waits and lost connections, drawn from a seed so that a run can be had again."""

import asyncio
import os
import random
import socket
import stat
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import msgspec
from starlette.types import Message, Receive, Scope, Send

__all__ = ["ConnectionDroppedError", "Fault", "FaultPlan", "Faults", "reset_connection", "share_of"]

_MOST_CUT_AFTER: Final = 256 * 1024
"""Bytes of an unknown length behind which a body is cut at the latest."""


class Fault(StrEnum):
    """What may befall a request."""

    TOO_MANY_REQUESTS = "429"
    """It is refused, and nothing is done."""
    UNAVAILABLE = "503"
    """It is refused, and nothing is done."""
    RESET = "reset"
    """The connection is reset, and nothing is done."""
    RESET_REQUEST = "reset-request"
    """The connection is reset within the request's body; what came whole before stays."""
    RESET_ANSWER = "reset-answer"
    """Everything is done, and the connection is reset instead of an answer."""
    CUT_ANSWER = "cut-answer"
    """Everything is done, and the answer ends within its body."""


class ConnectionDroppedError(Exception):
    """The request's connection is to be reset."""


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What befalls how many requests."""

    shares: dict[Fault, float] = {}
    """Share of requests, from 0 to 1, by fault."""
    latency: float = 0.0
    """Seconds; each request waits for a time drawn between 0 and this."""
    seed: int = 0
    """Where the drawing begins."""
    next: list[Fault] = []
    """What befalls the next requests, one each, before anything is drawn."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for shares that cannot be."""
        if not (all(share >= 0 for share in self.shares.values()) and sum(self.shares.values()) <= 1):
            raise ValueError("shares lie between 0 and 1, and so does their sum")
        if not 0 <= self.latency <= 60:
            raise ValueError("latency lies between 0 and 60 seconds")


def share_of(text: str) -> tuple[Fault, float]:
    """Return what ``FAULT=SHARE`` says; raise `ValueError` if it says nothing of that form."""
    name, _, share = text.partition("=")
    return Fault(name), float(share)


@dataclass(slots=True)
class Faults:
    """Draws what befalls each request.

    Parameters
    ----------
    plan
        From what it is drawn.
    """

    plan: FaultPlan = field(default_factory=FaultPlan)
    counts: Counter[Fault] = field(default_factory=Counter)
    """How often each was dealt out since the plan was set."""
    _random: random.Random = field(init=False, repr=False)
    _next: list[Fault] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Begin with the plan."""
        self.set(self.plan)

    def set(self, plan: FaultPlan) -> None:
        """Begin anew with another plan."""
        self.plan = plan
        self.counts = Counter()
        self._random = random.Random(plan.seed)
        self._next = list(plan.next)

    def draw(self) -> tuple[Fault | None, float]:
        """Return what befalls the next request, and how many seconds it waits first."""
        wait = self._random.uniform(0, self.plan.latency)
        point = self._random.random()
        fault = self._next.pop(0) if self._next else _at(self.plan.shares, point)
        if fault is not None:
            self.counts[fault] += 1
        return fault, wait

    def _cut_point(self, length: int | None) -> int:
        # Fewer than it has, where that is known.
        return self._random.randrange(max(1, _MOST_CUT_AFTER if length is None else length))

    def state(self) -> dict[str, object]:
        """Return plan and counts, for whoever asks."""
        return {**msgspec.to_builtins(self.plan), "counts": {fault.value: self.counts[fault] for fault in Fault}}

    @classmethod
    def of(cls, shares: Sequence[tuple[Fault, float]], *, latency: float, seed: int) -> Self:
        """Return faults as a command line names them; raise `ValueError` for what cannot be."""
        return cls(FaultPlan(shares=dict(shares), latency=latency, seed=seed))

    # What a request is led through -----------------------------------------------------------------------------

    async def befall(
        self, length: int | None, receive: Receive, send: Send
    ) -> tuple[Receive, Send, HTTPStatus | None]:
        """Let the next request wait, and return what it is led through, and with what it is refused, if at all.

        Parameters
        ----------
        length
            Bytes of the request's body, if they are known.
        receive, send
            ASGI's.

        Raises
        ------
        ConnectionDroppedError
            If its connection is to be reset at once.
        """
        fault, wait = self.draw()
        await asyncio.sleep(wait)
        match fault:
            case Fault.TOO_MANY_REQUESTS | Fault.UNAVAILABLE:
                return receive, send, HTTPStatus(int(fault))
            case Fault.RESET:
                raise ConnectionDroppedError
            case Fault.RESET_REQUEST:
                return self._cut_request(receive, length), _no_answer, None
            case Fault.RESET_ANSWER:
                return receive, _no_answer, None
            case Fault.CUT_ANSWER:
                return receive, self._cut_answer(send), None
            case None:
                return receive, send, None

    def _cut_request(self, receive: Receive, length: int | None) -> Receive:
        left = self._cut_point(length)

        async def cut() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0 or not message.get("more_body"):
                raise ConnectionDroppedError
            return message

        return cut

    def _cut_answer(self, send: Send) -> Send:
        left = 0

        async def cut(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                length = _length(message["headers"])
                if length == 0:
                    # It has no body that could be cut: it does not even begin.
                    raise ConnectionDroppedError
                left = self._cut_point(length)
                await send(message)
                return
            body = message.get("body", b"")
            if message.get("more_body") and len(body) <= left:
                left -= len(body)
                await send(message)
                return
            await send({"type": "http.response.body", "body": body[:left], "more_body": True})
            raise _AnswerCutError

        return cut


class _AnswerCutError(ConnectionDroppedError):
    """The server cuts what was begun by itself, and sends what it has before."""


async def _no_answer(message: Message) -> None:
    """Be a ``send`` to which nothing may be said."""
    del message
    raise ConnectionDroppedError


def reset_connection(scope: Scope, cause: ConnectionDroppedError) -> None:
    """Reset the connection of a request.

    No ASGI server offers that: so the connection is looked for among the open files of the process.
    """
    if isinstance(cause, _AnswerCutError):
        return
    peer = [str(part) for part in scope["client"] or ()]  # Granian has ports as text
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):
            descriptor = os.dup(int(entry.name))
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                continue
            with socket.socket(fileno=descriptor) as connection:
                if [str(part) for part in connection.getpeername()[:2]] == peer:
                    # Closing it then resets it, instead of ending it in good order.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.shutdown(socket.SHUT_RDWR)
                    return


def _at(shares: Mapping[Fault, float], point: float) -> Fault | None:
    # In the order of the members: the order in which somebody named them is to change nothing.
    for fault in Fault:
        point -= shares.get(fault, 0.0)
        if point < 0:
            return fault
    return None


def _length(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    return next((int(value) for name, value in headers if name == b"content-length"), None)
