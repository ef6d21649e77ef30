"""What is recorded of each use of the system."""

from dataclasses import dataclass
from enum import StrEnum

from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

__all__ = ["Outcome", "Use", "UseKind", "User"]


class UseKind(StrEnum):
    """Kinds of use (after DICOM PS3.15 A.5 and IHE ATNA); stable names."""

    SEARCH = "search"
    READ_METADATA = "read-metadata"
    READ_PIXELS = "read-pixels"
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
    VIEWER_CONFIGURED = "viewer-configured"
    TOKEN_INTROSPECTED = "token-introspected"  # noqa: S105 - a kind of use, no password
    PERSON_CREATED = "person-created"
    PERSON_READ = "person-read"
    COMMENT_WRITTEN = "comment-written"
    COMMENT_READ = "comment-read"
    FAVORITE_CHANGED = "favorite-changed"
    METRICS_READ = "metrics-read"
    LOGIN = "login"
    LOGOUT = "logout"
    PURGE = "purge"
    RECONCILE = "reconcile"


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
