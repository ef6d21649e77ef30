"""Roles: what somebody is in an album or inbox, as the policy wants to know it."""

from collections.abc import Set as AbstractSet
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.resources import AlbumRole
from kheops.ids import AlbumId, AlbumPk, UserPk
from kheops.storage.role_rows import ROLE_COLUMNS, role_of
from kheops.storage.visibility import membership

__all__ = ["role_in", "role_in_album", "role_in_inbox"]

_SELECT: Final = f"""
    SELECT {ROLE_COLUMNS}
    FROM {membership()}
    JOIN users u ON u.pk = :scope_user AND u.suspended_at IS NULL
    JOIN albums a ON a.pk = m.album_pk
    WHERE
"""  # noqa: S608 - constants only
_NO_GROUPS: Final[frozenset[str]] = frozenset()


def role_in_album(
    tx: Connection, user: UserPk, album: AlbumId, *, groups: AbstractSet[str] = _NO_GROUPS
) -> AlbumRole | None:
    """Return the user's role in the album with this public id; ``None`` without one, or if there is no such album.

    Parameters
    ----------
    tx
        The transaction.
    user
        Whose role.
    album
        The album.
    groups
        The groups that count for this request: `kheops.domain.principals.groups_of`.
    """
    return _role(tx, "a.id = :wanted", user, groups, album)


def role_in(
    tx: Connection, user: UserPk, album: AlbumPk, *, groups: AbstractSet[str] = _NO_GROUPS
) -> AlbumRole | None:
    """Return the user's role in the album or inbox with this key; ``groups`` as in `role_in_album`."""
    return _role(tx, "a.pk = :wanted", user, groups, album)


def role_in_inbox(tx: Connection, user: UserPk) -> AlbumRole | None:
    """Return the user's role in their own inbox; ``None`` for somebody who is suspended."""
    return _role(tx, "a.pk = u.inbox_pk AND NOT m.by_group", user, _NO_GROUPS, None)


def _role(
    tx: Connection, which: str, user: UserPk, groups: AbstractSet[str], wanted: AlbumId | AlbumPk | None
) -> AlbumRole | None:
    parameters: dict[str, object] = {"scope_user": user, "scope_groups": sorted(groups)}
    if wanted is not None:
        parameters["wanted"] = wanted
    row = tx.execute(text(f"{_SELECT} {which}"), parameters).one_or_none()
    return None if row is None else role_of(row)
