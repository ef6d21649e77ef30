"""Suspending and restoring people. What looks anybody up asks for their good standing by itself."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.ids import UserPk

__all__ = ["PersonOnRecord", "find_person", "restore", "suspend"]


@dataclass(frozen=True, slots=True)
class PersonOnRecord:
    """Somebody, in good standing or not."""

    user: UserPk
    iss: str
    sub: str
    suspended_at: datetime | None
    reason: str | None
    """Why they were suspended."""


def find_person(tx: Connection, reference: str, *, issuer: str) -> PersonOnRecord | None:
    """Return the one person whom a reference means, suspended ones among them, locked; ``None`` if none or several.

    Parameters
    ----------
    tx
        The transaction.
    reference
        With ``@`` a verified e-mail address, of whatever issuer, else a ``sub``.
    issuer
        The issuer of a ``sub``.
    """
    rows = tx.execute(
        text(
            "SELECT pk, iss, sub, suspended_at, suspended_reason FROM users WHERE CASE WHEN :reference LIKE '%@%' "
            "THEN email_verified AND lower(email) = lower(:reference) "
            "ELSE iss = :issuer AND sub = :reference END ORDER BY pk LIMIT 2 FOR UPDATE"
        ),
        {"reference": reference, "issuer": issuer},
    ).all()
    if len(rows) != 1:
        return None
    (row,) = rows
    return PersonOnRecord(UserPk(row.pk), row.iss, row.sub, row.suspended_at, row.suspended_reason)


def suspend(tx: Connection, user: UserPk, *, reason: str, at: datetime) -> bool:
    """Suspend somebody; ``False``, and nothing, for who is suspended already.

    Their sessions and viewer tokens end for good; capability tokens stand still and go on when they are restored.
    """
    changed = tx.execute(
        text(
            "UPDATE users SET suspended_at = :at, suspended_reason = :reason WHERE pk = :user AND suspended_at IS NULL"
        ),
        {"at": at, "reason": reason, "user": user},
    )
    if changed.rowcount == 0:
        return False
    tx.execute(text("DELETE FROM web_sessions WHERE user_pk = :user"), {"user": user})
    tx.execute(
        text("UPDATE viewer_tokens SET revoked_at = :at WHERE user_pk = :user AND revoked_at IS NULL"),
        {"at": at, "user": user},
    )
    return True


def restore(tx: Connection, user: UserPk) -> bool:
    """Let somebody in again; ``False``, and nothing, for who is not suspended."""
    changed = tx.execute(
        text(
            "UPDATE users SET suspended_at = NULL, suspended_reason = NULL "
            "WHERE pk = :user AND suspended_at IS NOT NULL"
        ),
        {"user": user},
    )
    return changed.rowcount == 1
