"""Tokens of ours as the hot lookup finds them by the hash of their secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kheops.domain.policy import Source
from kheops.domain.principals import CapabilityPermissions, LinkVisit
from kheops.ids import (
    AlbumPk,
    CapabilityId,
    LinkId,
    LinkPk,
    LinkVisitPk,
    ReportProviderId,
    ReportTokenPk,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)
from kheops.storage.link_standing import LINK_STANDS

__all__ = [
    "TOKEN_STATEMENTS",
    "CapabilityOnRecord",
    "LinkVisitOnRecord",
    "ReportTokenOnRecord",
    "ViewerTokenOnRecord",
    "capability_of",
    "link_visit_of",
    "report_token_of",
    "viewer_token_of",
]

_CAPABILITY_COLUMNS: Final = (
    "c.id, c.user_pk, u.iss, u.sub, c.album_pk, c.read_permission, c.write_permission, c.appropriate_permission, "
    "c.download_permission, c.not_before, c.expires_at, c.pk"
)
_CAPABILITY_WIDTH: Final = 12
_CAPABILITY_STANDS: Final = """
    c.revoked_at IS NULL AND (c.album_pk IS NULL OR EXISTS (
        SELECT 1 FROM album_members m WHERE m.user_pk = c.user_pk AND m.album_pk = c.album_pk AND m.is_admin))
