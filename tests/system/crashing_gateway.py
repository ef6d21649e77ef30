"""The gateway, killed by SIGKILL at one step of storing: ``CRASH_AT`` names which."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Never

from kheops.services.batches import Gate
from kheops.services.streamed_part import StreamedPart

STEPS = (
    "before deciding",
    "after deciding",
    "after the store kept it",
    "before confirming",
    "after confirming",
    "before releasing",
    "while streaming",
    "after streaming",
)


def _die() -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _wrap(owner: type, name: str, *, before: bool) -> None:
    right: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def wrong(*args: Any, **kwargs: Any) -> Any:
        if before:
            _die()
        await right(*args, **kwargs)
        _die()

    setattr(owner, name, wrong)


def _arm(step: str) -> None:
    match step:
        case "before deciding":
            _wrap(Gate, "decide", before=True)
        case "after deciding":
            _wrap(Gate, "decide", before=False)
        case "after the store kept it":
            _wrap(Gate, "_became", before=True)
        case "before confirming":
            _wrap(Gate, "confirm", before=True)
        case "after confirming":
            _wrap(Gate, "confirm", before=False)
        case "before releasing":
            _wrap(Gate, "release", before=True)
        case "while streaming":
            right = StreamedPart.take
            taken = 0

            async def take(self: StreamedPart, chunk: bytes) -> None:
                nonlocal taken
                taken += 1
                if taken > 2:
                    _die()
                await right(self, chunk)

            StreamedPart.take = take  # type: ignore[method-assign]
        case "after streaming":
            _wrap(StreamedPart, "_settle", before=True)
        case _:
            raise ValueError(step)


if "CRASH_AT" in os.environ:
    _arm(os.environ["CRASH_AT"])
    from local.gateway import app

    __all__ = ["app"]
