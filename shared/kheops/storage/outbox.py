"""The transactional outbox: what has to go out is written in the transaction of what it tells of.

Delivery is at least once. A worker claims a task for the length of a lease and counts the attempt in the same
statement, so that two workers never have the same attempt; a worker that dies leaves the task to the next one when
the lease has run out. Nothing about a task is kept anywhere but here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.mail import Mail
from kheops.storage.due_tasks import note_due

__all__ = [
    "AT_ONCE_OF_LANE",
    "MAIL",
    "MOST_ATTEMPTS",
    "NO_LANE",
    "Task",
    "add_mail",
    "add_task",
    "backlog",
    "claim",
    "clear",
    "finish",
    "give_up_expired",
    "put_off",
]

MOST_ATTEMPTS: Final = 5
AT_ONCE_OF_LANE: Final = 2
"""Tasks of one lane that are under way at once, in all workers together."""
NO_LANE: Final = ""
"""The lane of tasks that do not wait for each other."""
_CLAIMABLE: Final = 200
"""Tasks without a lane that are looked at for one claim: more than are under way at once."""
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


def add_task(tx: Connection, kind: str, payload: Mapping[str, object], *, due: datetime, lane: str = NO_LANE) -> None:
    """Add a task, which exists if the transaction commits.

    Parameters
    ----------
    tx
        The transaction of what it tells of.
    kind, payload
        What to send.
    due
        When; aware.
    lane
        Tasks of one kind and lane are sent few at a time, in the order in which they are due.
    """
    tx.execute(
        text(
            "INSERT INTO outbox (kind, payload, created_at, due_at, lane) "
            "VALUES (:kind, CAST(:payload AS jsonb), :due, :due, :lane)"
        ),
        {"kind": kind, "payload": json.dumps(payload), "due": due, "lane": lane},
    )
    note_due(tx, due)


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


_OPEN: Final = "o.done_at IS NULL AND o.failed_at IS NULL"
# A task under way in its last attempt still takes its lane's place; one that died in it does not.
_CLAIM: Final = f"""
    WITH RECURSIVE wanted AS (
        SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:most AS integer[])) AS k (kind, most)
    ), lanes AS (
        SELECT k.kind, (SELECT min(o.lane) FROM outbox o WHERE o.kind = k.kind AND {_OPEN}) AS lane FROM wanted k
        UNION ALL
        SELECT l.kind, (SELECT min(o.lane) FROM outbox o WHERE o.kind = l.kind AND {_OPEN} AND o.lane > l.lane)
        FROM lanes l WHERE l.lane IS NOT NULL
    ), foremost AS (
        SELECT l.kind, c.pk, c.due_at, c.place FROM lanes l CROSS JOIN LATERAL (
            SELECT o.pk, o.due_at, row_number() OVER (ORDER BY o.due_at, o.pk) AS place FROM outbox o
            WHERE o.kind = l.kind AND o.lane = l.lane AND {_OPEN} AND o.due_at <= :at
              AND (o.attempts < :attempts OR o.leased_until > :at)
            ORDER BY o.due_at, o.pk
            LIMIT CASE WHEN l.lane = '' THEN {_CLAIMABLE} ELSE {AT_ONCE_OF_LANE} END) c
    )
    UPDATE outbox SET attempts = attempts + 1, leased_until = :until WHERE pk IN (
        SELECT c.pk FROM wanted k CROSS JOIN LATERAL (
            SELECT o.pk FROM foremost f JOIN outbox o ON o.pk = f.pk
            WHERE f.kind = k.kind AND {_OPEN} AND o.attempts < :attempts
              AND (o.leased_until IS NULL OR o.leased_until <= :at)
            ORDER BY f.place, f.due_at, f.pk LIMIT k.most FOR UPDATE OF o SKIP LOCKED) c)
    RETURNING pk, kind, payload, attempts, created_at
"""  # noqa: S608 - constants only


def claim(tx: Connection, *, most: Mapping[str, int], at: datetime, lease: timedelta) -> list[Task]:
    """Claim due tasks for one attempt each. No other worker gets them until the lease has run out.

    Of one lane, `AT_ONCE_OF_LANE` are under way at once, whoever claimed them; lanes take turns. So a claim costs by
    how many lanes wait, not by how many tasks.

    Parameters
    ----------
    tx
        The transaction.
    most
        How many of each kind, at most.
    at
        The current time.
    lease
        How long nobody else gets them.
    """
    rows = tx.execute(
        text(_CLAIM),
        {
            "kinds": list(most),
            "most": list(most.values()),
            "at": at,
            "until": at + lease,
            "attempts": MOST_ATTEMPTS,
        },
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
    note_due(tx, until)
    return waiting.rowcount == 1


def give_up_expired(tx: Connection, *, at: datetime) -> list[Task]:
    """End as failed what died during its last attempt, and return it with what it held."""
    rows = tx.execute(
        text(
            "WITH dead AS (SELECT pk, kind, payload, attempts, created_at FROM outbox "
            "WHERE done_at IS NULL AND failed_at IS NULL AND attempts >= :attempts AND leased_until <= :at "
            "ORDER BY pk FOR UPDATE SKIP LOCKED) "
            "UPDATE outbox o SET failed_at = :at, leased_until = NULL, payload = '{}', merge_key = NULL "
            "FROM dead WHERE o.pk = dead.pk "
            "RETURNING dead.pk, dead.kind, dead.payload, dead.attempts, dead.created_at"
        ),
        {"at": at, "attempts": MOST_ATTEMPTS},
    ).all()
    return [Task(row.pk, row.kind, row.payload, row.attempts, row.created_at) for row in rows]


def backlog(tx: Connection, *, at: datetime) -> int:
    """Return how many tasks are due and have not ended, those under way among them."""
    found: int = tx.execute(
        text("SELECT count(*) FROM outbox WHERE done_at IS NULL AND failed_at IS NULL AND due_at <= :at"), {"at": at}
    ).scalar_one()
    return found


def clear(tx: Connection, *, before: datetime) -> int:
    """Delete tasks that ended before ``before``, and return how many they were."""
    gone = tx.execute(text("DELETE FROM outbox WHERE done_at < :before OR failed_at < :before"), {"before": before})
    return gone.rowcount
