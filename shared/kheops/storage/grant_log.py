"""The log of changes of grants as triggers note it: numbering and chaining it, and what has left the database."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.grant_log import GrantEntity, GrantLine, link

__all__ = ["lines_from", "mark_exported", "position", "seal_changes", "unexported"]

_SEALER_LOCK: Final = 0x6772616E7473
"""Advisory lock of the one sealer: "grants" in ASCII."""


def seal_changes(tx: Connection, *, limit: int = 5_000) -> int:
    """Chain committed changes that have no number yet, in order; return how many. One sealer works at a time.

    Changes of one thing are in the order in which they were made: who makes the second one waits for the first.
    """
    if not tx.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _SEALER_LOCK}).scalar_one():
        return 0
    timeline, number, digest = position(tx)
    rows = tx.execute(
        text("SELECT pk, at, change FROM grant_changes WHERE number IS NULL ORDER BY pk LIMIT :limit"),
        {"limit": limit},
    ).all()
    for row in rows:
        number += 1
        digest = link(digest, timeline=timeline, number=number, at=_at(row), change=row.change)
        tx.execute(
            text("UPDATE grant_changes SET timeline = :timeline, number = :number, digest = :digest WHERE pk = :pk"),
            {"timeline": timeline, "number": number, "digest": digest, "pk": row.pk},
        )
    return len(rows)


def position(tx: Connection) -> tuple[str, int, bytes | None]:
    """Return the timeline of the database, and the number and digest of the last change sealed in it (0, ``None``)."""
    row = tx.execute(
        text(
            "SELECT t.timeline, c.number, c.digest FROM grant_timeline t LEFT JOIN LATERAL ("
            "SELECT number, digest FROM grant_changes g WHERE g.timeline = t.timeline ORDER BY number DESC LIMIT 1"
            ") c ON true"
        )
    ).one()
    return row.timeline, row.number or 0, None if row.digest is None else bytes(row.digest)


def unexported(tx: Connection, *, limit: int) -> Sequence[GrantLine]:
    """Return sealed changes that have not left the database yet, in order."""
    done: int = tx.execute(text("SELECT exported FROM grant_timeline")).scalar_one()
    return lines_from(tx, done + 1, limit=limit)


def lines_from(tx: Connection, number: int, *, limit: int) -> Sequence[GrantLine]:
    """Return sealed changes of the database's timeline from a number on, in order."""
    rows = tx.execute(
        text(
            "SELECT c.timeline, c.number, c.at, c.change, c.digest FROM grant_changes c "
            "JOIN grant_timeline t ON t.timeline = c.timeline WHERE c.number >= :number ORDER BY c.number LIMIT :limit"
        ),
        {"number": number, "limit": limit},
    ).all()
    return [_line(row) for row in rows]


def mark_exported(tx: Connection, last: GrantLine) -> None:
    """Note that everything up to a line has left, unless the database has begun another timeline meanwhile."""
    tx.execute(
        text("UPDATE grant_timeline SET exported = greatest(exported, :number) WHERE timeline = :timeline"),
        {"number": last.number, "timeline": last.timeline},
    )


def _line(row: Row[Any]) -> GrantLine:
    change = row.change
    return GrantLine(
        timeline=row.timeline,
        number=row.number,
        at=_at(row),
        entity=GrantEntity(change["entity"]),
        key=tuple(change["key"]),
        state=change["state"],
        digest=bytes(row.digest),
    )


def _at(row: Row[Any]) -> str:
    at: str = row.at.astimezone(UTC).isoformat()
    return at
