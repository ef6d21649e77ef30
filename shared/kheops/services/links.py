"""Links: an address that shows an album, or chosen series, to whoever has it."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Final, NoReturn

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.links import LINK_LIFETIME, LINK_SELECTION, LINK_VISIT, PASSCODE_WAIT, LinkDraft
from kheops.domain.policy import AlbumAction, Denied, ReadScope, Source
from kheops.domain.principals import Person, Principal
from kheops.domain.resources import AlbumRole, SeriesRef
from kheops.domain.uses import Outcome, Use, User
from kheops.errors import (
    BadRequestError,
    KheopsError,
    LinkNotFoundError,
    NotFoundError,
    PasscodeRequiredError,
    TooManyRequestsError,
    WrongPasscodeError,
)
from kheops.identity.keyring import Keyring
from kheops.identity.own_tokens import hash_secret, hashes, new_secret, new_visit_secret
from kheops.identity.passcodes import Passcodes
from kheops.ids import AlbumId, LinkId, SeriesPk, UserPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.denials import granted
from kheops.services.strangers import Strangers
from kheops.storage import audit, holdings, link_visits, links, roles
from kheops.storage.engine import Database
from kheops.storage.holdings import Selection
from kheops.storage.link_visits import ClosedLink
from kheops.storage.links import LinkRecord, LinkSecrets

__all__ = ["VISITS_AT_ONCE", "CreatedLink", "LinkView", "Links", "Visit"]

VISITS_AT_ONCE: Final = 1_000
"""Visits by one link that have not ended."""
_FEWER_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link as the caller sees it."""

    record: LinkRecord
    names_album: bool
    """Whether the caller may know its album: members may, and who has left may not."""


@dataclass(frozen=True, slots=True)
class CreatedLink:
    """A new link with its secret, which is never to be had again."""

    view: LinkView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """What somebody gets who has opened a link."""

    token: str = field(repr=False)
    """A bearer token, never to be had again."""
    lifetime: timedelta
    name: str
    """Of the album that it shows, or else the link's title."""
    download: bool


class _Closed(Enum):
    """Why a link did not open; what is not told apart from outside is `NO_LINK`."""

    NO_LINK = "link-not-found"
    PASSCODE_REQUIRED = "passcode-required"
    WAITS = "too-many-requests"
    WRONG_PASSCODE = "wrong-passcode"


class _Tried(Enum):
    """How far a first look went."""

    NO_PASSCODE = auto()
    CHARGED = auto()


