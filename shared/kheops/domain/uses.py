"""What is recorded of each use of the system."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kheops.ids import AlbumId, SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

__all__ = ["Outcome", "Use", "UseFilter", "UseKind", "User"]


class UseKind(StrEnum):
    """Kinds of use (after DICOM PS3.15 A.5 and IHE ATNA); stable names."""

    SEARCH = "search"
    READ_METADATA = "read-metadata"
    READ_PIXELS = "read-pixels"
    EXPORT = "export"
    STORE = "store"
    SHARE = "share"
    REMOVE = "remove"
    ALBUM_CREATED = "album-created"
    ALBUM_EDITED = "album-edited"
    ALBUM_DELETED = "album-deleted"
    ALBUM_READ = "album-read"
    MEMBER_ADDED = "member-added"
    MEMBER_REMOVED = "member-removed"
    ADMIN_CHANGED = "admin-changed"
    CAPABILITY_CREATED = "capability-created"
    CAPABILITY_REVOKED = "capability-revoked"
    CAPABILITY_READ = "capability-read"
    VIEWER_TOKEN_CREATED = "viewer-token-created"  # noqa: S105 - a kind of use, no password
    LINK_CREATED = "link-created"
    LINK_REVOKED = "link-revoked"
    LINK_READ = "link-read"
    LINK_OPENED = "link-opened"
    INVITATION_CREATED = "invitation-created"
    INVITATION_REVOKED = "invitation-revoked"
    INVITATION_READ = "invitation-read"
    INVITATION_ACCEPTED = "invitation-accepted"
    VIEWER_CONFIGURED = "viewer-configured"
    TOKEN_INTROSPECTED = "token-introspected"  # noqa: S105 - a kind of use, no password
    REPORT_PROVIDER_CREATED = "report-provider-created"
    REPORT_PROVIDER_EDITED = "report-provider-edited"
    REPORT_PROVIDER_REMOVED = "report-provider-removed"
    REPORT_PROVIDER_READ = "report-provider-read"
    REPORT_REQUESTED = "report-requested"
    REPORT_TOKEN_CREATED = "report-token-created"  # noqa: S105 - a kind of use, no password
    PERSON_CREATED = "person-created"
    PERSON_READ = "person-read"
    PERSON_SUSPENDED = "person-suspended"
    PERSON_RESTORED = "person-restored"
    PERSON_ERASED = "person-erased"
    GROUP_ADDED = "group-added"
    GROUP_REMOVED = "group-removed"
    ORPHANS_READ = "orphans-read"
    LEGAL_HOLD_SET = "legal-hold-set"
    LEGAL_HOLD_CLEARED = "legal-hold-cleared"
    LEGAL_HOLD_READ = "legal-hold-read"
    COMMENT_WRITTEN = "comment-written"
    COMMENT_READ = "comment-read"
    FAVORITE_CHANGED = "favorite-changed"
    WEBHOOK_CREATED = "webhook-created"
    WEBHOOK_EDITED = "webhook-edited"
    WEBHOOK_DELETED = "webhook-deleted"
    WEBHOOK_TRIGGERED = "webhook-triggered"
    WEBHOOK_READ = "webhook-read"
    METRICS_READ = "metrics-read"
    AUDIT_READ = "audit-read"
    LOGIN = "login"
    LOGOUT = "logout"
    PURGE = "purge"
    RECONCILE = "reconcile"
    RESTORATION = "restoration"


class Outcome(StrEnum):
    """How it ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class User:
    """Who used it; all ``None`` for scheduled work of the system itself."""

    iss: str | None
    sub: str | None
    token_id: str | None
    acting_party: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One use: who did what to which objects, from where, and how it ended. The time is added when it is written."""

    user: User
    kind: UseKind
    outcome: Outcome
    source_address: str | None
    request_id: str
    studies: tuple[StudyInstanceUID, ...] = ()
    series: tuple[SeriesInstanceUID, ...] = ()
    instances: tuple[SopInstanceUID, ...] = ()
    subject: str | None = None
    """An album id, a capability id or a person's ``iss sub``, as the kind demands."""
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFilter:
    """Which uses are wanted; all of them by default."""

    person: tuple[str, str] | None = None
    """Issuer and ``sub`` of who used it."""
    album: AlbumId | None = None
    """The subject, or what it begins with."""
    study: StudyInstanceUID | None = None
    series: SeriesInstanceUID | None = None
    kinds: frozenset[UseKind] = frozenset()
    """All, where none is named."""
    outcome: Outcome | None = None
    since: datetime | None = None
    before: datetime | None = None
    after: int | None = None
    """The number of the use that they come after, the latest first; none if there is no such use."""
