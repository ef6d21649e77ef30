"""Invitations: letting somebody into an album who may have no account yet, by e-mail address."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.mail import MAIL_SUBJECT_LENGTH, Mail, one_line
from kheops.domain.mutations import MutationType
from kheops.domain.policy import AlbumAction, Denied, PermittedAlbum
from kheops.domain.principals import Person, Principal
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import (
    BadFormParameterError,
    BadRequestError,
    ConflictError,
    InvitationNotFoundError,
    TooManyRequestsError,
)
from kheops.ids import AlbumId, AlbumPk, InvitationId, UserPk
from kheops.services.album_access import permitted, permitted_and_locked
from kheops.services.allowances import spend
from kheops.services.denials import refuse
from kheops.services.webhook_events import tell_new_user
from kheops.storage import albums, audit, invitations, members, people, roles
from kheops.storage.allowances import Allowance, whose_address
from kheops.storage.engine import Database
from kheops.storage.events import Mutation, add_event
from kheops.storage.invitations import InvitationRecord, OpenInvitation
from kheops.storage.outbox import add_mail
from kheops.storage.people import UserRecord

__all__ = ["INVITATIONS_AT_ONCE", "MAILS_BY_INVITER", "MAILS_TO_ADDRESS", "Invitations", "accept_invitations"]

INVITATIONS_AT_ONCE: Final = 100
"""Invitations by one person that wait for their address: this sends mail to strangers."""
MAILS_BY_INVITER: Final = Allowance("invitations-by", most=100, within=timedelta(days=1))
"""Mails that one person causes, whatever has become of the invitations."""
MAILS_TO_ADDRESS: Final = Allowance("invitations-to", most=10, within=timedelta(days=1))
"""Mails that one address gets, whoever invites it."""
_NAME_SHOWN: Final = 100
"""Characters of a name in a mail."""


class Invitations:
    """Invitations to albums. They take effect by `accept_invitations`.

    Parameters
    ----------
    database
        Where they are.
    clock
        The current time.
    lifetime
        How long an invitation waits.
    public_url
        Where the invited log in.
    sends_mail
        Whether mail goes out from here at all.
    """

    def __init__(
        self, database: Database, clock: Clock, *, lifetime: timedelta, public_url: str, sends_mail: bool
    ) -> None:
        self._database = database
        self._clock = clock
        self._lifetime = lifetime
        self._public_url = public_url
        self._sends_mail = sends_mail

    async def create(self, principal: Principal, album: AlbumId, email: str, *, asked: Use) -> InvitationRecord:
        """Invite whoever has an e-mail address, as a plain member; the mail goes out with the transaction.

        Earlier invitations to the same address are replaced: an administrator's takes the place of anybody's, and a
        member's of their own, as they could revoke them. Nothing tells whether the address is
        somebody's here already.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the role or token does not include adding members, or the caller is in the album by a group only.
        BadFormParameterError
            If the address is not one.
        ConflictError
            If no mail goes out from here.
        TooManyRequestsError
            If too many invitations by the caller wait, or too many mails of late were caused by the caller or went to
            the address, by whomever; those of invitations that were revoked or accepted count too.
        """

        def work(tx: Connection) -> InvitationRecord:
            key = permitted_and_locked(tx, principal, AlbumAction.ADD_USER, album)
            inviter = people.get_user(tx, principal.user)
            if isinstance(_right_of(tx, _alone(inviter), key), Denied):
                refuse(Denied(policy.Reason.ALBUM_ROLE), album=True)
            record = albums.find_album(tx, principal.user, key)
            assert record is not None
            mail = _mail(inviter, email, record.name, self._public_url, self._lifetime)
            if not self._sends_mail:
                raise ConflictError("No mail goes out from here: who operates this service has to set that up.")
            at = self._clock()
            address = mail.recipient.lower()
            # Of those of others, what the caller may revoke, so that no member ends an administrator's invitation.
            invitations.revoke_of_address(tx, key, address, of=_whose(tx, principal, key), by=principal.user, at=at)
            if invitations.number_of_open(tx, principal.user, at) >= INVITATIONS_AT_ONCE:
                raise TooManyRequestsError(
                    "Too many of your invitations are waiting.", retry_after=int(timedelta(hours=1).total_seconds())
                )
            made = invitations.create_invitation(
                tx, key, address, by=principal.user, at=at, expires_at=at + self._lifetime
            )
            # After every lock, and in one order. The words do not tell whose allowance it was.
            for allowance, whose in (
                (MAILS_BY_INVITER, str(principal.user)),
                (MAILS_TO_ADDRESS, whose_address(address)),
            ):
                spend(tx, allowance, whose, at=at, detail="Too many invitations were sent of late.")
            add_mail(tx, mail, due=at)
            audit.insert_use(tx, replace(asked, subject=f"{album} {made.invitation}"), at)
            return made

        return await self._database.run(work)

    async def list(self, principal: Principal, album: AlbumId, page: Page) -> tuple[Sequence[InvitationRecord], int]:
        """Return a page of an album's invitations, newest first, and how many there are in all.

        Administrators see all of them, others their own.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            As `create`.
        """

        def work(tx: Connection) -> tuple[Sequence[InvitationRecord], int]:
            key = permitted(tx, principal, AlbumAction.ADD_USER, album)
            return invitations.list_of_album(tx, key, by=_whose(tx, principal, key), page=page)

        return await self._database.run(work)

    async def revoke(self, principal: Principal, album: AlbumId, invitation: InvitationId, *, asked: Use) -> None:
        """Revoke an invitation, which its inviter and administrators may; what was accepted stays as it is.

        Raises
        ------
        AlbumNotFoundError, ForbiddenError
            As `create`.
        InvitationNotFoundError
            If it is not one of theirs, or does not exist.
        """

        def work(tx: Connection) -> None:
            key = permitted_and_locked(tx, principal, AlbumAction.ADD_USER, album)
            record = invitations.find_invitation(tx, key, invitation)
            whose = _whose(tx, principal, key)
            if record is None or whose not in {None, record.invited_by.user}:
                raise InvitationNotFoundError
            at = self._clock()
            if invitations.revoke_invitation(tx, record.pk, by=principal.user, at=at):
                audit.insert_use(tx, replace(asked, subject=f"{album} {invitation}"), at)

        await self._database.run(work)


def accept_invitations(tx: Connection, person: UserRecord, *, request_id: str, at: datetime) -> int:
    """Make somebody who has just logged in a member of the albums that their address was invited to.

    Only an address that their issuer may vouch for counts (``email_verified`` of the record), and that nobody else
    has: one of several people is nobody's. Whether the inviter may let people in is decided again now; if not, the
    invitation goes on waiting and has no effect. The album is locked, so that any number of logins at once make one
    member, and an invitation is accepted once.

    Parameters
    ----------
    tx
        The transaction.
    person
        Who has logged in.
    request_id
        Of the request, for the audit trail.
    at
        The current time.

    Returns
    -------
    int
        How many invitations were accepted.
    """
    if person.email is None or not person.email_verified or person.suspended_at is not None:
        return 0
    owner = people.find_by_email(tx, person.email)
    if owner is None or owner.user != person.user:
        return 0
    accepted = 0
    for each in invitations.open_invitations(tx, person.email, at):
        if not albums.lock_album(tx, each.album_pk):
            continue
        inviter = Person(each.inviter, each.iss, each.sub, token_id=f"invitation:{each.invitation}")
        key = _right_of(tx, inviter, each.album_pk)
        if isinstance(key, Denied) or not invitations.accept(tx, each.pk, by=person.user, at=at):
            continue
        accepted += 1
        _record_acceptance(tx, each, person, request_id, at)
        if members.add_member(tx, key, person.user, is_admin=False, at=at):
            member = Person(person.user, person.iss, person.sub, token_id=inviter.token_id)
            add_event(tx, key, Mutation(MutationType.ADD_USER, to_user=person.user), by=inviter, at=at)
            tell_new_user(tx, key, person.user, by=member, at=at)
    return accepted


def _record_acceptance(
    tx: Connection, invitation: OpenInvitation, person: UserRecord, request_id: str, at: datetime
) -> None:
    use = Use(
        user=User(person.iss, person.sub, f"invitation:{invitation.invitation}"),
        kind=UseKind.INVITATION_ACCEPTED,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id=request_id,
        subject=f"{invitation.album} {invitation.iss} {invitation.sub}",
    )
    audit.insert_use(tx, use, at)


def _right_of(tx: Connection, inviter: Person, album: AlbumPk) -> PermittedAlbum | Denied:
    # Asked without groups: at the acceptance, the inviter presents none.
    return policy.act_on_album(inviter, AlbumAction.ADD_USER, roles.role_in(tx, inviter.user, album))


def _alone(record: UserRecord) -> Person:
    return Person(record.user, record.iss, record.sub, token_id="invitation")  # noqa: S106 - a name


def _whose(tx: Connection, principal: Principal, album: PermittedAlbum) -> UserPk | None:
    role = roles.role_in(tx, principal.user, album)
    sees_all = not isinstance(policy.act_on_album(principal, AlbumAction.REMOVE_USER, role), Denied)
    return None if sees_all else principal.user


def _mail(inviter: UserRecord, email: str, album: str, public_url: str, lifetime: timedelta) -> Mail:
    known = inviter.email if inviter.email_verified else None
    name = one_line(inviter.name or known or "Somebody", most=_NAME_SHOWN)
    named = f"{name} ({known})" if known is not None and known != name else name
    try:
        return Mail(
            recipient=email.strip(),
            subject=f"{name} invites you to an album of medical images"[:MAIL_SUBJECT_LENGTH],
            text=(
                f"{named} invites you to the album \u201c{one_line(album, most=_NAME_SHOWN)}\u201d.\n\n"
                f"To see it, log in within {lifetime.days} days, with an account of this e-mail address:\n\n"
                f"{public_url}/\n\n"
                "If you did not expect this, you need not do anything: the invitation ends by itself.\n"
            ),
        )
    except BadRequestError:
        raise BadFormParameterError("'email' must be one e-mail address.") from None
