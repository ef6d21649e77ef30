"""A database that is being restored: its mark, what ends with it, and the lines of the log that wait to be applied."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.grant_log import GrantLine, link
from kheops.storage.grant_log import position

__all__ = [
    "Restoration",
    "begin",
    "discard",
    "finish",
    "is_restoring",
    "mark_replayed",
    "stage",
    "staged_timelines",
    "standing",
    "verify",
]

_STREAMED: Final = 1000


@dataclass(frozen=True, slots=True)
class Restoration:
    """How far a restoration has come."""

    timeline: str
    number: int
    """Of the last change before the restored point, in that timeline; changes after it are to be replayed."""
    digest: bytes | None
    replayed_at: datetime | None
    staged: int
    """Lines that were read."""
    unapplied: int
    differing: int
    """Series that are still to be compared with the store, and reservations that are still to be settled."""


def is_restoring(tx: Connection) -> bool:
    """Return whether nothing may be served from this database."""
    found: bool = tx.execute(text("SELECT EXISTS (SELECT 1 FROM restoration)")).scalar_one()
    return found


def standing(tx: Connection) -> Restoration | None:
    """Return how far the restoration has come, with its row locked; ``None`` if there is none."""
    row = tx.execute(text("SELECT timeline, number, digest, replayed_at FROM restoration FOR UPDATE")).one_or_none()
    if row is None:
        return None
    counts = tx.execute(
        text(
            "SELECT (SELECT count(*) FROM restored_changes) AS staged, "
            "(SELECT count(*) FROM restored_changes WHERE NOT is_applied) AS unapplied, "
            "(SELECT count(*) FROM series WHERE dirty AND state IN ('confirmed', 'orphan')) "
            "+ (SELECT count(*) FROM instances i CROSS JOIN restoration r WHERE i.state = 'reserved' "
            "AND i.lease_until <= r.begun_at AND i.upload_id IS DISTINCT FROM 'withheld') AS differing"
        )
    ).one()
    return Restoration(
        timeline=row.timeline,
        number=row.number,
        digest=None if row.digest is None else bytes(row.digest),
        replayed_at=row.replayed_at,
        staged=counts.staged,
        unapplied=counts.unapplied,
        differing=counts.differing,
    )


_VOID: Final = (
    "UPDATE capabilities SET revoked_at = :at WHERE revoked_at IS NULL",
    "UPDATE viewer_tokens SET revoked_at = :at WHERE revoked_at IS NULL",
    "UPDATE report_tokens SET revoked_at = :at WHERE revoked_at IS NULL",
    "UPDATE links SET revoked_at = :at WHERE revoked_at IS NULL",
    "UPDATE invitations SET revoked_at = :at WHERE revoked_at IS NULL AND accepted_at IS NULL",
    "DELETE FROM link_visits",
    "DELETE FROM web_sessions",
    # It has gone out, or tells of what is no longer so.
    "UPDATE outbox SET failed_at = :at, payload = '{}' WHERE done_at IS NULL AND failed_at IS NULL",
    # Whoever held these leases is gone with the time that is lost.
    "UPDATE instances SET lease_until = :at WHERE state = 'reserved' AND lease_until > :at",
    "UPDATE series SET lease_until = :at WHERE state = 'reserved' AND lease_until > :at",
    "UPDATE series SET dirty = true WHERE state IN ('confirmed', 'orphan')",
)


def begin(tx: Connection, *, timeline: str, at: datetime) -> bool:
    """Mark the database as being restored, end what was handed out, and let it begin another timeline.

    Own tokens, sessions, links, invitations and codes end for good, and what waits to be sent is not sent.

    Returns
    -------
    bool
        ``False``, and no change, if it is marked already.
    """
    tx.execute(text("LOCK TABLE restoration, grant_timeline IN SHARE ROW EXCLUSIVE MODE"))
    if is_restoring(tx):
        return False
    # All of this database is of before: millions of rows may have to be written.
    tx.execute(text("SET LOCAL statement_timeout = '1h'"))
    before, number, digest = position(tx)
    tx.execute(
        text("INSERT INTO restoration (begun_at, timeline, number, digest) VALUES (:at, :before, :number, :digest)"),
        {"at": at, "before": before, "number": number, "digest": digest},
    )
    tx.execute(text("UPDATE grant_timeline SET timeline = :timeline, exported = 0"), {"timeline": timeline})
    for statement in _VOID:
        tx.execute(text(statement), {"at": at} if ":at" in statement else {})
    return True


def stage(tx: Connection, lines: Sequence[GrantLine]) -> None:
    """Keep lines until they are applied; those that are kept already are left."""
    if not lines:
        return
    tx.execute(
        text(
            "INSERT INTO restored_changes (timeline, number, at, change, digest) "
            "VALUES (:timeline, :number, :at, CAST(:change AS jsonb), :digest) "
            "ON CONFLICT (timeline, number) DO NOTHING"
        ),
        [
            {
                "timeline": line.timeline,
                "number": line.number,
                "at": line.at,
                "change": json.dumps(line.change),
                "digest": line.digest,
            }
            for line in lines
        ],
    )
    tx.execute(text("UPDATE restoration SET replayed_at = NULL"))


def discard(tx: Connection) -> None:
    """Forget lines that were kept and not applied, so that a better log can bring others in their places."""
    tx.execute(text("SET LOCAL statement_timeout = '1h'"))
    tx.execute(text("DELETE FROM restored_changes WHERE NOT is_applied"))
    tx.execute(text("UPDATE restoration SET replayed_at = NULL"))


def staged_timelines(tx: Connection) -> Sequence[str]:
    """Return the timelines of the lines that are kept."""
    return tx.execute(text("SELECT DISTINCT timeline FROM restored_changes ORDER BY timeline")).scalars().all()


def verify(tx: Connection, known: Restoration) -> str | None:
    """Return in plain words what is missing or altered in the lines that are kept; ``None`` if they are whole.

    Notes
    -----
    What is missing at the end cannot be told from what never was.
    """
    tx.execute(text("SET LOCAL statement_timeout = '1h'"))
    digest, number, timeline = known.digest, known.number, known.timeline
    rows = tx.execution_options(stream_results=True, max_row_buffer=_STREAMED).execute(
        text("SELECT timeline, number, at, change, digest FROM restored_changes ORDER BY timeline, number")
    )
    for row in rows:
        if row.timeline != timeline:
            timeline, number, digest = row.timeline, 0, None
        if row.number != number + 1:
            return f"Line {number + 1} of timeline {timeline} is missing."
        if link(digest, timeline=timeline, number=row.number, at=row.at, change=row.change) != bytes(row.digest):
            return f"Line {row.number} of timeline {timeline} does not fit the one before: something was altered."
        number, digest = row.number, bytes(row.digest)
    return None


def mark_replayed(tx: Connection, at: datetime) -> None:
    """Note that all lines that are kept were applied."""
    tx.execute(text("UPDATE restoration SET replayed_at = :at"), {"at": at})


def finish(tx: Connection) -> None:
    """Take the mark off: from now on the database is served."""
    tx.execute(text("SET LOCAL statement_timeout = '1h'"))
    tx.execute(text("DELETE FROM restored_changes"))
    tx.execute(text("DELETE FROM restoration"))
