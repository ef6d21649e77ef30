"""Roles: what somebody is in an album or inbox, as the policy wants to know it."""

from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.resources import AlbumRole
from kheops.ids import AlbumId, AlbumPk, UserPk
from kheops.storage.role_rows import ROLE_COLUMNS, role_of

__all__ = ["role_in", "role_in_album", "role_in_inbox"]

_SELECT: Final = f"""
    SELECT {ROLE_COLUMNS}
    FROM albums a
    JOIN album_members m ON m.album_pk = a.pk
    JOIN users u ON u.pk = m.user_pk AND u.suspended_at IS NULL
    WHERE m.user_pk = :user
"""  # noqa: S608 - constants only


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
    return None if row is None else role_of(row)
