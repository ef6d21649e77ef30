"""The transactional outbox: what has to go out is written in the transaction of what it tells of.

Delivery is at least once. A worker claims a task for the length of a lease and counts the attempt in the same
statement, so that two workers never have the same attempt; a worker that dies leaves the task to the next one when
the lease has run out. Nothing about a task is kept anywhere but here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.mail import Mail

__all__ = [
    "MAIL",
    "MOST_ATTEMPTS",
    "Task",
    "add_mail",
    "add_task",
    "claim",
    "clear",
    "finish",
    "give_up_expired",
    "put_off",
]

MOST_ATTEMPTS: Final = 5
MAIL: Final = "mail"


@dataclass(frozen=True, slots=True)
class Task:
    """Something to send, claimed for one attempt."""

    pk: int
    kind: str
    payload: Mapping[str, object]
    attempt: int
    """From 1 to `MOST_ATTEMPTS`."""
    created_at: datetime


def add_task(tx: Connection, kind: str, payload: Mapping[str, object], *, due: datetime) -> None:
    """Add a task that is due at ``due``; it exists if the transaction commits."""
    tx.execute(
        text(
            "INSERT INTO outbox (kind, payload, created_at, due_at) "
            "VALUES (:kind, CAST(:payload AS jsonb), :due, :due)"
        ),
        {"kind": kind, "payload": json.dumps(payload), "due": due},
    )


def add_mail(tx: Connection, mail: Mail, *, due: datetime) -> None:
    """Add a mail that goes out at ``due`` or soon after, if the transaction commits.

    Parameters
    ----------
    tx
        The transaction of what the mail tells of.
    mail
        What to send.
    due
        When; aware.
    """
    add_task(tx, MAIL, {"recipient": mail.recipient, "subject": mail.subject, "text": mail.text}, due=due)


def claim(tx: Connection, *, kinds: Sequence[str], at: datetime, lease: timedelta, most: int) -> list[Task]:
    """Claim up to ``most`` due tasks of ``kinds`` for one attempt each.

    No other worker gets them until the lease has run out.
    """
    rows = tx.execute(
        text(
            "UPDATE outbox SET attempts = attempts + 1, leased_until = :until "
            "WHERE pk IN (SELECT pk FROM outbox WHERE done_at IS NULL AND failed_at IS NULL AND due_at <= :at "
            "AND kind = ANY (CAST(:kinds AS text[])) AND attempts < :attempts "
            "AND (leased_until IS NULL OR leased_until <= :at) "
            "ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED) "
            "RETURNING pk, kind, payload, attempts, created_at"
        ),
        {"kinds": list(kinds), "at": at, "until": at + lease, "attempts": MOST_ATTEMPTS, "most": most},
    ).all()
    return [Task(row.pk, row.kind, row.payload, row.attempts, row.created_at) for row in rows]


def finish(tx: Connection, task: Task, *, at: datetime, delivered: bool) -> bool:
    """End a task, delivered or failed for good; what it held is wiped.

    Returns
    -------
    bool
        ``False``, and no change, if another worker has begun a later attempt meanwhile.
    """
    ended = tx.execute(
        text(
            "UPDATE outbox SET leased_until = NULL, payload = '{}', merge_key = NULL, "
            "done_at = CASE WHEN :delivered THEN CAST(:at AS timestamptz) END, "
            "failed_at = CASE WHEN NOT :delivered THEN CAST(:at AS timestamptz) END "
            "WHERE pk = :pk AND attempts = :attempt AND done_at IS NULL AND failed_at IS NULL"
        ),
        {"pk": task.pk, "attempt": task.attempt, "at": at, "delivered": delivered},
    )
    return ended.rowcount == 1


def put_off(tx: Connection, task: Task, *, until: datetime) -> bool:
    """Let a task wait for its next attempt; ``False``, and no change, if another worker has begun it meanwhile."""
    waiting = tx.execute(
        text(
            "UPDATE outbox SET leased_until = NULL, due_at = :until "
            "WHERE pk = :pk AND attempts = :attempt AND done_at IS NULL AND failed_at IS NULL"
        ),
        {"pk": task.pk, "attempt": task.attempt, "until": until},
    )
    return waiting.rowcount == 1


def give_up_expired(tx: Connection, *, at: datetime) -> int:
    """End as failed what died during its last attempt, and return how many they were."""
    ended = tx.execute(
        text(
            "UPDATE outbox SET failed_at = :at, leased_until = NULL, payload = '{}', merge_key = NULL "
            "WHERE done_at IS NULL AND failed_at IS NULL AND attempts >= :attempts AND leased_until <= :at"
        ),
        {"at": at, "attempts": MOST_ATTEMPTS},
    )
    return ended.rowcount


def clear(tx: Connection, *, before: datetime) -> int:
    """Delete tasks that ended before ``before``, and return how many they were."""
    gone = tx.execute(text("DELETE FROM outbox WHERE done_at < :before OR failed_at < :before"), {"before": before})
    return gone.rowcount
