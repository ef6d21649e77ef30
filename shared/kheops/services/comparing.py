"""The net under notifications: every series on record is compared with the store once in a while.

A notification of the store can be lost, and one of a deletion leaves an instance on record that is not there any more.
Nothing else would look until somebody retrieves it.
"""

from functools import partial
from typing import Final

from kheops.clock import Clock
from kheops.ids import SeriesPk
from kheops.observability import get_logger
from kheops.storage import dirty_series
from kheops.storage.engine import Database

__all__ = ["SHARES", "Comparison"]

_LOG = get_logger(__name__)

SHARES: Final = 7
"""Days in which all series get their turn. A comparison asks the store once or twice for each series."""
_PAGE: Final = 2000
"""Series that one transaction marks."""


class Comparison:
    """Marks series for the reconciler.

    Parameters
    ----------
    database, clock
        Where the catalog is, and the current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def mark_share_of_day(self) -> None:
        """Mark the share of the series whose turn is today (UTC); again on the same day, the same ones.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        """
        share = self._clock().toordinal() % SHARES
        after: SeriesPk | None = SeriesPk(0)
        pages = -1
        while after is not None:
            pages += 1
            mark = partial(dirty_series.mark_share, share=share, shares=SHARES, after=after, limit=_PAGE)
            after = await self._database.run(mark)
        _LOG.info("comparison.marked", share=share, pages=pages)