class Links:
    """Links. Their secrets are shown once and kept as keyed hashes only.

    A link grants nothing: it narrows what its creator reaches, at each request anew (ADR 0018).

    Parameters
    ----------
    database
        Where links are.
    clock
        The current time.
    pepper
        The key of the hash.
    longest
        How long a link lives at most.
    strangers
        Bounds what those who open links can make us write.
    """

    def __init__(
        self, database: Database, clock: Clock, *, pepper: Keyring, longest: timedelta, strangers: Strangers
    ) -> None:
        self._database = database
        self._clock = clock
        self._pepper = pepper
        self._longest = longest
        self._strangers = strangers
        self._passcodes = Passcodes()

    async def create(self, principal: Principal, draft: LinkDraft, *, asked: Use) -> CreatedLink:
        """Create a link: all that it is to show, or nothing.

        Parameters
        ----------
        principal
            Who asks: a person, who administers the album, or may send the series by themselves and not by a group.
        draft
            What is wanted.
        asked
            The use, as it goes to the audit trail with the link and the series added to it.

        Raises
        ------
        ForbiddenError
            If the caller came by a token, or does not administer the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        NotFoundError
            If the caller may not send one of the series, or anything of one of the studies; hidden and absent alike.
        BadRequestError
            If it would live too long, or its selection comes to too many series, or to both an album and series.
        """
        self._check(draft)
        secret = new_secret()
        passcode_hash = None if draft.passcode is None else await self._passcodes.hashed(draft.passcode)
        secrets = LinkSecrets(hash_secret(secret, self._pepper.current), passcode_hash)

        def work(tx: Connection) -> LinkView:
            owner = _person(principal)
            at = self._clock()
            album, selected = None, []
            if draft.album is None:
                selected = _selected(tx, principal, draft)
            else:
                # Locked, so that a demotion at the same time either prevents the link or revokes it.
                album = permitted_and_locked(tx, principal, AlbumAction.MANAGE_CAPABILITIES, draft.album)
            record = links.create_link(
                tx,
                draft,
                secrets,
                owner=owner,
                album=album,
                series=[pk for pk, _ in selected],
                at=at,
                expires_at=draft.expires_at or at + min(LINK_LIFETIME, self._longest),
            )
            refs = [ref for _, ref in selected]
            use = replace(
                asked,
                subject=record.link,
                studies=tuple({ref.study_instance_uid: None for ref in refs}),
                series=tuple(ref.series_instance_uid for ref in refs),
            )
            audit.insert_use(tx, use, at)
            return LinkView(record, names_album=True)

        return CreatedLink(await self._database.run(work), secret)

    async def list(
        self, principal: Principal, *, album: AlbumId | None, only_valid: bool, page: Page
    ) -> tuple[Sequence[LinkView], int]:
        """Return a page of links, newest first, and how many there are in all.

        Parameters
        ----------
        principal
            Who asks: a person.
        album
            The album whose links are wanted, of which the caller is an administrator; ``None`` for the caller's own.
        only_valid
            Whether those that are revoked, expired or used up are left out.
        page
            Which part.

        Raises
        ------
        ForbiddenError
            If the caller came by a token, or does not administer the album.
        AlbumNotFoundError
            If the album is hidden or does not exist.
        """

        def work(tx: Connection) -> tuple[Sequence[LinkView], int]:
            owner, at = _person(principal), self._clock()
            if album is None:
                records, total = links.list_of_user(tx, owner, only_valid=only_valid, page=page, at=at)
            else:
                key = permitted(tx, principal, AlbumAction.MANAGE_CAPABILITIES, album)
                records, total = links.list_of_album(tx, key, only_valid=only_valid, page=page, at=at)
            return [_view(tx, principal, record) for record in records], total

        return await self._database.run(work)

    async def get(self, principal: Principal, link: LinkId) -> LinkView:
        """Return a link: to its creator, and to administrators of its album.

        Raises
        ------
        ForbiddenError
            If the caller came by a token.
        LinkNotFoundError
            If it is neither theirs nor their album's, or does not exist.
        """

        def work(tx: Connection) -> LinkView:
            _person(principal)
            return _find(tx, principal, link)

        return await self._database.run(work)

    async def revoke(self, principal: Principal, link: LinkId, *, asked: Use) -> LinkView:
        """Revoke a link for good and return it: from then on, nobody who opened it sees anything.

        One that is revoked or expired already stays as it is.

        Raises
        ------
        ForbiddenError, LinkNotFoundError
            As `get`.
        """

        def work(tx: Connection) -> LinkView:
            user, at = _person(principal), self._clock()
            view = _find(tx, principal, link)
            if links.revoke_link(tx, view.record.pk, by=user, at=at):
                audit.insert_use(tx, replace(asked, subject=link), at)
            return _find(tx, principal, link)

        return await self._database.run(work)

    async def open(self, link: LinkId, secret: str, passcode: str | None, *, asked: Use) -> Visit:
        """Open a link, which uses it once.

        Whether there is no such link, its secret is wrong, or it has ended in any way, takes the same steps and has
        the same end.

        Parameters
        ----------
        link
            Its public id.
        secret, passcode
            What the visitor knows.
        asked
            The use; whose link it is gets filled in where it opens.

        Raises
        ------
        LinkNotFoundError
            If there is no such link with that secret, or not any longer.
        PasscodeRequiredError, WrongPasscodeError
            If only the passcode is missing, or wrong.
        TooManyRequestsError
            If the passcode was tried too often of late, too many visits have not ended, or the address was refused
            too often of late.
        """
        self._strangers.check(asked.source_address)
        secret_hashes = hashes(secret, self._pepper)
        looked = await self._database.run(lambda tx: self._look(tx, link, secret_hashes, passcode))
        if isinstance(looked, _Closed):
            await self._refuse(looked, link, asked)
        closed, tried = looked
        if tried is _Tried.CHARGED:
            assert passcode is not None
            assert closed.passcode_hash is not None
            if not await self._passcodes.is_right(passcode, closed.passcode_hash):
                await self._refuse(_Closed.WRONG_PASSCODE, link, asked)
        token = new_visit_secret()

        def begin(tx: Connection) -> Visit | _Closed:
            at = self._clock()
            if link_visits.number_of_visits(tx, closed.pk, at) >= VISITS_AT_ONCE:
                raise TooManyRequestsError(
                    "Too many have opened this link at the same time.", retry_after=int(_FEWER_AFTER.total_seconds())
                )
            opened = link_visits.begin_visit(
                tx,
                closed.pk,
                secret_hash=hash_secret(token, self._pepper.current),
                charged=tried is _Tried.CHARGED,
                at=at,
                lasting=LINK_VISIT,
            )
            if opened is None:
                return _Closed.NO_LINK
            visitor = opened.visitor
            user = User(visitor.iss, visitor.sub, visitor.token_id)
            audit.insert_use(tx, replace(asked, user=user, subject=link), at)
            return Visit(token, opened.expires_at - at, opened.album_name or opened.title, visitor.download)

        begun = await self._database.run(begin)
        if isinstance(begun, _Closed):
            await self._refuse(begun, link, asked)
        return begun

    async def clear(self) -> int:
        """Delete visits that are past their time; return how many."""
        cleared = 0
        while some := await self._database.run(lambda tx: link_visits.delete_ended(tx, at=self._clock())):
            cleared += some
        return cleared

    def _check(self, draft: LinkDraft) -> None:
        at = self._clock()
        if (draft.album is None) == (not draft.studies and not draft.series):
            raise BadRequestError("A link shows either an album, or studies and series.")
        if len(draft.studies) + len(draft.series) > LINK_SELECTION:
            raise BadRequestError(f"A link may name {LINK_SELECTION} studies and series at most.")
        if draft.expires_at is not None and not at < draft.expires_at <= at + self._longest:
            raise BadRequestError(f"A link must end in the future, and in {self._longest.days} days at the latest.")

    def _look(
        self, tx: Connection, link: LinkId, secret_hashes: tuple[bytes, ...], passcode: str | None
    ) -> tuple[ClosedLink, _Tried] | _Closed:
        at = self._clock()
        closed = link_visits.find_closed(tx, link, at)
        kept = bytes(len(secret_hashes[0])) if closed is None else closed.secret_hash
        fits = [hmac.compare_digest(kept, each) for each in secret_hashes]
        if not any(fits) or closed is None or not closed.opens:
            return _Closed.NO_LINK
        if closed.passcode_hash is None:
            return closed, _Tried.NO_PASSCODE
        if passcode is None:
            return _Closed.PASSCODE_REQUIRED
        if not link_visits.charge_try(tx, closed.pk, at):
            return _Closed.WAITS
        return closed, _Tried.CHARGED

    async def _refuse(self, why: _Closed, link: LinkId, asked: Use) -> NoReturn:
        refused = replace(asked, subject=link, outcome=Outcome.REFUSED, reason=why.value)
        await self._strangers.record(refused, names=why is not _Closed.NO_LINK)
        raise _error(why)


