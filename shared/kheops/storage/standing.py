"""Whether a credential still stands, asked in the transaction that acts on it."""

from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.principals import AlbumCapability, CapabilityPermissions, Person, Principal, UserCapability
from kheops.ids import AlbumPk, CapabilityId, UserPk

__all__ = ["principal_of_upload", "stands"]


def stands(tx: Connection, principal: Principal, at: datetime) -> bool:
    """Return whether the person is in good standing and the capability token, if it is one, is still good."""
    if isinstance(principal, Person):
        found = tx.execute(
            text("SELECT 1 FROM users WHERE pk = :user AND suspended_at IS NULL"), {"user": principal.user}
        ).one_or_none()
    else:
        found = tx.execute(
            text(
                "SELECT 1 FROM capabilities c JOIN users u ON u.pk = c.user_pk AND u.suspended_at IS NULL "
                "WHERE c.id = :id AND c.revoked_at IS NULL AND c.expires_at > :at"
            ),
            {"id": principal.capability, "at": at},
        ).one_or_none()
    return found is not None


def principal_of_upload(tx: Connection, user: UserPk, capability: int | None) -> Principal | None:
    """Return for whom an upload acted, from what its reservation kept; ``None`` if that person or token is gone."""
    owner = tx.execute(text("SELECT iss, sub FROM users WHERE pk = :user"), {"user": user}).one_or_none()
    if owner is None:
        return None
    if capability is None:
        return Person(user=user, iss=owner.iss, sub=owner.sub, token_id="reconcile")  # noqa: S106 - a name
    row = tx.execute(
        text(
            "SELECT id, album_pk, read_permission, write_permission, appropriate_permission, download_permission "
            "FROM capabilities WHERE pk = :pk"
        ),
        {"pk": capability},
    ).one_or_none()
    if row is None:
        return None
    permissions = CapabilityPermissions(
        read=row.read_permission,
        write=row.write_permission,
        appropriate=row.appropriate_permission,
        download=row.download_permission,
    )
    if row.album_pk is None:
        return UserCapability(user, owner.iss, owner.sub, CapabilityId(row.id), permissions)
    return AlbumCapability(user, owner.iss, owner.sub, CapabilityId(row.id), permissions, AlbumPk(row.album_pk))
