"""The confirmed instances of a series, from the store: all at once where that is the same, else one by one."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.domain.policy import Denied, ReadableSeries, read_instance
from kheops.domain.principals import Principal
from kheops.domain.resources import SeriesFacts
from kheops.errors import UnavailableError
from kheops.ids import SopInstanceUID
from kheops.observability import get_logger
from kheops.storage import catalog_contents, dirty_series
from kheops.storage.catalog_contents import SeriesContents
from kheops.storage.engine import Database

__all__ = ["GrantedSeries", "SeriesInstances", "mark_dirty"]

_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GrantedSeries:
    """A series that the caller may read, with the facts by which that was decided."""

    ref: ReadableSeries
    facts: SeriesFacts


class SeriesInstances:
    """Opens the confirmed instances of series.

    Parameters
    ----------
    database
        Where the catalog is.
    archive
        The store.
    """

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def open(
        self, principal: Principal, granted: GrantedSeries, *, accept: str
    ) -> AsyncGenerator[ArchiveStream, None]:
        """Give the answers of the store that together hold the confirmed instances of a series.

        The store is asked for the whole series where what it holds is exactly what is confirmed and nothing is being
        stored. Otherwise each instance is asked for alone, and the series is marked for the reconciler; an instance
        that the store no longer has is left out, as the reconciler will.

        Raises
        ------
        ArchiveUnavailableError, ArchiveProtocolError, NotAcceptableError
            As the archive does.
        """
        whole, contents = await self._open_whole(granted.ref, accept)
        if whole is not None:
            yield whole
            return
        for uid in contents.confirmed:
            one = await self._open_one(principal, granted, uid, accept)
            if one is not None:
                yield one

    async def _open_whole(self, ref: ReadableSeries, accept: str) -> tuple[ArchiveStream | None, SeriesContents]:
        opening = asyncio.create_task(self._archive.open_series(ref, accept=accept), name="open-series")
        try:
            held = await self._archive.inspect_series(ref)
            whole: ArchiveStream | None
            try:
                whole = await opening
            except ArchiveAbsentError:
                whole = None
            # Read after the store began its answer: whatever is in it was reserved by then, and is confirmed now or
            # still shows as reserved.
            contents = await self._database.run(partial(catalog_contents.contents_of_series, ref=ref))
        except BaseException:
            opening.cancel()
            opening.add_done_callback(_close)
            raise
        confirmed = frozenset(contents.confirmed)
        if whole is not None and held == confirmed and not contents.reserved:
            return whole, contents
        if whole is not None:
            whole.abort()
        if held - contents.reserved != confirmed:
            await mark_dirty(self._database, ref)
        return None, contents

    async def _open_one(
        self, principal: Principal, granted: GrantedSeries, uid: SopInstanceUID, accept: str
    ) -> ArchiveStream | None:
        match read_instance(principal, granted.facts, uid):
            case Denied():
                return None
            case instance:
                pass
        try:
            return await self._archive.open_instance(instance, accept=accept)
        except ArchiveAbsentError:
            await mark_dirty(self._database, granted.ref)
            return None


async def mark_dirty(database: Database, ref: ReadableSeries) -> None:
    """Ask the reconciler to compare a series with the store; an answer never fails for that."""
    _LOG.warning("catalog.differs_from_store")
    try:
        await database.run(partial(dirty_series.mark_dirty, ref=ref))
    except UnavailableError as error:
        _LOG.warning("catalog.not_marked_dirty", error=type(error).__name__)


def _close(opening: asyncio.Task[ArchiveStream]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()
