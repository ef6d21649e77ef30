"""Albums: rows, and what a member sees of them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import AlbumDraft, AlbumEdit, FlagChanges
from kheops.domain.policy import PermittedAlbum, ReadScope
from kheops.domain.resources import AlbumFlags
from kheops.ids import AlbumId, AlbumPk, UserPk, new_album_id
from kheops.storage.comments import readable_comment
from kheops.storage.visibility import HOLDS, membership, scope_parameters

__all__ = [
    "ALBUM_COLUMNS",
    "MEMBERSHIPS",
    "AlbumRecord",
    "Contents",
    "album_record",
    "contents",
    "create_album",
    "delete_album",
    "edit_album",
    "find_album",
    "lock_album",
    "lock_album_for_deletion",
]


@dataclass(frozen=True, slots=True)
class AlbumRecord:
    """An album with one member's own settings of it."""

    pk: AlbumPk
    album: AlbumId
    name: str
    description: str
    created_at: datetime
    last_event_at: datetime
    flags: AlbumFlags
    number_of_users: int
    number_of_comments: int
    """Public ones, and private ones by or for that member."""
    is_admin: bool
    is_favorite: bool
    notification_new_series: bool
    notification_new_comment: bool


@dataclass(frozen=True, slots=True)
class Contents:
    """What an album or inbox holds, counted over confirmed series that the caller sees."""

    number_of_studies: int = 0
    number_of_series: int = 0
    number_of_instances: int = 0
    modalities: tuple[str, ...] = ()


ALBUM_COLUMNS: Final = f"""
    a.pk, a.id, a.name, a.description, a.created_at, a.last_event_at, a.add_user, a.download_series, a.send_series,
    a.delete_series, a.add_series, a.write_comments, m.is_admin,
    coalesce(o.is_favorite, false) AS is_favorite,
    coalesce(o.notification_new_series, false) AS notification_new_series,
    coalesce(o.notification_new_comment, false) AS notification_new_comment,
    (SELECT count(*) FROM album_members n WHERE n.album_pk = a.pk) AS number_of_users,
    (SELECT count(*) FROM comments c WHERE c.album_pk = a.pk
        AND {readable_comment("u.pk")}) AS number_of_comments
"""  # noqa: S608 - constants only
"""Of `MEMBERSHIPS`."""
MEMBERSHIPS: Final = f"""
    FROM {membership()}
    JOIN users u ON u.pk = :scope_user AND u.suspended_at IS NULL
    JOIN albums a ON a.pk = m.album_pk AND a.kind = 'album'
    LEFT JOIN album_members o ON o.user_pk = u.pk AND o.album_pk = a.pk
    WHERE true
"""
"""The albums of a person in good standing, by themselves or by a group, each once; never an inbox."""


def create_album(tx: Connection, draft: AlbumDraft, *, creator: UserPk, at: datetime) -> AlbumPk:
    """Create an album whose one member and administrator is its creator, and return its key."""
    key = tx.execute(
        text(
            "INSERT INTO albums (id, kind, name, description, created_at, last_event_at, add_user, download_series, "
            "send_series, delete_series, add_series, write_comments) VALUES (:id, 'album', :name, :description, :at, "
            ":at, :add_user, :download_series, :send_series, :delete_series, :add_series, :write_comments) "
            "RETURNING pk"
        ),
        {
            "id": new_album_id(),
            "name": draft.name,
            "description": draft.description,
            "at": at,
            **{each.name: getattr(draft.flags, each.name) for each in fields(AlbumFlags)},
        },
    ).scalar_one()
    tx.execute(
        text("INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:album, :user, true, :at)"),
        {"album": key, "user": creator, "at": at},
    )
    return AlbumPk(key)


def lock_album(tx: Connection, album: AlbumPk) -> bool:
    """Let nobody else change the album, its members or their roles until this transaction ends.

    Returns
    -------
    bool
        Whether the album is still there.

    Notes
    -----
    Reading, and references by foreign keys, go on: an upload into the album waits for nobody's membership.
    """
    return _lock(tx, album, "FOR NO KEY UPDATE")


