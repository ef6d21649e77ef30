"""Members of albums: adding, promoting, demoting, removing, leaving."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.mutations import MutationType
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, Denied, PermittedAlbum
from kheops.domain.principals import Principal
from kheops.domain.uses import Use, UseKind
from kheops.errors import ConflictError, ForbiddenError, UserNotFoundError
from kheops.ids import AlbumId, CapabilityId, UserPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.references import person_of
from kheops.services.webhook_events import tell_deleted_album, tell_new_user
from kheops.storage import albums, audit, capabilities, groups, holdings, invitations, links, members
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event, touch_album
from kheops.storage.members import MemberRecord

__all__ = ["Members", "delete_locked_album"]


class _Named(Protocol):
    """Somebody by identity."""

    @property
    def iss(self) -> str: ...
    @property
    def sub(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of membership, inside its transaction; the album is locked."""

    tx: Connection
    principal: Principal
    album: AlbumId
    key: PermittedAlbum
    asked: Use
    at: datetime

    def record(self, kind: UseKind, whom: _Named) -> None:
        """Write the audit row."""
        use = replace(self.asked, kind=kind, subject=f"{self.album} {whom.iss} {whom.sub}")
        audit.insert_use(self.tx, use, self.at)

    def event(self, kind: MutationType, user: UserPk) -> None:
        """Write the event."""
        add_event(self.tx, self.key, Mutation(kind, to_user=user), by=self.principal, at=self.at)


