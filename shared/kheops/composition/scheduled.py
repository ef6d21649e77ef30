"""Work that has to be done again and again, by name: a closed list, wherever it is called from."""

from enum import StrEnum
from typing import Final

from kheops.composition.background import Background

__all__ = ["EACH_MINUTE", "ScheduledTask", "run_task"]


class ScheduledTask(StrEnum):
    """What can be asked for."""

    CLEAR = "clear"
    """Clear away what ended: viewer tokens, ended tasks of the outbox, codes and tokens of reports, links."""
    COMPARE = "compare"
    """Mark a share of the series on record, another each day, for the reconciler to compare with the store."""
    DELIVER = "deliver"
    """Send what is due in the outbox."""
    DIGESTS = "digests"
    """Add the digests that are due to the outbox."""
    PURGE = "purge"
    """Delete orphans that are over their time from the store."""
    RECONCILE = "reconcile"
    """Settle what crashes left, and bring what the store told of, and marked series, in step with it."""
    SEAL = "seal"
    """Seal the audit trail, and log changes of grants."""


EACH_MINUTE: Final = (
    ScheduledTask.RECONCILE,
    ScheduledTask.SEAL,
    ScheduledTask.CLEAR,
    ScheduledTask.DIGESTS,
)
"""What is due each minute, in this order, besides what is delivered all the time."""


async def run_task(process: Background, task: ScheduledTask) -> bool:
    """Do a task; return whether it is wholly done: not if the store could not say or delete something now.

    Each may run beside itself and the others, and does again what an earlier run left.

    Raises
    ------
    RestoringError
        If the database is being restored.
    """
    await process.serving.refuse_while_restoring()
    match task:
        case ScheduledTask.CLEAR:
            await process.viewer_tokens.clear()
            await process.outbox.clear()
            await process.reports.clear()
            await process.links.clear()
        case ScheduledTask.COMPARE:
            await process.comparison.mark_share_of_day()
        case ScheduledTask.DELIVER:
            await process.outbox.run_once()
        case ScheduledTask.DIGESTS:
            if process.digests is not None:
                await process.digests.add_due()
        case ScheduledTask.PURGE:
            return (await process.purging.run()).series["left"] == 0
        case ScheduledTask.RECONCILE:
            return (await process.reconciler.run()).is_whole
        case ScheduledTask.SEAL:
            await process.reconciler.seal_audit()
            await process.grant_log.export()
    return True
