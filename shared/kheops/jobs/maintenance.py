"""Work that has to be done again and again, wherever it is scheduled from."""

import asyncio
from typing import Final

from kheops.composition.scheduled import EACH_MINUTE, ScheduledTask, run_task
from kheops.errors import KheopsError
from kheops.factory import Process
from kheops.observability import get_logger

__all__ = ["maintain", "maintain_forever"]

_LOG = get_logger(__name__)

_INTERVAL_SECONDS: Final = 60


async def maintain(process: Process) -> None:
    """Do what is due each minute, once.

    Reservations whose lease has run out are settled, the audit trail is sealed, what ended is cleared away, and
    digests are added to the outbox.
    """
    for task in EACH_MINUTE:
        await run_task(process, task)


async def maintain_forever(process: Process, *, purges: bool) -> None:
    """Do as `maintain` each minute; for installations without a scheduler, such as the local stack.

    Parameters
    ----------
    process
        What the work is done with.
    purges
        Whether the purge, due daily elsewhere, is done each minute too, last.
    """
    while True:
        try:
            await maintain(process)
            if purges:
                await run_task(process, ScheduledTask.PURGE)
        except KheopsError as error:
            _LOG.warning("maintenance.failed", error=type(error).__name__)
        except Exception:  # noqa: BLE001 - the next minute tries again; the log says what it was
            _LOG.exception("maintenance.failed")
        await asyncio.sleep(_INTERVAL_SECONDS)
