"""Groups that are in albums. Who is in a group, nobody here knows: whoever presents it is."""

from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.groups import Group, GroupMember
from kheops.domain.policy import PermittedAlbum
from kheops.ids import UserPk

__all__ = ["add_group", "has_groups", "list_groups", "remove_group"]


def add_group(tx: Connection, album: PermittedAlbum, group: Group, *, by: UserPk, at: datetime) -> bool:
    """Add a group to an album; ``False``, and no change, for one that is in it already."""
    added = tx.execute(
        text(
            "INSERT INTO album_groups (album_pk, iss, value, added_at, added_by) "
            "VALUES (:album, :iss, :value, :at, :by) ON CONFLICT (album_pk, iss, value) DO NOTHING"
        ),
        {"album": album, "iss": group.iss, "value": group.value, "at": at, "by": by},
    )
    return added.rowcount == 1


def remove_group(tx: Connection, album: PermittedAlbum, group: Group) -> bool:
    """Take a group out of an album; ``False`` for one that is not in it."""
    removed = tx.execute(
        text("DELETE FROM album_groups WHERE album_pk = :album AND iss = :iss AND value = :value"),
        {"album": album, "iss": group.iss, "value": group.value},
    )
    return removed.rowcount == 1


def list_groups(tx: Connection, album: PermittedAlbum, page: Page) -> tuple[list[GroupMember], int]:
    """Return a page of an album's groups, ordered by issuer and value, and how many there are in all."""
    rows = tx.execute(
        text(
            "SELECT iss, value, added_at FROM album_groups WHERE album_pk = :album ORDER BY iss, value "
            "LIMIT :limit OFFSET :offset"
        ),
        {"album": album, "limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(
        text("SELECT count(*) FROM album_groups WHERE album_pk = :album"), {"album": album}
    ).scalar_one()
    return [GroupMember(Group(row.iss, row.value), row.added_at) for row in rows], total


def has_groups(tx: Connection, album: PermittedAlbum) -> bool:
    """Return whether any group is in an album."""
    found: bool = tx.execute(
        text("SELECT EXISTS (SELECT 1 FROM album_groups WHERE album_pk = :album)"), {"album": album}
    ).scalar_one()
    return found
