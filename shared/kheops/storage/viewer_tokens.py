"""Viewer tokens. Their secrets are known here only by their keyed hash."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.grants import ViewerGrant
from kheops.ids import AlbumId, CapabilityId, StudyInstanceUID, UserPk, ViewerTokenPk

__all__ = [
    "NewViewerToken",
    "ViewerTokenParent",
    "ViewerTokenTimes",
    "create_viewer_token",
    "delete_ended",
    "number_of_live",
    "revoke_of_session",
    "times_of",
]

_ENDED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ViewerTokenParent:
    """What a viewer token hangs on besides its person."""

    user: UserPk
    capability: CapabilityId | None = None
    session: bytes | None = None
    """The keyed hash of a browser session's secret."""
    acting_party: str | None = None
    groups: frozenset[str] = frozenset()
    """Of a person: what their token or session names."""
    groups_until: datetime | None = None
    """Until when; ``None`` as long as the viewer token lives."""


@dataclass(frozen=True, slots=True)
class NewViewerToken:
    """A viewer token that was written."""

    viewer: ViewerTokenPk
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ViewerTokenTimes:
    """When a viewer token was made and ends, and the public id of the album that is its source."""

    issued_at: datetime
    expires_at: datetime
    album: AlbumId | None


def create_viewer_token(
    tx: Connection,
    grant: ViewerGrant,
    parent: ViewerTokenParent,
    *,
    study: StudyInstanceUID,
    secret_hash: bytes,
    at: datetime,
    until: datetime,
) -> NewViewerToken | None:
    """Write a new token.

    Parameters
    ----------
    tx
        The transaction.
    grant
        What it may do, as the policy decided.
    parent
        Whose it is, and what ends it.
    study
        Its study.
    secret_hash
        The keyed hash of its secret.
    at
        The current time.
    until
        Its end at the latest; its parent's end goes before.

    Returns
    -------
    NewViewerToken or None
        ``None``, and no token, if the parent has ended or its person is suspended.
    """
    if parent.session is not None:
        # A logout at the same time waits, and then finds this token.
        tx.execute(
            text("SELECT 1 FROM web_sessions WHERE id_hash = :session FOR KEY SHARE"), {"session": parent.session}
        )
    row = tx.execute(
        text(
            "INSERT INTO viewer_tokens (secret_hash, user_pk, capability_pk, session_hash, acting_party, "
            "study_instance_uid, source_inbox, source_album_pk, read_permission, write_permission, issued_at, "
            "expires_at, group_values, groups_until) "
            "SELECT :secret_hash, u.pk, c.pk, w.id_hash, :acting_party, :study, :inbox, :album, :read, :write, :at, "
            "least(CAST(:until AS timestamptz), c.expires_at, w.expires_at), "
            "CAST(:groups AS text[]), CAST(:groups_until AS timestamptz) "
            "FROM users u "
            "LEFT JOIN capabilities c ON c.id = CAST(:capability AS text) AND c.user_pk = u.pk "
            "AND c.revoked_at IS NULL AND c.expires_at > :at "
            "LEFT JOIN web_sessions w ON w.id_hash = CAST(:session AS bytea) AND w.user_pk = u.pk "
            "AND w.expires_at > :at "
            "WHERE u.pk = :user AND u.suspended_at IS NULL "
            "AND (CAST(:capability AS text) IS NULL OR c.pk IS NOT NULL) "
            "AND (CAST(:session AS bytea) IS NULL OR w.id_hash IS NOT NULL) "
            "RETURNING pk, expires_at"
        ),
        {
            "secret_hash": secret_hash,
            "user": parent.user,
            "capability": parent.capability,
            "session": parent.session,
            "acting_party": parent.acting_party,
            "study": study,
            "inbox": grant.source.inbox,
            "album": grant.source.album,
            "read": grant.read,
            "write": grant.write,
            "at": at,
            "until": until,
            "groups": sorted(parent.groups),
            "groups_until": parent.groups_until,
        },
    ).one_or_none()
    return None if row is None else NewViewerToken(ViewerTokenPk(row.pk), row.expires_at)


def number_of_live(tx: Connection, parent: ViewerTokenParent, at: datetime) -> int:
    """Return how many tokens that have not ended hang on the same capability token, or on the person alone."""
    number: int = tx.execute(
        text(
            "SELECT count(*) FROM viewer_tokens v LEFT JOIN capabilities c ON c.pk = v.capability_pk "
            "WHERE v.user_pk = :user AND c.id IS NOT DISTINCT FROM CAST(:capability AS text) "
            "AND v.revoked_at IS NULL AND v.expires_at > :at"
        ),
        {"user": parent.user, "capability": parent.capability, "at": at},
    ).scalar_one()
    return number


def times_of(tx: Connection, viewer: ViewerTokenPk) -> ViewerTokenTimes | None:
    """Return when a token was made and ends; ``None`` if it is gone."""
    row = tx.execute(
        text(
            "SELECT v.issued_at, v.expires_at, a.id FROM viewer_tokens v "
            "LEFT JOIN albums a ON a.pk = v.source_album_pk WHERE v.pk = :pk"
        ),
        {"pk": viewer},
    ).one_or_none()
    if row is None:
        return None
    return ViewerTokenTimes(row.issued_at, row.expires_at, None if row.id is None else AlbumId(row.id))


def revoke_of_session(tx: Connection, *, session: bytes, at: datetime) -> None:
    """End the tokens that were made from a browser session."""
    tx.execute(
        text("UPDATE viewer_tokens SET revoked_at = :at WHERE session_hash = :session AND revoked_at IS NULL"),
        {"session": session, "at": at},
    )


def delete_ended(tx: Connection, *, at: datetime) -> int:
    """Delete tokens that are past their time, a thousand at most, and return how many.

    Rows that another transaction deals with are left to it.
    """
    deleted = tx.execute(
        text(
            "DELETE FROM viewer_tokens WHERE pk IN (SELECT pk FROM viewer_tokens WHERE expires_at <= :at "
            "ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"at": at, "most": _ENDED_AT_ONCE},
    )
    return deleted.rowcount
