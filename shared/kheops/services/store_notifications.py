"""What the store tells of its changes: marks in the catalog, and nothing else, however often and late it is told.

A notification of a series on record marks the series; `kheops.services.dirty_series` brings it in step. One of a
series that is not on record is noted, and a worker looks for the series in the store: only what is there now is put on
record, as nobody's, and nobody's to claim. A notification that comes again after the purge would occupy the UIDs
otherwise.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from kheops.archive.google_notifications import Change, StoreNotification
from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.domain.resources import InstanceRef, SeriesState
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.storage import audit, dirty_series, noticed_series, series_rows
from kheops.storage.engine import Database
from kheops.storage.noticed_series import Notice

__all__ = ["Newcomers", "Settled", "StoreNotifications"]

_LOG = get_logger(__name__)

_PAGE: Final = 100
_MOST_READS: Final = 10
"""Instances of a search that are read to learn whether one is there; searches lag behind deletions for seconds."""
_SYSTEM: Final = User(iss=None, sub=None, token_id=None)


class StoreNotifications:
    """Takes notifications of the store.

    Parameters
    ----------
    database, clock
        Where the catalog is, and the current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(self, notification: StoreNotification) -> None:
        """Mark what a notification is about; the same one again changes nothing.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer: whoever sent it has to send it again.
        """
        await self._database.run(partial(self._mark, notification=notification))

    def _mark(self, tx: Connection, notification: StoreNotification) -> None:
        ref, change = notification.ref, notification.change
        if change is Change.NONE:
            return
        recorded = noticed_series.find_recorded(tx, ref)
        if recorded is None:
            if change is not Change.DELETED:
                noticed_series.notice(tx, ref, self._clock())
            return
        # What we store ourselves is on record before it is sent, and each instance of it comes by here.
        if change is Change.STORED and recorded.has_instance:
            return
        if recorded.state is not SeriesState.DELETING:
            # Under another study than its own it is not found.
            dirty_series.mark_dirty(tx, ref.series)


@dataclass(slots=True)
class Settled:
    """What became of the series that the store had told of."""

    series: Counter[str] = field(default_factory=Counter)
    """``recorded`` and ``absent``."""
    unanswered: int = 0
    """Series about which the store could not say anything now; the next run asks again."""


class Newcomers:
    """Puts series that came into the store by another way on record.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock) -> None:
        self._database = database
        self._archive = archive
        self._clock = clock

    async def run(self) -> Settled:
        """Look for every noticed series. Safe beside uploads, deletions and other runs.

        Those that are there are on record then, marked, as orphans without origin.
        """
        result = Settled()
        after: InstanceRef | None = None
        while page := await self._database.run(partial(noticed_series.list_notices, after=after, limit=_PAGE)):
            for seen in page:
                after = seen.ref
                try:
                    is_there = await self._is_there(seen.ref)
                except KheopsError as error:
                    # One that cannot be looked for now must not keep the others from being.
                    _LOG.warning("notifications.left", error=type(error).__name__)
                    result.unanswered += 1
                    continue
                await self._database.run(partial(self._settle, seen=seen, is_there=is_there))
                result.series["recorded" if is_there else "absent"] += 1
        if result.series or result.unanswered:
            _LOG.info("notifications.settled", **dict(result.series), unanswered=result.unanswered)
        return result

    async def _is_there(self, ref: InstanceRef) -> bool:
        """Return whether the store holds anything of an instance's series, by a direct read."""
        if await self._archive.inspect_instance(ref):
            return True
        found = await self._archive.inspect_series(ref.series)
        for uid in islice(sorted(found - {ref.sop_instance_uid}), _MOST_READS):
            if await self._archive.inspect_instance(InstanceRef(ref.study_instance_uid, ref.series_instance_uid, uid)):
                return True
        return False

    def _settle(self, tx: Connection, seen: Notice, *, is_there: bool) -> None:
        if is_there:
            at = self._clock()
            series_rows.lock_study(tx, seen.ref.study_instance_uid)
            is_new = noticed_series.find_recorded(tx, seen.ref) is None
            series_rows.catalog_orphan(tx, seen.ref.series, at)
            # Somebody else may have put it on record without a mark.
            dirty_series.mark_dirty(tx, seen.ref.series)
            if is_new:
                audit.insert_use(tx, _use(seen.ref), at)
        noticed_series.forget_notice(tx, seen)


def _use(ref: InstanceRef) -> Use:
    return Use(
        user=_SYSTEM,
        kind=UseKind.RECONCILE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="notification",
        reason="noticed",
        studies=(ref.study_instance_uid,),
        series=(ref.series_instance_uid,),
    )