def _error(why: _Closed) -> KheopsError:
    match why:
        case _Closed.NO_LINK:
            return LinkNotFoundError()
        case _Closed.PASSCODE_REQUIRED:
            return PasscodeRequiredError()
        case _Closed.WRONG_PASSCODE:
            return WrongPasscodeError()
        case _Closed.WAITS:
            wait = int(PASSCODE_WAIT.total_seconds())
            return TooManyRequestsError("The passcode was wrong too often.", retry_after=wait)


def _selected(tx: Connection, principal: Principal, draft: LinkDraft) -> list[tuple[SeriesPk, SeriesRef]]:
    scope = _send_scope(principal)
    found: dict[SeriesPk, SeriesRef] = {}
    wanted = [Selection(study) for study in draft.studies]
    wanted += [Selection(ref.study_instance_uid, ref.series_instance_uid) for ref in draft.series]
    # In one order for everybody, since rows are locked.
    for selection in sorted(set(wanted), key=lambda each: (each.study, each.series or "")):
        held = holdings.find_held(tx, scope, selection)
        sendable = [
            (each.pk, ref) for each in held if not isinstance(ref := policy.send_series(principal, each.facts), Denied)
        ]
        if not sendable:
            raise NotFoundError
        found.update(sendable)
    if len(found) > LINK_SELECTION:
        raise BadRequestError(f"A link may show {LINK_SELECTION} series at most.")
    return list(found.items())


def _send_scope(principal: Principal) -> ReadScope:
    # A visit presents no group, so that what its creator reaches by a group alone would never be seen.
    alone = replace(principal, groups=frozenset()) if isinstance(principal, Person) else principal
    return granted(policy.send_scope(alone, Source()))


def _find(tx: Connection, principal: Principal, link: LinkId) -> LinkView:
    record = links.find_link(tx, link)
    if record is None:
        raise LinkNotFoundError
    role = _role(tx, principal, record)
    if isinstance(policy.revoke_capability(principal, record.created_by.user, role), Denied):
        raise LinkNotFoundError
    return LinkView(record, names_album=role is not None)


def _view(tx: Connection, principal: Principal, record: LinkRecord) -> LinkView:
    return LinkView(record, names_album=_role(tx, principal, record) is not None)


def _role(tx: Connection, principal: Principal, record: LinkRecord) -> AlbumRole | None:
    return None if record.album_pk is None else roles.role_in(tx, principal.user, record.album_pk)


def _person(principal: Principal) -> UserPk:
    return granted(policy.manage_capabilities(principal))
