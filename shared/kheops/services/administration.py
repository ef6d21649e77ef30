"""What administrators of the installation do to people: suspend, restore, erase."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.mutations import MutationType
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import Denied, PermittedAlbum
from kheops.domain.principals import Principal
from kheops.domain.uses import Use, UseKind
from kheops.errors import ConflictError, UserNotFoundError
from kheops.ids import AlbumPk, UserPk
from kheops.services.denials import granted
from kheops.services.members import delete_locked_album
from kheops.storage import audit, erasure, holdings, members, suspension
from kheops.storage.engine import Database
from kheops.storage.erasure import AdministeredAlone
from kheops.storage.events import Mutation, add_event
from kheops.storage.people import get_user
from kheops.storage.suspension import PersonOnRecord

if TYPE_CHECKING:  # it brings along what verifies tokens, and the routes need only the names here: cold start counts
    from kheops.services.people import Registry

__all__ = ["Administration"]

_NAMED_AT_ONCE = 20
"""Albums that one refusal names."""


class Administration:
    """Suspends, restores and erases people.

    Every change is decided before anybody is looked up, and writes its audit row in its own transaction.

    Parameters
    ----------
    database
        Where people are.
    clock
        The current time.
    registry
        Remembers for some seconds who is in good standing; what is done here it forgets at once, in this process.
    default_issuer
        The issuer that a bare ``sub`` means.
    """

    def __init__(self, database: Database, clock: Clock, *, registry: "Registry", default_issuer: str) -> None:
        self._database = database
        self._clock = clock
        self._registry = registry
        self._default_issuer = default_issuer

    async def standing(self, principal: Principal, named: NamedPerson) -> PersonOnRecord:
        """Return whether somebody is suspended, since when, and why.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        UserNotFoundError
            If nobody, or more than one person, answers to the reference.
        """

        def work(tx: Connection) -> PersonOnRecord:
            _require_administrator(principal)
            return self._person(tx, named)

        return await self._database.run(work)

    async def suspend(self, principal: Principal, named: NamedPerson, *, reason: str, asked: Use) -> None:
        """Suspend somebody; their albums go on for the other members. Of who is suspended already the reason changes.

        From the moment of this transaction nothing is looked up for them any more; where their standing is remembered
        (`kheops.services.people`), it ends five seconds after at the latest.

        Raises
        ------
        ForbiddenError, UserNotFoundError
            As `standing`.
        ConflictError
            If it is the caller.
        """

        def work(tx: Connection) -> PersonOnRecord:
            _require_administrator(principal)
            person = self._another(tx, principal, named)
            at = self._clock()
            suspension.suspend(tx, person.user, reason=reason, at=at)
            audit.insert_use(tx, replace(_about(asked, UseKind.PERSON_SUSPENDED, person), reason=reason), at)
            return person

        person = await self._database.run(work)
        self._registry.forget(iss=person.iss, sub=person.sub)

    async def restore(self, principal: Principal, named: NamedPerson, *, asked: Use) -> None:
        """Let somebody in again. Their capability tokens and links that have not ended are good again.

        Sessions are not, nor what viewers, report providers and visitors of links held.

        Raises
        ------
        ForbiddenError, UserNotFoundError
            As `standing`.
        """

        def work(tx: Connection) -> PersonOnRecord:
            _require_administrator(principal)
            person = self._person(tx, named)
            at = self._clock()
            suspension.restore(tx, person.user, at=at)
            audit.insert_use(tx, _about(asked, UseKind.PERSON_RESTORED, person), at)
            return person

        person = await self._database.run(work)
        self._registry.forget(iss=person.iss, sub=person.sub)

    async def erase(self, principal: Principal, named: NamedPerson, *, delete_albums: bool, asked: Use) -> None:
        """Erase somebody: name, address, memberships, sessions and tokens go; what their inbox alone held is orphaned.

        An album that they alone administered is handed to the member in good standing who joined first. One that has
        no other member is deleted, as when its last member leaves. What they said of albums stays, without their name,
        and what they said of studies shows to whom they said it alone; the audit trail goes on naming their issuer and
        ``sub``.

        Parameters
        ----------
        principal
            Who asks.
        named
            Whom.
        delete_albums
            Whether albums are deleted too that only groups and suspended people would be left in.
        asked
            The use, as it goes to the audit trail.

        Raises
        ------
        ForbiddenError, UserNotFoundError
            As `standing`.
        ConflictError
            If it is the caller, or such albums would be left and ``delete_albums`` is not set; it names them.
        """

        def work(tx: Connection) -> PersonOnRecord:
            _require_administrator(principal)
            person = self._another(tx, principal, named)
            at = self._clock()
            self._settle_albums(tx, principal, person, delete_albums=delete_albums, asked=asked, at=at)
            inbox = get_user(tx, person.user).inbox
            series = holdings.remove_everything(tx, _settled(principal, inbox), at)
            erasure.delete_person(tx, person.user, iss=person.iss, sub=person.sub, at=at)
            use = replace(_about(asked, UseKind.PERSON_ERASED, person), series=tuple(series))
            audit.insert_use(tx, use, at)
            return person

        person = await self._database.run(work)
        self._registry.forget(iss=person.iss, sub=person.sub)

    def _settle_albums(
        self,
        tx: Connection,
        principal: Principal,
        person: PersonOnRecord,
        *,
        delete_albums: bool,
        asked: Use,
        at: datetime,
    ) -> None:
        left: list[AdministeredAlone] = []
        for album in erasure.albums_administered_alone(tx, person.user):
            key = _settled(principal, album.key)
            successor = erasure.successor_in(tx, key, person.user)
            if successor is not None:
                members.set_administrator(tx, key, successor, is_admin=True)
                add_event(tx, key, Mutation(MutationType.PROMOTE_ADMIN, to_user=successor), by=None, at=at)
                to = get_user(tx, successor)
                subject = f"{album.album} {to.iss} {to.sub}"
                audit.insert_use(tx, replace(asked, kind=UseKind.ADMIN_CHANGED, subject=subject), at)
            elif album.has_others and not delete_albums:
                left.append(album)
            else:
                delete_locked_album(tx, album.album, key, asked, at)
        if left:
            names = ", ".join(album.album for album in left[:_NAMED_AT_ONCE])
            raise ConflictError(
                "Nobody is left who could administer these albums, and groups or suspended people are in them: "
                f"{names}. Restore somebody, or let them be deleted too."
            )

    def _person(self, tx: Connection, named: NamedPerson) -> PersonOnRecord:
        person = suspension.find_person(tx, named, default_issuer=self._default_issuer)
        if person is None:
            raise UserNotFoundError
        return person

    def _another(self, tx: Connection, principal: Principal, named: NamedPerson) -> PersonOnRecord:
        person = self._person(tx, named)
        if isinstance(policy.act_on_another(principal, person.user), Denied):
            raise ConflictError("Nobody does this to themself: another administrator has to.")
        return person


def _require_administrator(principal: Principal) -> UserPk:
    return granted(policy.administer(principal))


def _settled(principal: Principal, album: AlbumPk) -> PermittedAlbum:
    return granted(policy.settle_album(principal, album))


def _about(asked: Use, kind: UseKind, person: PersonOnRecord) -> Use:
    return replace(asked, kind=kind, subject=f"{person.iss} {person.sub}")
