"""Permanent deletion by an administrator of the installation (KHEOPS: ``Admin-Action: permanent``)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction
from kheops.domain.principals import Principal
from kheops.domain.uses import Use, UseKind
from kheops.errors import ConflictError, NotFoundError
from kheops.ids import AlbumId, AlbumPk
from kheops.services.album_access import permitted
from kheops.services.denials import granted
from kheops.services.webhook_events import tell_removed_series
from kheops.storage import audit, holdings, permanent_deletion, series_rows
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.holdings import Selection
from kheops.storage.permanent_deletion import Condemned, Holder

__all__ = ["PermanentDeletion"]


class PermanentDeletion:
    """Takes series from everybody at once, and leaves them to the purge, which deletes them from the store.

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

    async def delete(self, principal: Principal, selection: Selection, *, album: AlbumId | None, asked: Use) -> None:
        """Begin the deletion of a study or series: all that the selection names, or nothing.

        Parameters
        ----------
        principal
            Who asks: a person who administers the installation, by an access token of their own.
        selection
            A study, or a series of it; whether the caller sees it or not.
        album
            The album of the request's path, of which they must be allowed to take series as well; only what it holds
            is deleted then, and from everywhere.
        asked
            The use, as it goes to the audit trail with the series added to it.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation, or may not take series out of the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        NotFoundError
            If there is nothing of the selection on record.
        ConflictError
            If some of it is on legal hold, being stored, or being shared at this moment.
        """

        def work(tx: Connection) -> None:
            granted(policy.administer(principal))
            within = None if album is None else permitted(tx, principal, AlbumAction.DELETE_SERIES, album)
            self._delete(tx, principal, selection, within, asked if album is None else replace(asked, subject=album))

        await self._database.run(work)

    def _delete(
        self, tx: Connection, principal: Principal, selection: Selection, within: AlbumPk | None, asked: Use
    ) -> None:
        # Albums before series, as everybody locks them: see `kheops.storage.holdings`.
        locked = permanent_deletion.holders_of(tx, selection, within=within)
        for holder in locked:
            series_rows.lock_album(tx, holder.album)
        condemned = permanent_deletion.lock_selected(tx, selection, within=within)
        if not condemned:
            raise NotFoundError
        _require_deletable(condemned)
        holders = permanent_deletion.holders_of(tx, selection, within=within)
        if not {holder.album for holder in holders} <= {holder.album for holder in locked}:
            raise ConflictError("It is being shared at this moment. Try again.")
        at = self._clock()
        for holder in holders:
            # Who administers the installation is made known only where they acted as a member of the album.
            by = principal if holder.album == within else None
            _take_away(tx, by, selection, holder, condemned, at)
        permanent_deletion.begin_deleting(tx, [each.pk for each in condemned], at)
        use = replace(
            asked,
            kind=UseKind.PURGE,
            studies=(selection.study,),
            series=tuple(each.ref.series_instance_uid for each in condemned),
            reason="begun",
        )
        audit.insert_use(tx, use, at)


def _require_deletable(condemned: Sequence[Condemned]) -> None:
    if any(each.is_held for each in condemned):
        raise ConflictError("Some of it is on legal hold.")
    if any(each.is_busy for each in condemned):
        raise ConflictError("Some of it is being stored. Try again when that has ended.")


def _take_away(  # noqa: PLR0917 - each is of a different type
    tx: Connection,
    by: Principal | None,
    selection: Selection,
    holder: Holder,
    condemned: Sequence[Condemned],
    at: datetime,
) -> None:
    removed = set(holdings.remove_series(tx, album=holder.album, series=holder.series, at=at))
    if holder.is_inbox:
        return
    uids = [each.ref.series_instance_uid for each in condemned if each.pk in removed]
    whole = MutationType.REMOVE_STUDY if selection.series is None else MutationType.REMOVE_SERIES
    add_event(tx, holder.album, Mutation(whole, study=selection.study, series=uids), by=by, at=at)
    tell_removed_series(tx, holder.album, selection.study, uids, by=by, at=at)
