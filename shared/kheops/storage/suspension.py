"""Suspending and restoring people. What looks anybody up asks for their good standing by itself."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.named_people import NamedPerson
from kheops.ids import UserPk
from kheops.storage.people import is_sub_elsewhere

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


def find_person(tx: Connection, named: NamedPerson, *, default_issuer: str) -> PersonOnRecord | None:
    """Return the one person whom a request names, suspended ones among them, locked; ``None`` if none or several.

    Parameters
    ----------
    tx
        The transaction.
    named
        By a verified e-mail address, of whatever issuer, or by a ``sub``.
    default_issuer
        The issuer that a bare ``sub`` means.
    """
    if not named.is_address and named.issuer is None and is_sub_elsewhere(tx, iss=default_issuer, sub=named.reference):
        return None
    rows = tx.execute(
        text(
            "SELECT pk, iss, sub, suspended_at, suspended_reason FROM users "
            "WHERE CASE WHEN CAST(:is_address AS boolean) "
            "THEN email_verified AND lower(email) = CAST(:mailbox AS text) "
            "ELSE iss = :issuer AND sub = :sub END ORDER BY pk LIMIT 2 FOR UPDATE"
        ),
        {
            "is_address": named.is_address,
            "mailbox": named.mailbox,
            "issuer": named.issuer_or(default_issuer),
            "sub": named.reference,
        },
    ).all()
    if len(rows) != 1:
        return None
    (row,) = rows
    return PersonOnRecord(UserPk(row.pk), row.iss, row.sub, row.suspended_at, row.suspended_reason)


def suspend(tx: Connection, user: UserPk, *, reason: str, at: datetime) -> bool:
    """Suspend somebody; ``False`` for who is suspended already: of theirs the reason changes, the beginning stays.

    Their sessions, viewer tokens, report tokens and codes, and the visits by their links end for good; capability
    tokens and links stand still and go on when they are restored.
    """
    changed = tx.execute(
        text(
            "UPDATE users SET suspended_at = :at, suspended_reason = :reason WHERE pk = :user AND suspended_at IS NULL"
        ),
        {"at": at, "reason": reason, "user": user},
    )
    if changed.rowcount == 0:
        tx.execute(
            text("UPDATE users SET suspended_reason = :reason WHERE pk = :user"), {"reason": reason, "user": user}
        )
        return False
    tx.execute(text("DELETE FROM web_sessions WHERE user_pk = :user"), {"user": user})
    _end_handed_out(tx, user, at=at)
    return True


def restore(tx: Connection, user: UserPk, *, at: datetime) -> bool:
    """Let somebody in again; ``False``, and nothing, for who is not suspended."""
    changed = tx.execute(
        text(
            "UPDATE users SET suspended_at = NULL, suspended_reason = NULL "
            "WHERE pk = :user AND suspended_at IS NOT NULL"
        ),
        {"user": user},
    )
    if changed.rowcount == 0:
        return False
    # Once more: what was being made while they were suspended was not there yet to be ended.
    _end_handed_out(tx, user, at=at)
    return True


def _end_handed_out(tx: Connection, user: UserPk, *, at: datetime) -> None:
    """End for good what viewers, report providers and visitors of links hold of somebody's rights."""
    for table in ("viewer_tokens", "report_tokens"):
        tx.execute(
            text(f"UPDATE {table} SET revoked_at = :at WHERE user_pk = :user AND revoked_at IS NULL"),  # noqa: S608 - one of two constants
            {"at": at, "user": user},
        )
    tx.execute(
        text("DELETE FROM link_visits WHERE link_pk IN (SELECT pk FROM links WHERE user_pk = :user)"), {"user": user}
    )
