"""The audit trail: append-only rows of uses."""

from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.uses import Use

__all__ = ["count_more", "insert_use", "seal", "verify_chain"]

_INSERT: Final = text("""
    INSERT INTO audit (at, last_at, iss, sub, acting_party, token_id, kind, outcome, reason, study_instance_uids,
        series_instance_uids, sop_instance_uids, subject, source_address, request_id)
    VALUES (:at, :at, :iss, :sub, :acting_party, :token_id, :kind, :outcome, :reason, :studies, :series, :instances,
        :subject, :source_address, :request_id)
    RETURNING pk
""")


def insert_use(tx: Connection, use: Use, at: datetime) -> int:
    """Write a use and return its row's key."""
    key: int = tx.execute(
        _INSERT,
        {
            "at": at,
            "iss": use.user.iss,
            "sub": use.user.sub,
            "acting_party": use.user.acting_party,
            "token_id": use.user.token_id,
            "kind": use.kind.value,
            "outcome": use.outcome.value,
            "reason": use.reason,
            "studies": list(use.studies),
            "series": list(use.series),
            "instances": list(use.instances),
            "subject": use.subject,
            "source_address": use.source_address,
            "request_id": use.request_id,
        },
    ).scalar_one()
    return key


def count_more(tx: Connection, counts: dict[int, int], at: datetime) -> None:
    """Add to rows the uses that repeated them (key of the row -> number)."""
    for pk, number in counts.items():
        tx.execute(
            text("UPDATE audit SET uses = uses + :number, last_at = :at WHERE pk = :pk"),
            {"number": number, "at": at, "pk": pk},
        )


_SEALER_LOCK: Final = 0x617564697473
"""Advisory lock of the one sealer: "audits" in ASCII."""
_LATE_ROWS: Final = 100_000
"""How far behind the last sealed row a row is still looked for that got its number early and was committed late."""
_GENESIS: Final = b"kheops audit"
_SEALED_COLUMNS: Final = (
    "a.pk, a.at, a.iss, a.sub, a.acting_party, a.token_id, a.kind, a.outcome, a.reason, "
    "a.study_instance_uids, a.series_instance_uids, a.sop_instance_uids, a.subject, a.source_address, a.request_id"
)


def seal(tx: Connection, at: datetime, *, limit: int = 10_000) -> int:
    """Chain committed rows that are not chained yet, oldest first; return how many. One sealer works at a time.

    Each digest is SHA-256 over the digest before and the row, so that a row changed or removed later breaks the
    chain from there on. Counts of repeated uses (``uses``, ``last_at``) are not part of it.
    """
    if not tx.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _SEALER_LOCK}).scalar_one():
        return 0
    last = tx.execute(text("SELECT number, digest FROM audit_chain ORDER BY number DESC LIMIT 1")).one_or_none()
    number, digest = (0, _GENESIS) if last is None else (last.number, bytes(last.digest))
    rows = tx.execute(
        text(
            f"SELECT {_SEALED_COLUMNS} FROM audit a LEFT JOIN audit_chain c ON c.audit_pk = a.pk "  # noqa: S608
            "WHERE c.number IS NULL AND a.pk > (SELECT coalesce(max(audit_pk), 0) - :late FROM audit_chain) "
            "ORDER BY a.pk LIMIT :limit"
        ),
        {"limit": limit, "late": _LATE_ROWS},
    ).all()
    for row in rows:
        number += 1
        digest = _link(digest, tuple(row))
        tx.execute(
            text("INSERT INTO audit_chain (number, audit_pk, sealed_at, digest) VALUES (:number, :pk, :at, :digest)"),
            {"number": number, "pk": row.pk, "at": at, "digest": digest},
        )
    return len(rows)


def verify_chain(tx: Connection) -> int | None:
    """Return the number of the first link that does not fit its row, or ``None`` if the chain is whole."""
    digest = _GENESIS
    rows = tx.execution_options(stream_results=True).execute(
        text(
            f"SELECT c.number, c.digest, {_SEALED_COLUMNS} FROM audit_chain c "  # noqa: S608 - constants only
            "JOIN audit a ON a.pk = c.audit_pk ORDER BY c.number"
        )
    )
    for expected, row in enumerate(rows, 1):
        digest = _link(digest, tuple(row)[2:])
        if row.number != expected or bytes(row.digest) != digest:
            return expected
    return None


def _link(before: bytes, row: tuple[object, ...]) -> bytes:
    text_of_row = repr(tuple(value.isoformat() if isinstance(value, datetime) else value for value in row))
    return sha256(before + text_of_row.encode()).digest()
