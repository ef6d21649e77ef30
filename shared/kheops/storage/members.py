"""Who is in an album."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import AlbumEdit, Page
from kheops.domain.named_people import NamedPerson
from kheops.domain.policy import PermittedAlbum
from kheops.ids import UserPk

__all__ = [
    "MemberRecord",
    "add_member",
    "find_member",
    "has_other_administrator",
    "is_administrator",
    "list_members",
    "number_of_members",
    "remove_member",
    "set_administrator",
    "set_favorite",
    "set_notifications",
]


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member of an album."""

    user: UserPk
    iss: str
    sub: str
    email: str | None
    """Only an address that an issuer vouches for; others may be anybody's."""
    name: str | None
    is_admin: bool


_SELECT: Final = """
    SELECT u.pk, u.iss, u.sub, CASE WHEN u.email_verified THEN lower(u.email) END AS email, u.name, m.is_admin
    FROM album_members m JOIN users u ON u.pk = m.user_pk
    WHERE m.album_pk = :album
"""


# Each function takes a `PermittedAlbum`: only the policy makes one.


def add_member(tx: Connection, album: PermittedAlbum, user: UserPk, *, is_admin: bool, at: datetime) -> bool:
    """Add a member; ``False``, and no change, for who is one already."""
    added = tx.execute(
        text(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:album, :user, :admin, :at) "
            "ON CONFLICT (user_pk, album_pk) DO NOTHING"
        ),
        {"album": album, "user": user, "admin": is_admin, "at": at},
    )
    return added.rowcount == 1


def remove_member(tx: Connection, album: PermittedAlbum, user: UserPk) -> None:
    """Remove a member."""
    tx.execute(
        text("DELETE FROM album_members WHERE album_pk = :album AND user_pk = :user"), {"album": album, "user": user}
    )


def set_administrator(tx: Connection, album: PermittedAlbum, user: UserPk, *, is_admin: bool) -> None:
    """Promote or demote a member."""
    tx.execute(
        text("UPDATE album_members SET is_admin = :admin WHERE album_pk = :album AND user_pk = :user"),
        {"admin": is_admin, "album": album, "user": user},
    )


def set_favorite(tx: Connection, album: PermittedAlbum, user: UserPk, *, is_favorite: bool) -> None:
    """Mark the album as one of the member's favourites, or no longer."""
    tx.execute(
        text("UPDATE album_members SET is_favorite = :favorite WHERE album_pk = :album AND user_pk = :user"),
        {"favorite": is_favorite, "album": album, "user": user},
    )


def set_notifications(tx: Connection, album: PermittedAlbum, user: UserPk, edit: AlbumEdit) -> None:
    """Set what the member wants to hear of, as far as the edit says."""
    tx.execute(
        text(
            "UPDATE album_members SET "
            "notification_new_series = coalesce(CAST(:new_series AS boolean), notification_new_series), "
            "notification_new_comment = coalesce(CAST(:new_comment AS boolean), notification_new_comment) "
            "WHERE album_pk = :album AND user_pk = :user"
        ),
        {
            "new_series": edit.notification_new_series,
            "new_comment": edit.notification_new_comment,
            "album": album,
            "user": user,
        },
    )


def list_members(tx: Connection, album: PermittedAlbum, page: Page) -> tuple[list[MemberRecord], int]:
    """Return a page of the members, ordered by e-mail address, and how many there are in all."""
    rows = tx.execute(
        text(f"{_SELECT} ORDER BY email NULLS LAST, u.pk LIMIT :limit OFFSET :offset"),
        {"album": album, "limit": page.limit, "offset": page.offset},
    ).all()
    return [_record(row) for row in rows], number_of_members(tx, album)


def number_of_members(tx: Connection, album: PermittedAlbum) -> int:
    """Return how many members the album has."""
    number: int = tx.execute(
        text("SELECT count(*) FROM album_members WHERE album_pk = :album"), {"album": album}
    ).scalar_one()
    return number


def find_member(
    tx: Connection, album: PermittedAlbum, named: NamedPerson, *, default_issuer: str
) -> MemberRecord | None:
    """Return the one member whom a request names, suspended people among them; ``None`` if none or several.

    A bare ``sub`` that two members have is neither's: the list of members shows both.

    Parameters
    ----------
    tx
        The transaction.
    album
        The album.
    named
        By a verified e-mail address, or by a ``sub``.
    default_issuer
        The issuer that a bare ``sub`` means.
    """
    rows = tx.execute(
        text(
            f"{_SELECT} AND CASE WHEN CAST(:is_address AS boolean) "
            "THEN u.email_verified AND lower(u.email) = CAST(:mailbox AS text) "
            "ELSE u.sub = :sub AND u.iss = coalesce(CAST(:issuer AS text), u.iss) END LIMIT 2"
        ),
        {
            "album": album,
            "is_address": named.is_address,
            "mailbox": named.mailbox,
            "sub": named.reference,
            "issuer": named.issuer,
        },
    ).all()
    if len(rows) != 1:
        return None
    (found,) = map(_record, rows)
    return found if named.is_address or found.iss == named.issuer_or(default_issuer) else None


def is_administrator(tx: Connection, album: PermittedAlbum, user: UserPk) -> bool:
    """Return whether somebody is an administrator of the album; ``False`` also for who is no member."""
    found: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM album_members WHERE album_pk = :album AND user_pk = :user AND is_admin)"),
        {"album": album, "user": user},
    ).scalar_one()
    return found


def has_other_administrator(tx: Connection, album: PermittedAlbum, user: UserPk) -> bool:
    """Return whether somebody else in good standing administers the album."""
    found: bool = tx.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM album_members m JOIN users u ON u.pk = m.user_pk "
            "WHERE m.album_pk = :album AND m.is_admin AND m.user_pk <> :user AND u.suspended_at IS NULL)"
        ),
        {"album": album, "user": user},
    ).scalar_one()
    return found


def _record(row: Row[Any]) -> MemberRecord:
    return MemberRecord(
        user=UserPk(row.pk), iss=row.iss, sub=row.sub, email=row.email, name=row.name, is_admin=row.is_admin
    )
