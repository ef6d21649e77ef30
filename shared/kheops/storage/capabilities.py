"""Capability tokens. Secrets are known here only by their keyed hash."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.capabilities import CapabilityDraft, CapabilityScope
from kheops.domain.policy import PermittedAlbum
from kheops.domain.principals import CapabilityPermissions
from kheops.ids import AlbumId, AlbumPk, CapabilityId, UserPk, new_capability_id

__all__ = [
    "CapabilityRecord",
    "CapabilityUser",
    "create_capability",
    "find_capability",
    "list_of_album",
    "list_of_user",
    "revoke_capability",
    "revoke_of_member",
    "touch",
]


@dataclass(frozen=True, slots=True)
class CapabilityUser:
    """Somebody who created or revoked a token."""

    user: UserPk
    iss: str
    sub: str
    email: str | None
    """Only an address that an issuer vouches for."""
    name: str | None


@dataclass(frozen=True, slots=True)
class CapabilityRecord:
    """A capability token, without its secret."""

    pk: int
    capability: CapabilityId
    title: str
    scope: CapabilityScope
    album_pk: AlbumPk | None
    album: AlbumId | None
    album_name: str | None
    permissions: CapabilityPermissions
    issued_at: datetime
    not_before: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_by: CapabilityUser
    revoked_by: CapabilityUser | None


_SELECT: Final = """
    SELECT c.pk, c.id, c.title, c.scope_type, c.album_pk, a.id AS album_id, a.name AS album_name, c.read_permission,
           c.write_permission, c.appropriate_permission, c.download_permission, c.issued_at, c.not_before,
           c.expires_at, c.last_used_at, c.revoked_at,
           o.pk AS owner_pk, o.iss AS owner_iss, o.sub AS owner_sub,
           CASE WHEN o.email_verified THEN o.email END AS owner_email,
           o.name AS owner_name,
           r.pk AS revoker_pk, r.iss AS revoker_iss, r.sub AS revoker_sub,
           CASE WHEN r.email_verified THEN r.email END AS revoker_email,
           r.name AS revoker_name
"""
_FROM: Final = """
    FROM capabilities c
    JOIN users o ON o.pk = c.user_pk
    LEFT JOIN albums a ON a.pk = c.album_pk
    LEFT JOIN users r ON r.pk = c.revoked_by
"""
_VALID: Final = " AND (NOT :valid OR (c.revoked_at IS NULL AND c.not_before <= :at AND c.expires_at >= :at)) "


def create_capability(
    tx: Connection,
    draft: CapabilityDraft,
    *,
    owner: UserPk,
    album: PermittedAlbum | None,
    secret_hash: bytes,
    at: datetime,
) -> CapabilityRecord:
    """Write a new token and return it.

    Parameters
    ----------
    tx
        The transaction.
    draft
        What it is to be.
    owner
        Whose it is.
    album
        Its album, where its scope is one.
    secret_hash
        The keyed hash of its secret.
    at
        The current time.
    """
    capability = new_capability_id()
    tx.execute(
        text(
            "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, album_pk, read_permission, "
            "write_permission, appropriate_permission, download_permission, issued_at, not_before, expires_at) "
            "VALUES (:id, :secret_hash, :title, :scope, :owner, :album, :read, :write, :appropriate, :download, :at, "
            ":not_before, :expires_at)"
        ),
        {
            "id": capability,
            "secret_hash": secret_hash,
            "title": draft.title,
            "scope": draft.scope.value,
            "owner": owner,
            "album": album,
            "read": draft.permissions.read,
            "write": draft.permissions.write,
            "appropriate": draft.permissions.appropriate,
            "download": draft.permissions.download,
            "at": at,
            "not_before": draft.not_before,
            "expires_at": draft.expires_at,
        },
    )
    record = find_capability(tx, capability)
    assert record is not None
    return record


def find_capability(tx: Connection, capability: CapabilityId) -> CapabilityRecord | None:
    """Return a token by its public id."""
    row = tx.execute(text(f"{_SELECT} {_FROM} WHERE c.id = :id"), {"id": capability}).one_or_none()
    return None if row is None else _record(row)


def list_of_user(
    tx: Connection, owner: UserPk, *, only_valid: bool, page: Page, at: datetime
) -> tuple[list[CapabilityRecord], int]:
    """Return a page of somebody's tokens, newest first, and how many there are in all."""
    return _list(tx, "c.user_pk = :owner", {"owner": owner, "valid": only_valid, "at": at}, page)