def lock_album_for_deletion(tx: Connection, album: AlbumPk) -> bool:
    """Do as `lock_album` does, and let nothing that refers to the album be written either."""
    return _lock(tx, album, "FOR UPDATE")


def _lock(tx: Connection, album: AlbumPk, strength: str) -> bool:
    statement = f"SELECT pk FROM albums WHERE pk = :pk {strength}"  # noqa: S608 - one of two constants
    found = tx.execute(text(statement), {"pk": album})
    return found.one_or_none() is not None


def edit_album(tx: Connection, album: PermittedAlbum, edit: AlbumEdit) -> None:
    """Change name, description and member flags, as far as they are given."""
    changes = {"name": edit.name, "description": edit.description}
    changes |= {each.name: getattr(edit.flags, each.name) for each in fields(FlagChanges)}
    given = {column: value for column, value in changes.items() if value is not None}
    if given:
        assignments = ", ".join(f"{column} = :{column}" for column in given)
        tx.execute(text(f"UPDATE albums SET {assignments} WHERE pk = :pk"), {**given, "pk": album})  # noqa: S608


def delete_album(tx: Connection, album: PermittedAlbum) -> None:
    """Delete an album with its members, events and capability tokens.

    The caller has taken its series out before (`kheops.storage.holdings.remove_everything`), so that each of them
    that nobody else holds became an orphan.
    """
    tx.execute(text("DELETE FROM albums WHERE pk = :pk AND kind = 'album'"), {"pk": album})


def find_album(
    tx: Connection, user: UserPk, album: AlbumPk, *, groups: frozenset[str] = frozenset()
) -> AlbumRecord | None:
    """Return an album as its member ``user``, or one by one of ``groups``, sees it; ``None`` for who is none."""
    row = tx.execute(
        text(f"SELECT {ALBUM_COLUMNS} {MEMBERSHIPS} AND a.pk = :pk"),
        {"scope_user": user, "scope_groups": sorted(groups), "pk": album},
    ).one_or_none()
    return None if row is None else album_record(row)


def contents(tx: Connection, scope: ReadScope, albums: Iterable[AlbumPk] | None = None) -> dict[AlbumPk, Contents]:
    """Return what the albums and inboxes of a scope hold, by album; those that hold nothing are left out.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller may read.
    albums
        Only these of them, where given.
    """
    rows = tx.execute(
        text(
            "SELECT a.pk, count(DISTINCT s.study_instance_uid) AS studies, count(*) AS series, "
            "sum(s.number_of_instances) AS instances, "
            "array_agg(DISTINCT s.modality) FILTER (WHERE s.modality <> '') AS modalities "
            f"{HOLDS} AND (CAST(:albums AS bigint[]) IS NULL OR a.pk = ANY (CAST(:albums AS bigint[]))) GROUP BY a.pk"
        ),
        {**scope_parameters(scope), "albums": None if albums is None else list(albums)},
    ).all()
    return {
        AlbumPk(row.pk): Contents(
            number_of_studies=row.studies,
            number_of_series=row.series,
            number_of_instances=int(row.instances),
            modalities=tuple(sorted(row.modalities or ())),
        )
        for row in rows
    }


def album_record(row: Row[Any]) -> AlbumRecord:
    """Return the album of a row of `ALBUM_COLUMNS`."""
    return AlbumRecord(
        pk=AlbumPk(row.pk),
        album=AlbumId(row.id),
        name=row.name,
        description=row.description,
        created_at=row.created_at,
        last_event_at=row.last_event_at,
        flags=AlbumFlags(**{each.name: getattr(row, each.name) for each in fields(AlbumFlags)}),
        number_of_users=row.number_of_users,
        number_of_comments=row.number_of_comments,
        is_admin=row.is_admin,
        is_favorite=row.is_favorite,
        notification_new_series=row.notification_new_series,
        notification_new_comment=row.notification_new_comment,
    )
