"""Settling what crashes left, bringing dirty series in step with the store, and sealing the audit trail."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.errors import KheopsError
from kheops.observability import get_logger
from kheops.services.confirmation import Resolver
from kheops.services.dirty_series import CatalogKeeper, InStep
from kheops.services.store_notifications import Newcomers, Settled
from kheops.storage import audit, reservations
from kheops.storage.engine import Database

__all__ = ["Reconciler", "Reconciliation"]

_LOG = get_logger(__name__)

_PAGE: Final = 500


@dataclass(slots=True)
class Reconciliation:
    """What one run settled."""

    instances: Counter[str] = field(default_factory=Counter)
    """Reservations by what became of them: confirmed, orphaned, released, unchanged."""
    series_forgotten: int = 0
    unanswered: int = 0
    """Reservations about which the store could not say anything now; the next run asks again."""
    catalog: InStep = field(default_factory=InStep)
    """What became of series that were marked as differing from the store."""
    newcomers: Settled = field(default_factory=Settled)
    """What became of series that the store told of and that were not on record."""

    @property
    def is_whole(self) -> bool:
        """Whether the store could say everything."""
        return not self.unanswered and not self.newcomers.unanswered and not self.catalog.unanswered


class Reconciler:
    """Brings catalog and store in step after a crash.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._resolver = Resolver(database, archive, clock)
        self._newcomers = Newcomers(database, archive, clock)
        self._keeper = CatalogKeeper(database, archive, clock)

    async def run(self) -> Reconciliation:
        """Settle every reservation whose lease has run out, and compare every series that was marked.

        Series that the store told of are put on record before that, if they are there.

        Safe beside running uploads and other runs.
        """
        result = Reconciliation()
        passed: set[str] = set()
        while True:
            page = await self._database.run(partial(reservations.expired_instances, at=self._clock(), limit=_PAGE))
            fresh = [record for record in page if record.ref.sop_instance_uid not in passed]
            if not fresh:
                break
            for record in fresh:
                passed.add(record.ref.sop_instance_uid)
                try:
                    result.instances[await self._resolver.resolve(record.ref.sop_instance_uid)] += 1
                except KheopsError as error:
                    # One that cannot be settled now must not keep the others from being.
                    _LOG.warning("reconcile.left", error=type(error).__name__)
                    result.unanswered += 1
        result.series_forgotten = await self._database.run(
            partial(reservations.sweep_empty_reservations, at=self._clock())
        )
        result.newcomers = await self._newcomers.run()
        result.catalog = await self._keeper.run()
        if result.instances or result.series_forgotten or result.unanswered:
            _LOG.info(
                "reconcile.done",
                **dict(result.instances),
                series_forgotten=result.series_forgotten,
                unanswered=result.unanswered,
            )
        return result

    async def seal_audit(self) -> int:
        """Chain audit rows that are not chained yet; return how many."""
        return await self._database.run(partial(audit.seal, at=self._clock()))