class Members:
    """Who is in an album.

    Every change locks the album's row before it is decided, so that two at once cannot both take the last
    administrator's role, and writes its event and audit row in its own transaction.

    Parameters
    ----------
    database
        Where members are.
    clock
        The current time.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, clock: Clock, *, default_issuer: str) -> None:
        self._database = database
        self._clock = clock
        self._default_issuer = default_issuer

    async def list(self, principal: Principal, album: AlbumId, page: Page) -> tuple[Sequence[MemberRecord], int]:
        """Return a page of the members ordered by e-mail address, and how many there are in all.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token may not list members.
        """

        def work(tx: Connection) -> tuple[Sequence[MemberRecord], int]:
            return members.list_members(tx, permitted(tx, principal, AlbumAction.LIST_USERS, album), page)

        return await self._database.run(work)

    async def add(
        self, principal: Principal, album: AlbumId, user: str, *, asked: Use, issuer: str | None = None
    ) -> None:
        """Add somebody as a plain member; who is a member already stays what they are.

        Parameters
        ----------
        principal
            Who asks.
        album
            The album.
        user
            A reference to the new member.
        asked
            The use, as it goes to the audit trail.
        issuer
            Whose ``sub`` the reference is, as in all methods; ``None`` for an address, or the default issuer.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the role or token does not include adding members, or it is the caller.
        UserNotFoundError
            If nobody, or more than one person, answers to the reference.
        """

        def work(tx: Connection) -> None:
            change = self._change(tx, principal, AlbumAction.ADD_USER, album, asked)
            person = person_of(tx, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            if isinstance(policy.act_on_another(principal, person.user), Denied):
                raise ForbiddenError("You are a member of this album already.")
            if members.add_member(tx, change.key, person.user, is_admin=False, at=change.at):
                change.event(MutationType.ADD_USER, person.user)
                tell_new_user(tx, change.key, person.user, by=principal, at=change.at)
            else:
                touch_album(tx, change.key, change.at)
            change.record(UseKind.MEMBER_ADDED, person)

        await self._database.run(work)

    async def promote(
        self, principal: Principal, album: AlbumId, user: str, *, asked: Use, issuer: str | None = None
    ) -> None:
        """Make somebody an administrator, adding them if they are no member yet.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the caller does not administer it, or it is the caller.
        UserNotFoundError
            If nobody, or more than one person, answers to the reference.
        """

        def work(tx: Connection) -> None:
            change = self._change(tx, principal, AlbumAction.MANAGE_ADMINS, album, asked)
            person = person_of(tx, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            if isinstance(policy.act_on_another(principal, person.user), Denied):
                raise ForbiddenError("You administer this album already.")
            if members.add_member(tx, change.key, person.user, is_admin=True, at=change.at):
                change.event(MutationType.ADD_ADMIN, person.user)
                tell_new_user(tx, change.key, person.user, by=principal, at=change.at)
            elif not members.is_administrator(tx, change.key, person.user):
                members.set_administrator(tx, change.key, person.user, is_admin=True)
                change.event(MutationType.PROMOTE_ADMIN, person.user)
            change.record(UseKind.ADMIN_CHANGED, person)

        await self._database.run(work)

    async def demote(
        self, principal: Principal, album: AlbumId, user: str, *, asked: Use, issuer: str | None = None
    ) -> None:
        """Make an administrator a plain member and revoke their capability tokens of the album, and links to it.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the caller does not administer it.
        UserNotFoundError
            If no member answers to the reference.
        ConflictError
            If nobody would administer the album then.
        """

        def work(tx: Connection) -> None:
            change = self._change(tx, principal, AlbumAction.MANAGE_ADMINS, album, asked)
            member = self._member(change, NamedPerson(user, issuer))
            if member.is_admin:
                self._require_other_administrator(change, member)
                members.set_administrator(tx, change.key, member.user, is_admin=False)
                self._revoke_of_member(change, member)
                change.event(MutationType.DEMOTE_ADMIN, member.user)
            change.record(UseKind.ADMIN_CHANGED, member)

        await self._database.run(work)

    async def remove(
        self, principal: Principal, album: AlbumId, user: str, *, asked: Use, issuer: str | None = None
    ) -> None:
        """Remove a member, or leave. Who leaves as the only member takes the album with them.

        The removed person's capability tokens of the album, and links to it, are revoked, and so are invitations to
        their address that wait: only a new one lets them in again.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If it is somebody else and the caller does not administer the album, or the token may not.
        UserNotFoundError
            If no member answers to the reference.
        ConflictError
            If the last administrator wants to leave others behind, people or groups.
        """

        def work(tx: Connection) -> None:
            lock = albums.lock_album_for_deletion
            key = permitted_and_locked(tx, principal, AlbumAction.LEAVE, album, lock=lock)
            change = _Change(tx, principal, album, key, asked, self._clock())
            member = members.find_member(tx, key, NamedPerson(user, issuer), default_issuer=self._default_issuer)
            leaves = member is not None and member.user == principal.user
            if not leaves:
                permitted(tx, principal, AlbumAction.REMOVE_USER, album)
            if member is None:
                raise UserNotFoundError
            if leaves and members.number_of_members(tx, key) == 1:
                if groups.has_groups(tx, key):
                    raise ConflictError("Groups are in this album. Take them out first, or delete the album.")
                delete_locked_album(tx, album, key, asked, change.at)
                return
            if member.is_admin:
                self._require_other_administrator(change, member)
            members.remove_member(tx, key, member.user)
            self._revoke_of_member(change, member)
            self._revoke_invitations(change, member)
            change.event(MutationType.LEAVE_ALBUM if leaves else MutationType.REMOVE_USER, member.user)
            change.record(UseKind.MEMBER_REMOVED, member)

        await self._database.run(work)

    async def set_favorite(self, principal: Principal, album: AlbumId, *, is_favorite: bool, asked: Use) -> None:
        """Mark the album as one of the caller's favourites, or no longer.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token may not.
        """

        def work(tx: Connection) -> None:
            key = permitted(tx, principal, AlbumAction.EDIT_OWN_MEMBERSHIP, album)
            members.set_favorite(tx, key, principal.user, is_favorite=is_favorite)
            audit.insert_use(tx, replace(asked, subject=album), self._clock())

        await self._database.run(work)

    def _change(
        self, tx: Connection, principal: Principal, action: AlbumAction, album: AlbumId, asked: Use
    ) -> _Change:
        key = permitted_and_locked(tx, principal, action, album)
        return _Change(tx, principal, album, key, asked, self._clock())

    def _member(self, change: _Change, named: NamedPerson) -> MemberRecord:
        member = members.find_member(change.tx, change.key, named, default_issuer=self._default_issuer)
        if member is None:
            raise UserNotFoundError
        return member

    @staticmethod
    def _require_other_administrator(change: _Change, member: MemberRecord) -> None:
        if not members.has_other_administrator(change.tx, change.key, member.user):
            raise ConflictError("This is the album's last administrator. Make another member administrator first.")

    @staticmethod
    def _revoke_of_member(change: _Change, member: MemberRecord) -> None:
        revoked: list[CapabilityId] = capabilities.revoke_of_member(
            change.tx, change.key, member.user, by=change.principal.user, at=change.at
        )
        for capability in revoked:
            use = replace(change.asked, kind=UseKind.CAPABILITY_REVOKED, subject=capability)
            audit.insert_use(change.tx, use, change.at)
        for link in links.revoke_of_member(change.tx, change.key, member.user, by=change.principal.user, at=change.at):
            audit.insert_use(change.tx, replace(change.asked, kind=UseKind.LINK_REVOKED, subject=link), change.at)

    @staticmethod
    def _revoke_invitations(change: _Change, member: MemberRecord) -> None:
        by = change.principal.user
        for invitation in invitations.revoke_of_member(change.tx, change.key, member.user, by=by, at=change.at):
            subject = f"{change.album} {invitation}"
            use = replace(change.asked, kind=UseKind.INVITATION_REVOKED, subject=subject)
            audit.insert_use(change.tx, use, change.at)


def delete_locked_album(tx: Connection, album: AlbumId, key: PermittedAlbum, asked: Use, at: datetime) -> None:
    """Delete an album that is locked for deletion; its series that nothing else holds become orphans.

    Parameters
    ----------
    tx
        The transaction.
    album, key
        The album.
    asked
        The use, as it goes to the audit trail with the series added to it.
    at
        The current time.
    """
    tell_deleted_album(tx, key, album, by=asked.user, at=at)
    series = holdings.remove_everything(tx, key, at)
    albums.delete_album(tx, key)
    use = replace(asked, kind=UseKind.ALBUM_DELETED, subject=album, series=tuple(series))
    audit.insert_use(tx, use, at)
