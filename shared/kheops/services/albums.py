"""Albums: creating, listing, reading, editing, deleting; and what the own inbox holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import AlbumDraft, AlbumEdit, AlbumFilter, AlbumSort, Page
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction, Denied, PermittedAlbum, Source
from kheops.domain.principals import AlbumCapability, Principal, groups_of
from kheops.domain.uses import Use
from kheops.errors import AlbumNotFoundError
from kheops.ids import AlbumId, UserPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.denials import granted, refuse
from kheops.services.members import Members, delete_locked_album
from kheops.storage import album_search, albums, audit, members
from kheops.storage.albums import AlbumRecord, Contents
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.members import MemberRecord

__all__ = ["AlbumView", "Albums"]


@dataclass(frozen=True, slots=True)
class AlbumView:
    """An album as the caller sees it."""

    record: AlbumRecord
    contents: Contents
    """Counted over the confirmed series that the caller may read."""
    reduced: bool
    """Whether the caller came by a token of the album and sees nothing of its members and settings."""
    members: Sequence[MemberRecord] | None = None


class Albums:
    """Albums.

    Every change writes its event and audit row in its own transaction.

    Parameters
    ----------
    database
        Where albums are.
    clock
        The current time.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, clock: Clock, *, default_issuer: str) -> None:
        self._database = database
        self._clock = clock
        self.members = Members(database, clock, default_issuer=default_issuer)

    async def create(self, principal: Principal, draft: AlbumDraft, *, asked: Use) -> AlbumView:
        """Create an album whose administrator is the caller, and return it.

        Raises
        ------
        ForbiddenError
            If the token may not.
        """

        def work(tx: Connection) -> AlbumView:
            user = _own(principal, writes=True)
            at = self._clock()
            key = albums.create_album(tx, draft, creator=user, at=at)
            record = albums.find_album(tx, user, key)
            if record is None:  # suspended since the token was judged
                raise AlbumNotFoundError
            add_event(tx, key, Mutation(MutationType.CREATE_ALBUM), by=principal, at=at)
            audit.insert_use(tx, replace(asked, subject=record.album), at)
            return AlbumView(record, Contents(), reduced=False)

        return await self._database.run(work)

    async def list(
        self, principal: Principal, wanted: AlbumFilter, sort: AlbumSort, page: Page
    ) -> tuple[list[AlbumView], int]:
        """Return a page of the albums that the caller is a member of, never an inbox, and how many there are in all.

        Raises
        ------
        ForbiddenError
            If the token may not.
        """

        def work(tx: Connection) -> tuple[list[AlbumView], int]:
            _own(principal, writes=False)
            scope = granted(policy.read_scope(principal, Source()))
            records, total = album_search.list_albums(tx, scope, wanted, sort, page)
            held = albums.contents(tx, scope, [each.pk for each in records])
            views = [AlbumView(each, held.get(each.pk, Contents()), reduced=False) for each in records]
            return views, total

        return await self._database.run(work)

    async def get(self, principal: Principal, album: AlbumId, page_of_members: Page | None) -> AlbumView:
        """Return an album, with its members where ``page_of_members`` is given.

        Raises
        ------
        AlbumNotFoundError
            If it is hidden or does not exist.
        ForbiddenError
            If the token may not see it, or not list its members.
        """

        def work(tx: Connection) -> AlbumView:
            view = self._view(tx, principal, permitted(tx, principal, AlbumAction.SEE, album))
            if page_of_members is None:
                return view
            key = permitted(tx, principal, AlbumAction.LIST_USERS, album)
            return replace(view, members=members.list_members(tx, key, page_of_members)[0])

        return await self._database.run(work)

    async def edit(self, principal: Principal, album: AlbumId, edit: AlbumEdit, *, asked: Use) -> AlbumView:
        """Change an album (administrators) or the caller's own notifications (every member), and return it.

        Raises
        ------
        AlbumNotFoundError
            If it is hidden or does not exist.
        ForbiddenError
            If the role or the token does not include what the edit touches; then nothing is changed.
        """

        def work(tx: Connection) -> AlbumView:
            key = permitted_and_locked(tx, principal, AlbumAction.EDIT_OWN_MEMBERSHIP, album)
            at = self._clock()
            if edit.touches_album:
                albums.edit_album(tx, permitted(tx, principal, AlbumAction.EDIT_ALBUM, album), edit)
                add_event(tx, key, Mutation(MutationType.EDIT_ALBUM), by=principal, at=at)
            if edit.touches_membership:
                members.set_notifications(tx, key, principal.user, edit)
            audit.insert_use(tx, replace(asked, subject=album), at)
            return self._view(tx, principal, key)

        return await self._database.run(work)

    async def delete(self, principal: Principal, album: AlbumId, *, asked: Use) -> None:
        """Delete an album. Its series stay with whoever else holds them; what nobody holds becomes an orphan.

        Raises
        ------
        AlbumNotFoundError
            If it is hidden or does not exist.
        ForbiddenError
            If the caller does not administer it, or the token may not.
        """

        def work(tx: Connection) -> None:
            lock = albums.lock_album_for_deletion
            key = permitted_and_locked(tx, principal, AlbumAction.DELETE_ALBUM, album, lock=lock)
            delete_locked_album(tx, album, key, asked, self._clock())

        await self._database.run(work)

    async def inbox(self, principal: Principal) -> Contents:
        """Return what the caller's inbox holds.

        Raises
        ------
        ForbiddenError
            If the token may not.
        """

        def work(tx: Connection) -> Contents:
            _own(principal, writes=False)
            match policy.read_scope(principal, Source(inbox=True)):
                case Denied() as denied:
                    refuse(denied)
                case scope:
                    return next(iter(albums.contents(tx, scope).values()), Contents())

        return await self._database.run(work)

    @staticmethod
    def _view(tx: Connection, principal: Principal, key: PermittedAlbum) -> AlbumView:
        record = albums.find_album(tx, principal.user, key, groups=groups_of(principal))
        if record is None:
            raise AlbumNotFoundError
        scope = policy.read_scope(principal, Source(album=key))
        held = {} if isinstance(scope, Denied) else albums.contents(tx, scope)
        return AlbumView(record, held.get(key, Contents()), reduced=isinstance(principal, AlbumCapability))


def _own(principal: Principal, *, writes: bool) -> UserPk:
    return granted(policy.manage_own_account(principal, writes=writes))
