"""Invitations to albums, by e-mail address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum
from kheops.ids import AlbumId, AlbumPk, InvitationId, UserPk, new_invitation_id
from kheops.storage.capabilities import CapabilityUser

__all__ = [
    "InvitationRecord",
    "OpenInvitation",
    "accept",
    "create_invitation",
    "find_invitation",
    "list_of_album",
    "number_of_open",
    "open_invitations",
    "revoke_invitation",
    "revoke_of_address",
    "revoke_of_member",
]

_OPEN: Final = "i.accepted_at IS NULL AND i.revoked_at IS NULL"


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """An invitation."""

    pk: int
    invitation: InvitationId
    email: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None
    invited_by: CapabilityUser


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """An invitation that somebody could accept, with who stands behind it."""

    pk: int
    invitation: InvitationId
    album_pk: AlbumPk
    album: AlbumId
    inviter: UserPk
    iss: str
    sub: str


_SELECT: Final = """
    SELECT i.pk, i.id, i.email, i.created_at, i.expires_at, i.accepted_at, i.revoked_at,
           o.pk AS owner_pk, o.iss AS owner_iss, o.sub AS owner_sub,
           CASE WHEN o.email_verified THEN o.email END AS owner_email,
           o.name AS owner_name
    FROM invitations i JOIN users o ON o.pk = i.invited_by
"""


def create_invitation(
    tx: Connection, album: PermittedAlbum, email: str, *, by: UserPk, at: datetime, expires_at: datetime
) -> InvitationRecord:
    """Write a new invitation and return it; ``email`` is in small letters."""
    invitation = new_invitation_id()
    tx.execute(
        text(
            "INSERT INTO invitations (id, album_pk, email, invited_by, created_at, expires_at) "
            "VALUES (:id, :album, :email, :by, :at, :expires_at)"
        ),
        {"id": invitation, "album": album, "email": email, "by": by, "at": at, "expires_at": expires_at},
    )
    record = find_invitation(tx, album, invitation)
    assert record is not None
    return record


def find_invitation(tx: Connection, album: PermittedAlbum, invitation: InvitationId) -> InvitationRecord | None:
    """Return an invitation to an album."""
    row = tx.execute(
        text(f"{_SELECT} WHERE i.album_pk = :album AND i.id = :id"), {"album": album, "id": invitation}
    ).one_or_none()
    return None if row is None else _record(row)


def list_of_album(
    tx: Connection, album: PermittedAlbum, *, by: UserPk | None, page: Page
) -> tuple[list[InvitationRecord], int]:
    """Return a page of an album's invitations, newest first, and how many there are in all; ``by`` leaves theirs."""
    where = "i.album_pk = :album AND (CAST(:by AS bigint) IS NULL OR i.invited_by = CAST(:by AS bigint))"
    parameters = {"album": album, "by": by}
    rows = tx.execute(
        text(f"{_SELECT} WHERE {where} ORDER BY i.pk DESC LIMIT :limit OFFSET :offset"),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    counted = f"SELECT count(*) FROM invitations i WHERE {where}"  # noqa: S608 - constants only
    total: int = tx.execute(text(counted), parameters).scalar_one()
    return [_record(row) for row in rows], total


def number_of_open(tx: Connection, by: UserPk, at: datetime) -> int:
    """Return how many invitations by somebody wait for their address."""
    number: int = tx.execute(
        text(f"SELECT count(*) FROM invitations i WHERE i.invited_by = :by AND {_OPEN} AND i.expires_at > :at"),  # noqa: S608
        {"by": by, "at": at},
    ).scalar_one()
    return number


def revoke_invitation(tx: Connection, pk: int, *, by: UserPk, at: datetime) -> bool:
    """Revoke an invitation; ``False``, and no change, for one that was accepted or revoked already."""
    changed = tx.execute(
        text(f"UPDATE invitations i SET revoked_at = :at, revoked_by = :by WHERE i.pk = :pk AND {_OPEN}"),  # noqa: S608
        {"pk": pk, "by": by, "at": at},
    )
    return changed.rowcount == 1


def revoke_of_address(
    tx: Connection, album: PermittedAlbum, email: str, *, of: UserPk | None, by: UserPk, at: datetime
) -> None:
    """Revoke what was sent to an address for an album before by ``of``, or anybody: a new one takes its place."""
    tx.execute(
        text(
            "UPDATE invitations i SET revoked_at = :at, revoked_by = :by "  # noqa: S608 - constants only
            f"WHERE i.album_pk = :album AND i.email = :email AND {_OPEN} "
            "AND (CAST(:of AS bigint) IS NULL OR i.invited_by = CAST(:of AS bigint))"
        ),
        {"album": album, "email": email, "of": of, "by": by, "at": at},
    )


def revoke_of_member(
    tx: Connection, album: PermittedAlbum, member: UserPk, *, by: UserPk, at: datetime
) -> list[InvitationId]:
    """Revoke what anybody has sent for an album to the address of a member who is being taken out of it.

    Verified or not: it may be verified at their next login, and must not let them in again then.
    """
    rows = tx.execute(
        text(
            "UPDATE invitations i SET revoked_at = :at, revoked_by = :by FROM users u "  # noqa: S608 - constants only
            f"WHERE i.album_pk = :album AND u.pk = :member AND i.email = u.email AND {_OPEN} RETURNING i.id"
        ),
        {"album": album, "member": member, "by": by, "at": at},
    ).all()
    return [InvitationId(row.id) for row in rows]


def open_invitations(tx: Connection, email: str, at: datetime) -> list[OpenInvitation]:
    """Return the invitations that wait for an address, in the order in which their albums are to be locked."""
    rows = tx.execute(
        text(
            "SELECT i.pk, i.id, i.album_pk, a.id AS album_id, i.invited_by, u.iss, u.sub FROM invitations i "  # noqa: S608
            "JOIN albums a ON a.pk = i.album_pk JOIN users u ON u.pk = i.invited_by "
            f"WHERE i.email = lower(:email) AND {_OPEN} AND i.expires_at > :at ORDER BY i.album_pk, i.pk"
        ),
        {"email": email, "at": at},
    ).all()
    return [
        OpenInvitation(
            pk=row.pk,
            invitation=InvitationId(row.id),
            album_pk=AlbumPk(row.album_pk),
            album=AlbumId(row.album_id),
            inviter=UserPk(row.invited_by),
            iss=row.iss,
            sub=row.sub,
        )
        for row in rows
    ]


def accept(tx: Connection, pk: int, *, by: UserPk, at: datetime) -> bool:
    """Mark an invitation as accepted; ``False``, and no change, if that or its end came before."""
    changed = tx.execute(
        text(
            "UPDATE invitations i SET accepted_at = :at, accepted_by = :by "  # noqa: S608 - constants only
            f"WHERE i.pk = :pk AND {_OPEN} AND i.expires_at > :at"
        ),
        {"pk": pk, "by": by, "at": at},
    )
    return changed.rowcount == 1


def _record(row: Row[Any]) -> InvitationRecord:
    return InvitationRecord(
        pk=row.pk,
        invitation=InvitationId(row.id),
        email=row.email,
        created_at=row.created_at,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
        revoked_at=row.revoked_at,
        invited_by=CapabilityUser(UserPk(row.owner_pk), row.owner_iss, row.owner_sub, row.owner_email, row.owner_name),
    )
