"""Groups as members of albums: listing, adding, removing."""

from collections.abc import Set as AbstractSet
from dataclasses import replace

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.albums import Page
from kheops.domain.groups import Group, GroupMember
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction
from kheops.domain.principals import Principal
from kheops.domain.uses import Use, UseKind
from kheops.errors import BadRequestError, NotFoundError
from kheops.ids import AlbumId
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.storage import audit, groups
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event

__all__ = ["Groups"]


class Groups:
    """Which groups are in an album.

    Whoever presents a group that is in an album is a plain member of it for that request, and for nothing after it.

    Parameters
    ----------
    database
        Where they are.
    clock
        The current time.
    issuers
        Issuers whose groups we read.
    """

    def __init__(self, database: Database, clock: Clock, *, issuers: AbstractSet[str]) -> None:
        self._database = database
        self._clock = clock
        self._issuers = issuers

    async def list(self, principal: Principal, album: AlbumId, page: Page) -> tuple[list[GroupMember], int]:
        """Return a page of the groups ordered by issuer and name, and how many there are in all.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token may not list members.
        """

        def work(tx: Connection) -> tuple[list[GroupMember], int]:
            return groups.list_groups(tx, permitted(tx, principal, AlbumAction.LIST_USERS, album), page)

        return await self._database.run(work)

    async def add(self, principal: Principal, album: AlbumId, group: Group, *, asked: Use) -> None:
        """Add a group; for one that is in the album already, nothing changes.

        Whether the issuer knows such a group is not asked: it becomes one when somebody presents it.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the caller does not administer it, or comes with a token of ours.
        BadRequestError
            If nobody can present a group of that issuer.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_GROUPS, album)
            if group.iss not in self._issuers:
                raise BadRequestError("No groups of this issuer are read here.")
            at = self._clock()
            if groups.add_group(tx, key, group, by=principal.user, at=at):
                add_event(tx, key, Mutation(MutationType.ADD_GROUP, group=group), by=principal, at=at)
            audit.insert_use(tx, _named(asked, UseKind.GROUP_ADDED, album, group), at)

        await self._database.run(work)

    async def remove(self, principal: Principal, album: AlbumId, group: Group, *, asked: Use) -> None:
        """Take a group out of an album; whoever came by it alone is out at their next request.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the caller does not administer it, or comes with a token of ours.
        NotFoundError
            If the group is not in it.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.MANAGE_GROUPS, album)
            if not groups.remove_group(tx, key, group):
                raise NotFoundError
            at = self._clock()
            add_event(tx, key, Mutation(MutationType.REMOVE_GROUP, group=group), by=principal, at=at)
            audit.insert_use(tx, _named(asked, UseKind.GROUP_REMOVED, album, group), at)

        await self._database.run(work)


def _named(asked: Use, kind: UseKind, album: AlbumId, group: Group) -> Use:
    return replace(asked, kind=kind, subject=f"{album} {group.iss} {group.value}")
