"""Letting the log of changes of grants out of the database, where its restoration does not reach it."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from kheops.domain.grant_log import GrantLine
from kheops.observability import get_logger
from kheops.storage import grant_log
from kheops.storage.engine import Database

__all__ = ["GrantLog"]

_LOG = get_logger(__name__)

_PAGE: Final = 500


class GrantLog:
    """Seals changes of grants, and writes each to the log at least once.

    Parameters
    ----------
    database
        Where the changes are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def export(self) -> int:
        """Seal what is committed, log what was not logged yet, and return how many lines that were.

        A process that ends between the lines and their mark leaves them to be logged again by the next.
        """
        await self.seal()
        number = 0
        while lines := await self._database.run(partial(grant_log.unexported, limit=_PAGE)):
            for line in lines:
                _LOG.notice("grant.changed", **line.as_fields())
            await self._database.run(partial(grant_log.mark_exported, last=lines[-1]))
            number += len(lines)
        return number

    async def seal(self) -> None:
        """Give numbers to everything that is committed, unless another process does."""
        while await self._database.run(grant_log.seal_changes):
            pass

    async def lines(self, *, first: int) -> AsyncIterator[GrantLine]:
        """Give the sealed changes of this timeline from a number on."""
        while page := await self._database.run(partial(grant_log.lines_from, number=first, limit=_PAGE)):
            for line in page:
                yield line
            first = page[-1].number + 1
