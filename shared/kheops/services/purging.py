"""The purge of orphans that nobody took back."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import KheopsError
from kheops.ids import SeriesPk
from kheops.observability import get_logger
from kheops.storage import audit, erasure, purge
from kheops.storage.engine import Database
from kheops.storage.purge import Deleting

__all__ = ["PurgeResult", "Purging"]

_LOG = get_logger(__name__)

_PAGE: Final = 100
_SYSTEM: Final = User(None, None, None)


@dataclass(slots=True)
class PurgeResult:
    """What one run came to."""

    series: Counter[str] = field(default_factory=Counter)
    """``begun`` and ``purged``, and ``left`` for those that the store could not be rid of now."""


class Purging:
    """Deletes from the store, for good, what has been an orphan for too long.

    A series goes through two states: its row turns ``deleting``, and nobody sees it or takes it back any more; and
    when the store has been told to delete it, and was asked and found to hold nothing of it, the row goes, and its
    UIDs are free. A run begins with what runs before it left, so that a crash at any point is made good by the next.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    lifetime
        How long orphans are kept.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock, *, lifetime: timedelta) -> None:
        self._database = database
        self._archive = archive
        self._clock = clock
        self._lifetime = lifetime

    async def run(self) -> PurgeResult:
        """Purge everything that is due. Safe beside other runs and uploads."""
        result = PurgeResult()
        await self._finish(result)
        # While the store deletes nothing, nothing more is taken from those who could still have it back.
        while result.series["left"] == 0 and await self._begin(result):
            await self._finish(result)
        await self._database.run(
            partial(erasure.forget_old_erasures, before=self._clock() - erasure.ERASURE_REMEMBERED)
        )
        if result.series:
            _LOG.info("purge.done", **dict(result.series))
        return result

    async def _begin(self, result: PurgeResult) -> bool:
        """Turn a page of orphans to ``deleting``; return whether there were any."""
        before = self._clock() - self._lifetime
        page = await self._database.run(partial(purge.find_overdue, before=before, limit=_PAGE))
        begun = 0
        for pk in page:
            begun += await self._database.run(partial(self._begin_one, pk=pk, before=before))
        result.series["begun"] += begun
        return begun > 0

    def _begin_one(self, tx: Connection, pk: SeriesPk, before: datetime) -> bool:
        at = self._clock()
        ref = purge.begin_deleting(tx, pk, before=before, at=at)
        if ref is None:
            return False
        use = replace(_use("begun"), studies=(ref.study_instance_uid,), series=(ref.series_instance_uid,))
        audit.insert_use(tx, use, at)
        return True

    async def _finish(self, result: PurgeResult) -> None:
        """Delete what is ``deleting`` from the store, and free the UIDs of what is gone."""
        after = SeriesPk(0)
        while page := await self._database.run(partial(purge.find_deleting, after=after, limit=_PAGE)):
            for series in page:
                after = series.pk
                try:
                    gone = await self._delete(series)
                except KheopsError as error:
                    # One that cannot be deleted now must not keep the others from being.
                    _LOG.warning("purge.left", error=type(error).__name__)
                    gone = False
                if not gone:
                    result.series["left"] += 1
                elif await self._database.run(partial(self._forget, series=series)):
                    result.series["purged"] += 1

    async def _delete(self, series: Deleting) -> bool:
        """Have the store delete a series; return whether it holds nothing of it any more."""
        await self._archive.delete_series(series.ref)
        if await self._archive.inspect_series(series.ref):
            return False
        # Searches lag, and may have lost what is still there.
        for instance in series.refs:
            if await self._archive.inspect_instance(instance):
                return False
        return True

    def _forget(self, tx: Connection, series: Deleting) -> bool:
        if not purge.forget_series(tx, series.pk):
            return False
        use = replace(
            _use("done"),
            studies=(series.ref.study_instance_uid,),
            series=(series.ref.series_instance_uid,),
            instances=series.instances,
        )
        audit.insert_use(tx, use, self._clock())
        return True


def _use(reason: str) -> Use:
    return Use(
        user=_SYSTEM,
        kind=UseKind.PURGE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="purge",
        reason=reason,
    )
