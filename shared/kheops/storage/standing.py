"""Whether a credential still stands, asked in the transaction that acts on it."""

from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.policy import Source
from kheops.domain.principals import (
    AlbumCapability,
    CapabilityPermissions,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerParent,
    ViewerToken,
)
from kheops.ids import AlbumPk, CapabilityId, ReportTokenPk, StudyInstanceUID, UserPk, ViewerTokenPk
from kheops.storage import link_visits, report_tokens

__all__ = ["principal_of_upload", "stands"]


def stands(tx: Connection, principal: Principal, at: datetime) -> bool:
    """Return whether the person is in good standing, and the token and what it comes from are still good."""
    if isinstance(principal, ViewerToken):
        token = tx.execute(
            text("SELECT 1 FROM viewer_tokens WHERE pk = :pk AND revoked_at IS NULL AND expires_at > :at"),
            {"pk": principal.viewer, "at": at},
        ).one_or_none()
        return token is not None and stands(tx, principal.parent, at)
    if isinstance(principal, ReportToken):
        return report_tokens.stands(tx, principal.report, at) and stands(tx, principal.parent, at)
    if isinstance(principal, LinkVisit):
        return link_visits.stands(tx, principal, at)
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


def principal_of_upload(
    tx: Connection,
    user: UserPk,
    *,
    capability: int | None,
    viewer: ViewerTokenPk | None,
    report: ReportTokenPk | None,
) -> Principal | None:
    """Return for whom an upload acted, from what its reservation kept; ``None`` if that person or token is gone."""
    parent = _person_or_capability(tx, user, capability)
    if parent is not None and report is not None:
        return None if isinstance(parent, AlbumCapability) else report_tokens.find(tx, report, parent)
    if parent is None or viewer is None:
        return parent
    row = tx.execute(
        text(
            "SELECT study_instance_uid, source_inbox, source_album_pk, read_permission, write_permission "
            "FROM viewer_tokens WHERE pk = :pk"
        ),
        {"pk": viewer},
    ).one_or_none()
    if row is None:
        return None
    album = None if row.source_album_pk is None else AlbumPk(row.source_album_pk)
    return ViewerToken(
        viewer=viewer,
        parent=parent,
        study=StudyInstanceUID(row.study_instance_uid),
        source=Source(inbox=row.source_inbox, album=album),
        read=row.read_permission,
        write=row.write_permission,
    )


def _person_or_capability(tx: Connection, user: UserPk, capability: int | None) -> ViewerParent | None:
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