"""
"""It is not revoked, and its owner still stands behind it."""

TOKEN_STATEMENTS: Final = {
    "capability": f"""
        SELECT {_CAPABILITY_COLUMNS}
        FROM capabilities c JOIN users u ON u.pk = c.user_pk AND u.suspended_at IS NULL
        WHERE c.secret_hash = :secret_hash AND {_CAPABILITY_STANDS}
    """,  # noqa: S608 - constants only
    "viewer token": f"""
        SELECT {_CAPABILITY_COLUMNS}, v.pk, v.user_pk, v.acting_party, v.study_instance_uid, v.source_inbox,
               v.source_album_pk, v.read_permission, v.write_permission, v.expires_at, v.group_values, v.groups_until
        FROM viewer_tokens v JOIN users u ON u.pk = v.user_pk AND u.suspended_at IS NULL
        LEFT JOIN capabilities c ON c.pk = v.capability_pk
        WHERE v.secret_hash = :secret_hash AND v.revoked_at IS NULL
          AND (v.capability_pk IS NULL OR ({_CAPABILITY_STANDS}))
    """,  # noqa: S608 - constants only
    "link visit": f"""
        SELECT v.pk, l.pk, l.id, l.user_pk, u.iss, u.sub, l.album_pk, l.download_permission, v.expires_at
        FROM link_visits v JOIN links l ON l.pk = v.link_pk
        JOIN users u ON u.pk = l.user_pk AND u.suspended_at IS NULL
        WHERE v.secret_hash = :secret_hash AND {LINK_STANDS}
    """,  # noqa: S608 - constants only
    # Only a membership of one's own counts: own tokens inherit no groups.
    "report token": f"""
        SELECT {_CAPABILITY_COLUMNS}, r.pk, r.user_pk, r.acting_party, p.client_id, p.album_pk,
               r.study_instance_uids, r.read_permission, r.write_permission, r.expires_at
        FROM report_tokens r JOIN users u ON u.pk = r.user_pk AND u.suspended_at IS NULL
        JOIN report_providers p ON p.pk = r.provider_pk AND p.removed_at IS NULL
        JOIN album_members n ON n.user_pk = r.user_pk AND n.album_pk = p.album_pk
        LEFT JOIN capabilities c ON c.pk = r.capability_pk
        WHERE r.secret_hash = :secret_hash AND r.revoked_at IS NULL
          AND (r.capability_pk IS NULL OR ({_CAPABILITY_STANDS}))
    """,  # noqa: S608 - constants only
}
"""SQL by name; each takes ``secret_hash`` and returns one row at most, of which the functions below make a record."""


@dataclass(frozen=True, slots=True)
class CapabilityOnRecord:
    """A capability token that is not revoked and whose owner still stands behind it; its times are not checked."""

    pk: int
    capability: CapabilityId
    user: UserPk
    iss: str
    sub: str
    album: AlbumPk | None
    permissions: CapabilityPermissions
    not_before: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LinkVisitOnRecord:
    """A visit by a link that still stands; its time is not checked."""

    visitor: LinkVisit
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ViewerTokenOnRecord:
    """A viewer token that nothing has ended but perhaps time, which is not checked."""

    viewer: ViewerTokenPk
    user: UserPk
    iss: str
    sub: str
    acting_party: str | None
    capability: CapabilityOnRecord | None
    """The capability token that it comes from, if it does; its times are not checked either."""
    study: StudyInstanceUID
    source: Source
    read: bool
    write: bool
    expires_at: datetime
    groups: frozenset[str]
    """What its person presented when it was made."""
    groups_until: datetime | None
    """When that ended or will end; ``None`` as long as the token lives."""


@dataclass(frozen=True, slots=True)
class ReportTokenOnRecord:
    """A report token that nothing has ended but perhaps time, which is not checked."""

    report: ReportTokenPk
    user: UserPk
    iss: str
    sub: str
    acting_party: str | None
    capability: CapabilityOnRecord | None
    """The capability token by which the report was asked for, if it was; its times are not checked either."""
    provider: ReportProviderId
    album: AlbumPk
    studies: tuple[StudyInstanceUID, ...]
    read: bool
    write: bool
    expires_at: datetime


def capability_of(row: Sequence[Any]) -> CapabilityOnRecord:
    """Return a capability token as its row has it."""
    return CapabilityOnRecord(
        pk=row[11],
        capability=CapabilityId(row[0]),
        user=UserPk(row[1]),
        iss=row[2],
        sub=row[3],
        album=None if row[4] is None else AlbumPk(row[4]),
        permissions=CapabilityPermissions(read=row[5], write=row[6], appropriate=row[7], download=row[8]),
        not_before=row[9],
        expires_at=row[10],
    )


def link_visit_of(row: Sequence[Any]) -> LinkVisitOnRecord:
    """Return a visit as its row has it."""
    visit, pk, link, user, iss, sub, album, download, expires_at = row
    visitor = LinkVisit(
        visit=LinkVisitPk(visit),
        link=LinkId(link),
        pk=LinkPk(pk),
        user=UserPk(user),
        iss=iss,
        sub=sub,
        album=None if album is None else AlbumPk(album),
        download=download,
    )
    return LinkVisitOnRecord(visitor, expires_at)


def viewer_token_of(row: Sequence[Any]) -> ViewerTokenOnRecord:
    """Return a viewer token as its row has it."""
    pk, user, acting_party, study, inbox, album, read, write, expires_at, groups, groups_until = row[
        _CAPABILITY_WIDTH:
    ]
    return ViewerTokenOnRecord(
        viewer=ViewerTokenPk(pk),
        user=UserPk(user),
        iss=row[2],
        sub=row[3],
        acting_party=acting_party,
        capability=None if row[0] is None else capability_of(row),
        study=StudyInstanceUID(study),
        source=Source(inbox=inbox, album=None if album is None else AlbumPk(album)),
        read=read,
        write=write,
        expires_at=expires_at,
        groups=frozenset(groups),
        groups_until=groups_until,
    )


def report_token_of(row: Sequence[Any]) -> ReportTokenOnRecord:
    """Return a report token as its row has it."""
    pk, user, acting_party, provider, album, studies, read, write, expires_at = row[_CAPABILITY_WIDTH:]
    return ReportTokenOnRecord(
        report=ReportTokenPk(pk),
        user=UserPk(user),
        iss=row[2],
        sub=row[3],
        acting_party=acting_party,
        capability=None if row[0] is None else capability_of(row),
        provider=ReportProviderId(provider),
        album=AlbumPk(album),
        studies=tuple(map(StudyInstanceUID, studies)),
        read=read,
        write=write,
        expires_at=expires_at,
    )
