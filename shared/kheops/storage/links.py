"""Links: made, listed, revoked. Secrets are known here only by their keyed hash.

How a link is opened is in `kheops.storage.link_visits`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.links import LinkDraft
from kheops.domain.policy import PermittedAlbum
from kheops.ids import AlbumId, AlbumPk, LinkId, LinkPk, SeriesPk, UserPk, new_link_id
from kheops.storage.capabilities import CapabilityUser

__all__ = [
    "LinkRecord",
    "LinkSecrets",
    "create_link",
    "find_link",
    "list_of_album",
    "list_of_user",
    "revoke_link",
    "revoke_of_member",
]


@dataclass(frozen=True, slots=True)
class LinkSecrets:
    """What is kept of a link's secrets."""

    secret_hash: bytes = field(repr=False)
    """Keyed."""
    passcode_hash: str | None = field(repr=False)
    """Argon2id."""


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """A link, without its secrets."""

    pk: LinkPk
    link: LinkId
    title: str
    album_pk: AlbumPk | None
    album: AlbumId | None
    album_name: str | None
    download: bool
    has_passcode: bool
    wrong_passcodes: int
    blocked_until: datetime | None
    max_uses: int | None
    uses: int
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_by: CapabilityUser


_SELECT: Final = """
    SELECT l.pk, l.id, l.title, l.album_pk, a.id AS album_id, a.name AS album_name, l.download_permission,
           l.passcode_hash IS NOT NULL AS has_passcode, l.wrong_passcodes, l.blocked_until, l.max_uses, l.uses,
           l.created_at, l.expires_at, l.last_used_at, l.revoked_at,
           o.pk AS owner_pk, o.iss AS owner_iss, o.sub AS owner_sub,
           CASE WHEN o.email_verified THEN o.email END AS owner_email,
           o.name AS owner_name
    FROM links l
    JOIN users o ON o.pk = l.user_pk
    LEFT JOIN albums a ON a.pk = l.album_pk
"""
_VALID: Final = (
    " AND (NOT :valid OR (l.revoked_at IS NULL AND l.expires_at > :at "
    "AND (l.max_uses IS NULL OR l.uses < l.max_uses)))"
)


def create_link(
    tx: Connection,
    draft: LinkDraft,
    secrets: LinkSecrets,
    *,
    owner: UserPk,
    album: PermittedAlbum | None,
    series: Sequence[SeriesPk],
    at: datetime,
    expires_at: datetime,
) -> LinkRecord:
    """Write a new link and return it.

    Parameters
    ----------
    tx
        The transaction.
    draft
        What it is to be.
    secrets
        What is kept of its secrets.
    owner
        Whose it is.
    album
        The album that it shows, if it shows one.
    series
        Its selection otherwise.
    at
        The current time.
    expires_at
        Its end.
    """
    link = new_link_id()
    pk = tx.execute(
        text(
            "INSERT INTO links (id, secret_hash, title, user_pk, album_pk, download_permission, passcode_hash, "
            "max_uses, created_at, expires_at) VALUES (:id, :secret_hash, :title, :owner, :album, :download, "
            ":passcode_hash, :max_uses, :at, :expires_at) RETURNING pk"
        ),
        {
            "id": link,
            "secret_hash": secrets.secret_hash,
            "title": draft.title,
            "owner": owner,
            "album": album,
            "download": draft.download,
            "passcode_hash": secrets.passcode_hash,
            "max_uses": draft.max_uses,
            "at": at,
            "expires_at": expires_at,
        },
    ).scalar_one()
    tx.execute(
        text("INSERT INTO link_series (link_pk, series_pk) SELECT :link, unnest(CAST(:series AS bigint[]))"),
        {"link": pk, "series": list(series)},
    )
    record = find_link(tx, link)
    assert record is not None
    return record


def find_link(tx: Connection, link: LinkId) -> LinkRecord | None:
    """Return a link by its public id."""
    row = tx.execute(text(f"{_SELECT} WHERE l.id = :id"), {"id": link}).one_or_none()
    return None if row is None else _record(row)


def list_of_user(
    tx: Connection, owner: UserPk, *, only_valid: bool, page: Page, at: datetime
) -> tuple[list[LinkRecord], int]:
    """Return a page of somebody's links, newest first, and how many there are in all."""
    return _list(tx, "l.user_pk = :whose", owner, only_valid=only_valid, page=page, at=at)


def list_of_album(
    tx: Connection, album: PermittedAlbum, *, only_valid: bool, page: Page, at: datetime
) -> tuple[list[LinkRecord], int]:
    """Return a page of the links to an album, newest first, and how many there are in all."""
    return _list(tx, "l.album_pk = :whose", album, only_valid=only_valid, page=page, at=at)


def revoke_link(tx: Connection, pk: LinkPk, *, by: UserPk, at: datetime) -> bool:
    """Revoke a link for good; ``False``, and no change, for one that is revoked or expired already."""
    changed = tx.execute(
        text(
            "UPDATE links SET revoked_at = :at, revoked_by = :by "
            "WHERE pk = :pk AND revoked_at IS NULL AND expires_at > :at"
        ),
        {"at": at, "by": by, "pk": pk},
    )
    return changed.rowcount == 1


def revoke_of_member(
    tx: Connection, album: PermittedAlbum, owner: UserPk, *, by: UserPk, at: datetime
) -> list[LinkId]:
    """Revoke the links that somebody has made to an album, and return which; the expired ones too."""
    revoked = tx.execute(
        text(
            "UPDATE links SET revoked_at = :at, revoked_by = :by "
            "WHERE album_pk = :album AND user_pk = :owner AND revoked_at IS NULL RETURNING id"
        ),
        {"at": at, "by": by, "album": album, "owner": owner},
    ).scalars()
    return [LinkId(each) for each in revoked]


def _list(
    tx: Connection, where: str, whose: UserPk | AlbumPk, *, only_valid: bool, page: Page, at: datetime
) -> tuple[list[LinkRecord], int]:
    # ``where`` is one of the two constants above.
    parameters = {"whose": whose, "valid": only_valid, "at": at}
    rows = tx.execute(
        text(f"{_SELECT} WHERE {where} {_VALID} ORDER BY l.created_at DESC, l.pk DESC LIMIT :limit OFFSET :offset"),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    counted = f"SELECT count(*) FROM links l WHERE {where} {_VALID}"  # noqa: S608
    total: int = tx.execute(text(counted), parameters).scalar_one()
    return [_record(row) for row in rows], total


def _record(row: Row[Any]) -> LinkRecord:
    return LinkRecord(
        pk=LinkPk(row.pk),
        link=LinkId(row.id),
        title=row.title,
        album_pk=None if row.album_pk is None else AlbumPk(row.album_pk),
        album=None if row.album_id is None else AlbumId(row.album_id),
        album_name=row.album_name,
        download=row.download_permission,
        has_passcode=row.has_passcode,
        wrong_passcodes=row.wrong_passcodes,
        blocked_until=row.blocked_until,
        max_uses=row.max_uses,
        uses=row.uses,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        created_by=CapabilityUser(UserPk(row.owner_pk), row.owner_iss, row.owner_sub, row.owner_email, row.owner_name),
    )
