"""Roles: what somebody is in an album or inbox, as the policy wants to know it."""

from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.resources import AlbumFlags, AlbumRole
from kheops.ids import AlbumId, AlbumPk, UserPk

__all__ = ["role_in", "role_in_album", "role_in_inbox"]

_SELECT: Final = """
    SELECT a.pk, a.kind = 'inbox' AS is_inbox, m.is_admin, a.add_user, a.download_series, a.send_series,
           a.delete_series, a.add_series, a.write_comments
    FROM albums a
    JOIN album_members m ON m.album_pk = a.pk
    JOIN users u ON u.pk = m.user_pk AND u.suspended_at IS NULL
    WHERE m.user_pk = :user
"""


def role_in_album(tx: Connection, user: UserPk, album: AlbumId) -> AlbumRole | None:
    """Return the user's role in the album with this public id; ``None`` without one, or if there is no such album."""
    return _role(tx.execute(text(f"{_SELECT} AND a.id = :id"), {"user": user, "id": album}).one_or_none())


def role_in(tx: Connection, user: UserPk, album: AlbumPk) -> AlbumRole | None:
    """Return the user's role in the album or inbox with this key."""
    return _role(tx.execute(text(f"{_SELECT} AND a.pk = :pk"), {"user": user, "pk": album}).one_or_none())


def role_in_inbox(tx: Connection, user: UserPk) -> AlbumRole | None:
    """Return the user's role in their own inbox; ``None`` for somebody who is suspended."""
    return _role(tx.execute(text(f"{_SELECT} AND a.pk = u.inbox_pk"), {"user": user}).one_or_none())


def _role(row: Row[Any] | None) -> AlbumRole | None:
    if row is None:
        return None
    return AlbumRole(
        album=AlbumPk(row.pk),
        is_inbox=row.is_inbox,
        is_admin=row.is_admin,
        flags=AlbumFlags(
            add_user=row.add_user,
            download_series=row.download_series,
            send_series=row.send_series,
            delete_series=row.delete_series,
            add_series=row.add_series,
            write_comments=row.write_comments,
        ),
    )
