"""Browser sessions. Their secrets are known here only by their keyed hash."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.ids import UserPk

__all__ = ["SessionRecord", "create_session", "delete_ended", "delete_session", "find_session", "touch_session"]

_COLUMNS: Final = "u.pk, u.iss, u.sub, u.name, u.email, w.id_token, w.last_seen_at, w.expires_at, w.group_values"
_ENDED_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session and its person."""

    user: UserPk
    iss: str
    sub: str
    name: str | None
    email: str | None
    sealed_id_token: str | None = field(repr=False)
    last_seen_at: datetime
    expires_at: datetime
    groups: frozenset[str]
    """What the ID token of the login named."""


def create_session(
    tx: Connection,
    *,
    id_hash: bytes,
    user: UserPk,
    sealed_id_token: str,
    groups: frozenset[str] = frozenset(),
    at: datetime,
    expires_at: datetime,
) -> bool:
    """Begin a session of a person; ``False``, and none, for somebody who is suspended."""
    created = tx.execute(
        text(
            "INSERT INTO web_sessions (id_hash, user_pk, id_token, group_values, created_at, last_seen_at, "
            "expires_at) "
            "SELECT :id_hash, pk, :id_token, CAST(:groups AS text[]), :at, :at, :expires_at FROM users "
            "WHERE pk = :user AND suspended_at IS NULL"
        ),
        {
            "id_hash": id_hash,
            "user": user,
            "id_token": sealed_id_token,
            "groups": sorted(groups),
            "at": at,
            "expires_at": expires_at,
        },
    )
    return created.rowcount == 1


def find_session(tx: Connection, *, id_hash: bytes, at: datetime, seen_since: datetime) -> SessionRecord | None:
    """Return a session that has not ended, was last seen after ``seen_since``, and whose person is not suspended."""
    row = tx.execute(
        text(
            f"SELECT {_COLUMNS} FROM web_sessions w "  # noqa: S608 - a constant
            "JOIN users u ON u.pk = w.user_pk AND u.suspended_at IS NULL "
            "WHERE w.id_hash = :id_hash AND w.expires_at > :at AND w.last_seen_at > :seen_since"
        ),
        {"id_hash": id_hash, "at": at, "seen_since": seen_since},
    ).one_or_none()
    return None if row is None else _record(row)


def touch_session(tx: Connection, *, id_hash: bytes, at: datetime) -> None:
    """Write that a session was seen, never back in time."""
    tx.execute(
        text("UPDATE web_sessions SET last_seen_at = greatest(last_seen_at, :at) WHERE id_hash = :id_hash"),
        {"id_hash": id_hash, "at": at},
    )


def delete_session(tx: Connection, *, id_hash: bytes) -> SessionRecord | None:
    """End a session and return what it was; ``None`` if there was none."""
    row = tx.execute(
        text(
            "DELETE FROM web_sessions w USING users u "  # noqa: S608 - a constant
            f"WHERE w.id_hash = :id_hash AND u.pk = w.user_pk RETURNING {_COLUMNS}"
        ),
        {"id_hash": id_hash},
    ).one_or_none()
    return None if row is None else _record(row)


def delete_ended(tx: Connection, *, at: datetime, seen_since: datetime) -> int:
    """Delete sessions that have ended by their times, a thousand at most, and return how many.

    Rows that another transaction deals with are left to it.
    """
    deleted = tx.execute(
        text(
            "DELETE FROM web_sessions WHERE id_hash IN (SELECT id_hash FROM web_sessions "
            "WHERE expires_at <= :at OR last_seen_at <= :seen_since LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"at": at, "seen_since": seen_since, "most": _ENDED_AT_ONCE},
    )
    return deleted.rowcount


def _record(row: Row[Any]) -> SessionRecord:
    return SessionRecord(
        user=UserPk(row.pk),
        iss=row.iss,
        sub=row.sub,
        name=row.name,
        email=row.email,
        sealed_id_token=row.id_token,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        groups=frozenset(row.group_values),
    )
