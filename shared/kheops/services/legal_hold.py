"""Legal hold, set and ended by administrators of the installation."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.principals import Principal
from kheops.domain.resources import SeriesState
from kheops.domain.uses import Use, UseKind
from kheops.errors import ConflictError, NotFoundError
from kheops.ids import SeriesInstanceUID
from kheops.services.denials import granted
from kheops.storage import audit, legal_hold
from kheops.storage.engine import Database
from kheops.storage.legal_hold import HeldSeries

__all__ = ["LegalHold"]


class LegalHold:
    """Keeps series from being deleted for good. It changes nothing in who sees them.

    Parameters
    ----------
    database
        Where the catalog is.
    clock
        The current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, principal: Principal, page: Page) -> tuple[Sequence[HeldSeries], int]:
        """Return a page of the series on hold, the oldest hold first, and how many there are in all.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        """

        def work(tx: Connection) -> tuple[Sequence[HeldSeries], int]:
            _require_administrator(principal)
            return legal_hold.list_holds(tx, page)

        return await self._database.run(work)

    async def set(self, principal: Principal, series: SeriesInstanceUID, *, reason: str, asked: Use) -> None:
        """Put a series on hold, orphans among them; on one that is on hold, the reason changes.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        NotFoundError
            If the series is not on record.
        ConflictError
            If its deletion has begun.
        """

        def work(tx: Connection) -> None:
            _require_administrator(principal)
            found = _found(tx, series)
            if found.state is SeriesState.DELETING:
                raise ConflictError("The deletion of this series has begun.")
            at = self._clock()
            legal_hold.set_hold(tx, series, reason=reason, at=at)
            audit.insert_use(tx, _about(asked, UseKind.LEGAL_HOLD_SET, found, reason), at)

        await self._database.run(work)

    async def clear(self, principal: Principal, series: SeriesInstanceUID, *, reason: str, asked: Use) -> None:
        """End the hold of a series. An orphan that is over its time goes with the next purge.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        NotFoundError
            If the series is not on record, or not on hold.
        """

        def work(tx: Connection) -> None:
            _require_administrator(principal)
            found = _found(tx, series)
            if not found.is_held:
                raise NotFoundError
            legal_hold.clear_hold(tx, series)
            audit.insert_use(tx, _about(asked, UseKind.LEGAL_HOLD_CLEARED, found, reason), self._clock())

        await self._database.run(work)


def _require_administrator(principal: Principal) -> None:
    granted(policy.administer(principal))


def _found(tx: Connection, series: SeriesInstanceUID) -> HeldSeries:
    found = legal_hold.lock_for_hold(tx, series)
    if found is None:
        raise NotFoundError
    return found


def _about(asked: Use, kind: UseKind, found: HeldSeries, reason: str) -> Use:
    ref = found.ref
    return replace(
        asked, kind=kind, studies=(ref.study_instance_uid,), series=(ref.series_instance_uid,), reason=reason
    )
