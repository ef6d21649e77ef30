"""``kheops purge``, killed by SIGKILL at one step: ``CRASH_AT`` names which."""

import os
import signal
from collections.abc import Callable
from typing import Any, Never

from kheops.jobs.command_line import main
from kheops.services.purging import Purging

STEPS = (
    "before beginning",
    "after beginning",
    "before deleting",
    "after deleting",
    "before forgetting",
    "after forgetting",
)


def _die() -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _wrap(name: str, *, before: bool) -> None:
    right: Callable[..., Any] = getattr(Purging, name)

    def plain(*args: Any, **kwargs: Any) -> Any:
        if before:
            _die()
        right(*args, **kwargs)
        _die()

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        if before:
            _die()
        await right(*args, **kwargs)
        _die()

    setattr(Purging, name, awaited if name in {"_begin", "_delete", "_finish"} else plain)


def _arm(step: str) -> None:
    match step:
        case "before beginning":
            _wrap("_begin", before=True)
        case "after beginning":
            _wrap("_begin", before=False)
        case "before deleting":
            _wrap("_delete", before=True)
        case "after deleting":
            _wrap("_delete", before=False)
        case "before forgetting":
            _wrap("_forget", before=True)
        case "after forgetting":
            # Inside the transaction, which is not committed.
            _wrap("_forget", before=False)
        case _:
            raise ValueError(step)


if __name__ == "__main__":
    _arm(os.environ["CRASH_AT"])
    main()
