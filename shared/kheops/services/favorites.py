"""Favourite series: marks on what the own inbox or an album holds."""

from dataclasses import replace

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction, ReadScope, Source
from kheops.domain.principals import Principal
from kheops.domain.uses import Use
from kheops.errors import NotFoundError
from kheops.ids import AlbumId
from kheops.services.album_access import permitted_and_locked
from kheops.services.denials import granted
from kheops.storage import audit, favorites, roles
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.favorites import Marked
from kheops.storage.holdings import Selection

__all__ = ["Favorites"]


class Favorites:
    """Marks series as favourites, and unmarks them.

    In an album the mark is the album's: all members see it, its history tells of it, and whoever may add series may
    set it. In the inbox it is the person's own. It stays behind when a series is passed on, and goes with its removal.

    Parameters
    ----------
    database
        Where marks are.
    clock
        The current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def mark_in_album(
        self, principal: Principal, selection: Selection, album: AlbumId, *, is_favorite: bool, asked: Use
    ) -> None:
        """Mark what of the selection is in an album, or unmark it.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the role or the token does not include it.
        NotFoundError
            If there is nothing of the selection in it.
        """

        def work(tx: Connection) -> None:
            # Locked before the rows of what it holds, as by everybody who changes them.
            key = permitted_and_locked(tx, principal, AlbumAction.EDIT_FAVORITES, album)
            scope = _scope(principal, Source(album=key))
            marked = favorites.mark(tx, scope, key, selection, is_favorite=is_favorite)
            _record(tx, marked, selection, replace(asked, subject=album), self._clock)
            if marked.changed:
                kind = MutationType.ADD_FAV if is_favorite else MutationType.REMOVE_FAV
                mutation = Mutation(kind, study=selection.study, series=marked.changed)
                add_event(tx, key, mutation, by=principal, at=self._clock())

        await self._database.run(work)

    async def mark_in_inbox(
        self, principal: Principal, selection: Selection, *, is_favorite: bool, asked: Use
    ) -> None:
        """Mark what of the selection is in the caller's inbox, or unmark it.

        Raises
        ------
        ForbiddenError
            If the token may not.
        NotFoundError
            If there is nothing of the selection in it, wherever else the caller may see it.
        """

        def work(tx: Connection) -> None:
            granted(policy.mark_in_inbox(principal))
            role = roles.role_in_inbox(tx, principal.user)
            if role is None:
                raise NotFoundError
            scope = _scope(principal, Source(inbox=True))
            marked = favorites.mark(tx, scope, role.album, selection, is_favorite=is_favorite)
            _record(tx, marked, selection, asked, self._clock)

        await self._database.run(work)


def _scope(principal: Principal, source: Source) -> ReadScope:
    return granted(policy.read_scope(principal, source))


def _record(tx: Connection, marked: Marked, selection: Selection, asked: Use, clock: Clock) -> None:
    if not marked.found:
        raise NotFoundError
    audit.insert_use(tx, replace(asked, studies=(selection.study,), series=tuple(marked.found)), clock())
