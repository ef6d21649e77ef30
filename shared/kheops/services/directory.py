"""Finding people: anybody by an exact reference, and those whom somebody has to do with by a part of their name."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import AlbumAction, PermittedAlbum, ReadScope, Source
from kheops.domain.principals import Principal
from kheops.errors import NotFoundError
from kheops.ids import AlbumId, StudyInstanceUID, UserPk
from kheops.services.album_access import permitted
from kheops.services.denials import granted
from kheops.services.references import person_of
from kheops.storage import directory, study_readers
from kheops.storage.directory import Acquaintance
from kheops.storage.engine import Database
from kheops.storage.people import UserRecord

__all__ = ["Acquaintance", "Directory", "FoundPerson", "Whereabouts"]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """An album and a study that a question about people is asked with regard to."""

    album: AlbumId | None = None
    study: StudyInstanceUID | None = None


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """Somebody, and whether they have access to what was asked for; ``None`` where nothing was."""

    person: Acquaintance
    """As the asker may know them: who asks by ``sub`` for a stranger is not told a name and an address for it."""
    album_access: bool | None
    study_access: bool | None


@dataclass(frozen=True, slots=True)
class _Regard:
    """The same, decided."""

    user: UserPk
    album: PermittedAlbum | None
    study: tuple[ReadScope, StudyInstanceUID] | None


class Directory:
    """Finds people. There is no way to list all of them.

    Parameters
    ----------
    database
        Where people are.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, *, default_issuer: str) -> None:
        self._database = database
        self._default_issuer = default_issuer

    async def find(
        self, principal: Principal, reference: str, whereabouts: Whereabouts, *, issuer: str | None = None
    ) -> FoundPerson:
        """Return whom a user reference means, so that a client can check it before it uses it.

        Name and address are those of somebody who shares an album with the caller, or whose address was the
        reference; of anybody else there is the ``sub`` that was asked for, and no more.

        Parameters
        ----------
        principal
            Who asks.
        reference
            An e-mail address or a ``sub``.
        whereabouts
            What their access is asked of.
        issuer
            Whose ``sub`` the reference is; ``None`` for an address, or the default issuer.

        Raises
        ------
        ForbiddenError
            If the caller came by a token of ours, or may not list the members of the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        NotFoundError
            If the study is hidden or does not exist.
        UserNotFoundError
            If nobody, or more than one person, answers to the reference.
        """

        def work(tx: Connection) -> FoundPerson:
            regard = _regard(tx, principal, whereabouts)
            named = NamedPerson(reference, issuer)
            person = person_of(tx, named, default_issuer=self._default_issuer)
            album, study = regard.album, regard.study
            return FoundPerson(
                _as_known(tx, regard.user, person, named),
                album_access=None if album is None else directory.is_member(tx, album, person.user),
                study_access=None if study is None else study_readers.is_read_with(tx, *study, person.user),
            )

        return await self._database.run(work)

    async def search(
        self, principal: Principal, wanted: str, whereabouts: Whereabouts, page: Page
    ) -> tuple[Sequence[Acquaintance], int]:
        """Return a page of people whose name or address has ``wanted`` in it, and how many there are in all.

        They share an album with the caller: the one that was named, or any; and they read a series of the study that
        the caller reads as well, where one was named. The caller is never among them.

        Raises
        ------
        ForbiddenError, AlbumNotFoundError, NotFoundError
            As `find`.
        """

        def work(tx: Connection) -> tuple[Sequence[Acquaintance], int]:
            regard = _regard(tx, principal, whereabouts)
            return directory.search(tx, wanted, asker=regard.user, album=regard.album, study=regard.study, page=page)

        return await self._database.run(work)


def _regard(tx: Connection, principal: Principal, whereabouts: Whereabouts) -> _Regard:
    user = granted(policy.look_up_people(principal))
    album = None
    if whereabouts.album is not None:
        album = permitted(tx, principal, AlbumAction.LIST_USERS, whereabouts.album)
    if whereabouts.study is None:
        return _Regard(user, album, None)
    scope = granted(policy.read_scope(principal, Source()))
    if not study_readers.is_read(tx, scope, whereabouts.study):
        raise NotFoundError
    return _Regard(user, album, (scope, whereabouts.study))


def _as_known(tx: Connection, asker: UserPk, person: UserRecord, named: NamedPerson) -> Acquaintance:
    is_acquainted = policy.is_acquainted(
        asker,
        person.user,
        by_address=named.is_address,
        share_an_album=directory.share_an_album(tx, asker, person.user),
    )
    if not is_acquainted:
        return Acquaintance(email=None, name=None, iss=person.iss, sub=person.sub)
    return Acquaintance(person.email if person.email_verified else None, person.name, person.iss, person.sub)
