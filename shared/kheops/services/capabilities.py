"""Capability tokens: creating, listing, revoking."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, Denied
from kheops.domain.principals import Principal, groups_of
from kheops.domain.resources import AlbumRole
from kheops.domain.uses import Use
from kheops.errors import BadFormParameterError, CapabilityNotFoundError
from kheops.identity.keyring import Keyring
from kheops.identity.own_tokens import hash_secret, new_secret
from kheops.ids import AlbumId, CapabilityId, UserPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.denials import granted
from kheops.storage import audit, capabilities, members, roles
from kheops.storage.capabilities import CapabilityRecord
from kheops.storage.engine import Database

__all__ = ["Capabilities", "CapabilityView", "CreatedCapability"]


@dataclass(frozen=True, slots=True)
class CapabilityView:
    """A capability token as the caller sees it."""

    record: CapabilityRecord
    names_album: bool
    """Whether the caller may know its album: members may, and who has left may not."""


@dataclass(frozen=True, slots=True)
class CreatedCapability:
    """A new capability token with its secret, which is never to be had again."""

    view: CapabilityView
    secret: str


class Capabilities:
    """Capability tokens. Their secrets are shown once and kept as keyed hashes only.

    Parameters
    ----------
    database
        Where tokens are.
    clock
        The current time.
    pepper
        The key of the hash.
    longest
        How long a new token may live at most.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(
        self, database: Database, clock: Clock, *, pepper: Keyring, longest: timedelta, default_issuer: str = ""
    ) -> None:
        self._database = database
        self._clock = clock
        self._pepper = pepper
        self._longest = longest
        self._default_issuer = default_issuer

    async def create(self, principal: Principal, draft: CapabilityDraft, *, asked: Use) -> CreatedCapability:
        """Create a token.

        Raises
        ------
        ForbiddenError
            If the caller came by a token of ours, or does not administer the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        BadFormParameterError
            If it would live for longer than a token may.
        """
        if draft.expires_at > self._clock() + self._longest:
            raise BadFormParameterError(f"'expiration_time' must lie within {self._longest.days} days from now.")
        secret = new_secret()

        def work(tx: Connection) -> CapabilityView:
            owner = _person(principal)
            album = None
            if draft.album is not None:
                # Locked, so that a demotion at the same time either prevents the token or revokes it.
                album = permitted_and_locked(tx, principal, AlbumAction.MANAGE_CAPABILITIES, draft.album)
            at = self._clock()
            secret_hash = hash_secret(secret, self._pepper.current)
            record = capabilities.create_capability(
                tx, draft, owner=owner, album=album, secret_hash=secret_hash, at=at
            )
            audit.insert_use(tx, replace(asked, subject=record.capability), at)
            return _view(tx, principal, record)

        return CreatedCapability(await self._database.run(work), secret)

    async def list(
        self, principal: Principal, *, only_valid: bool, page: Page
    ) -> tuple[Sequence[CapabilityView], int]:
        """Return a page of the caller's own tokens, newest first, and how many there are in all.

        Raises
        ------
        ForbiddenError
            If the caller came by a token of ours.
        """

        def work(tx: Connection) -> tuple[Sequence[CapabilityView], int]:
            owner = _person(principal)
            records, total = capabilities.list_of_user(tx, owner, only_valid=only_valid, page=page, at=self._clock())
            return [_view(tx, principal, record) for record in records], total

        return await self._database.run(work)

    async def list_of_album(
        self,
        principal: Principal,
        album: AlbumId,
        *,
        user: str | None,
        only_valid: bool,
        page: Page,
        issuer: str | None = None,
    ) -> tuple[Sequence[CapabilityView], int]:
        """Return a page of an album's tokens, newest first, and how many there are in all.

        Parameters
        ----------
        principal
            Who asks; an administrator of the album.
        album
            The album.
        user
            A reference to a member, whose tokens are wanted only; ``None`` for everybody's. Somebody who is no
            member has none.
        only_valid
            Whether revoked and expired ones are left out.
        page
            Which part.

        Raises
        ------
        ForbiddenError
            If the caller came by a token of ours, or does not administer the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        """

        def work(tx: Connection) -> tuple[Sequence[CapabilityView], int]:
            _person(principal)
            key = permitted(tx, principal, AlbumAction.MANAGE_CAPABILITIES, album)
            owner = None
            if user is not None:
                member = members.find_member(tx, key, NamedPerson(user, issuer), default_issuer=self._default_issuer)
                if member is None:
                    return [], 0
                owner = member.user
            records, total = capabilities.list_of_album(
                tx, key, owner=owner, only_valid=only_valid, page=page, at=self._clock()
            )
            return [CapabilityView(record, names_album=True) for record in records], total

        return await self._database.run(work)

    async def get(self, principal: Principal, capability: CapabilityId) -> CapabilityView:
        """Return a token: to its owner, and to administrators of its album.

        Raises
        ------
        ForbiddenError
            If the caller's token may not see any.
        CapabilityNotFoundError
            If it is neither theirs nor their album's, or does not exist.
        """

        def work(tx: Connection) -> CapabilityView:
            _own_account(principal)
            record, role = _find(tx, principal, capability)
            if isinstance(policy.see_capability(principal, record.created_by.user, role), Denied):
                raise CapabilityNotFoundError
            return CapabilityView(record, names_album=role is not None)

        return await self._database.run(work)

    async def revoke(self, principal: Principal, capability: CapabilityId, *, asked: Use) -> CapabilityView:
        """Revoke a token for good and return it; one that is revoked or expired already stays as it is.

        Raises
        ------
        ForbiddenError
            If the caller came by a token of ours.
        CapabilityNotFoundError
            If it is neither theirs nor their album's, or does not exist.
        """

        def work(tx: Connection) -> CapabilityView:
            user = _person(principal)
            record, role = _find(tx, principal, capability)
            if isinstance(policy.revoke_capability(principal, record.created_by.user, role), Denied):
                raise CapabilityNotFoundError
            at = self._clock()
            if capabilities.revoke_capability(tx, record.pk, by=user, at=at):
                audit.insert_use(tx, replace(asked, subject=capability), at)
            record, role = _find(tx, principal, capability)
            return CapabilityView(record, names_album=role is not None)

        return await self._database.run(work)


def _find(tx: Connection, principal: Principal, capability: CapabilityId) -> tuple[CapabilityRecord, AlbumRole | None]:
    record = capabilities.find_capability(tx, capability)
    if record is None:
        raise CapabilityNotFoundError
    return record, _role(tx, principal, record)


def _view(tx: Connection, principal: Principal, record: CapabilityRecord) -> CapabilityView:
    return CapabilityView(record, names_album=_role(tx, principal, record) is not None)


def _role(tx: Connection, principal: Principal, record: CapabilityRecord) -> AlbumRole | None:
    return (
        None
        if record.album_pk is None
        else roles.role_in(tx, principal.user, record.album_pk, groups=groups_of(principal))
    )


def _person(principal: Principal) -> UserPk:
    return granted(policy.manage_capabilities(principal))


def _own_account(principal: Principal) -> UserPk:
    return granted(policy.manage_own_account(principal, writes=False))