def list_of_album(
    tx: Connection, album: PermittedAlbum, *, owner: UserPk | None, only_valid: bool, page: Page, at: datetime
) -> tuple[list[CapabilityRecord], int]:
    """Return a page of an album's tokens, newest first, and how many there are in all.

    ``owner`` leaves only that person's.
    """
    where = "c.album_pk = :album AND (CAST(:owner AS bigint) IS NULL OR c.user_pk = CAST(:owner AS bigint))"
    return _list(tx, where, {"album": album, "owner": owner, "valid": only_valid, "at": at}, page)


def revoke_capability(tx: Connection, pk: int, *, by: UserPk, at: datetime) -> bool:
    """Revoke a token for good; ``False``, and no change, for one that is revoked or expired already."""
    changed = tx.execute(
        text(
            "UPDATE capabilities SET revoked_at = :at, revoked_by = :by "
            "WHERE pk = :pk AND revoked_at IS NULL AND expires_at >= :at"
        ),
        {"at": at, "by": by, "pk": pk},
    )
    return changed.rowcount == 1


def revoke_of_member(
    tx: Connection, album: PermittedAlbum, owner: UserPk, *, by: UserPk, at: datetime
) -> list[CapabilityId]:
    """Revoke the tokens that somebody has made for an album, and return which; the expired ones too."""
    revoked = tx.execute(
        text(
            "UPDATE capabilities SET revoked_at = :at, revoked_by = :by "
            "WHERE album_pk = :album AND user_pk = :owner AND revoked_at IS NULL RETURNING id"
        ),
        {"at": at, "by": by, "album": album, "owner": owner},
    ).scalars()
    return [CapabilityId(each) for each in revoked]


def touch(tx: Connection, *, pk: int, at: datetime) -> None:
    """Write that a token was used, never back in time."""
    tx.execute(
        text("UPDATE capabilities SET last_used_at = greatest(coalesce(last_used_at, :at), :at) WHERE pk = :pk"),
        {"at": at, "pk": pk},
    )


def _list(tx: Connection, where: str, parameters: dict[str, object], page: Page) -> tuple[list[CapabilityRecord], int]:
    # ``where`` is one of the two constants above.
    counted = f"SELECT count(*) FROM capabilities c WHERE {where} {_VALID}"  # noqa: S608
    listed = f"{_SELECT} {_FROM} WHERE {where} {_VALID} ORDER BY c.issued_at DESC, c.pk DESC"
    rows = tx.execute(
        text(f"{listed} LIMIT :limit OFFSET :offset"), {**parameters, "limit": page.limit, "offset": page.offset}
    ).all()
    total: int = tx.execute(text(counted), parameters).scalar_one()
    return [_record(row) for row in rows], total


def _record(row: Row[Any]) -> CapabilityRecord:
    return CapabilityRecord(
        pk=row.pk,
        capability=CapabilityId(row.id),
        title=row.title,
        scope=CapabilityScope(row.scope_type),
        album_pk=None if row.album_pk is None else AlbumPk(row.album_pk),
        album=None if row.album_id is None else AlbumId(row.album_id),
        album_name=row.album_name,
        permissions=CapabilityPermissions(
            read=row.read_permission,
            write=row.write_permission,
            appropriate=row.appropriate_permission,
            download=row.download_permission,
        ),
        issued_at=row.issued_at,
        not_before=row.not_before,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        created_by=CapabilityUser(UserPk(row.owner_pk), row.owner_iss, row.owner_sub, row.owner_email, row.owner_name),
        revoked_by=None
        if row.revoker_pk is None
        else CapabilityUser(
            UserPk(row.revoker_pk), row.revoker_iss, row.revoker_sub, row.revoker_email, row.revoker_name
        ),
    )
