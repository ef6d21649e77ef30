"""Erasing people: their row goes, and with it name, address, sessions and tokens; what they said stays without them.

References to them become empty by the foreign keys (``ON DELETE SET NULL``): in comments, in histories, as the origin
of series. The audit trail has no such reference and goes on naming (iss, sub).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from kheops.ids import AlbumId, AlbumPk, UserPk

__all__ = [
    "ERASURE_REMEMBERED",
    "AdministeredAlone",
    "albums_administered_alone",
    "delete_person",
    "erased_at",
    "forget_old_erasures",
    "successor_in",
]

ERASURE_REMEMBERED: Final = timedelta(days=2)
"""How long it is remembered that somebody was erased: longer than an access token may live."""


@dataclass(frozen=True, slots=True)
class AdministeredAlone:
    """An album, now locked, that nobody else in good standing administers."""

    key: AlbumPk
    album: AlbumId
    has_others: bool
    """Whether it has other members, or groups."""


def albums_administered_alone(tx: Connection, user: UserPk) -> list[AdministeredAlone]:
    """Lock the albums that somebody is in, and return those that nobody else in good standing administers."""
    tx.execute(
        text(
            "SELECT a.pk FROM albums a JOIN album_members m ON m.album_pk = a.pk "
            "WHERE m.user_pk = :user AND a.kind = 'album' ORDER BY a.pk FOR UPDATE OF a"
        ),
        {"user": user},
    )
    rows = tx.execute(
        text(
            "SELECT a.pk, a.id, EXISTS (SELECT 1 FROM album_groups g WHERE g.album_pk = a.pk) OR EXISTS ("
            "SELECT 1 FROM album_members o WHERE o.album_pk = a.pk AND o.user_pk <> :user) AS has_others "
            "FROM albums a JOIN album_members m ON m.album_pk = a.pk AND m.user_pk = :user AND m.is_admin "
            "WHERE a.kind = 'album' AND NOT EXISTS (SELECT 1 FROM album_members o "
            "JOIN users u ON u.pk = o.user_pk AND u.suspended_at IS NULL "
            "WHERE o.album_pk = a.pk AND o.user_pk <> :user AND o.is_admin) ORDER BY a.pk"
        ),
        {"user": user},
    ).all()
    return [AdministeredAlone(AlbumPk(row.pk), AlbumId(row.id), row.has_others) for row in rows]


def successor_in(tx: Connection, album: AlbumPk, user: UserPk) -> UserPk | None:
    """Return who is to administer an album after ``user``: the member in good standing who joined first."""
    row = tx.execute(
        text(
            "SELECT m.user_pk FROM album_members m JOIN users u ON u.pk = m.user_pk AND u.suspended_at IS NULL "
            "WHERE m.album_pk = :album AND m.user_pk <> :user ORDER BY m.joined_at, m.user_pk LIMIT 1"
        ),
        {"album": album, "user": user},
    ).one_or_none()
    return None if row is None else UserPk(row.user_pk)


def delete_person(tx: Connection, user: UserPk, *, iss: str, sub: str, at: datetime) -> None:
    """Delete somebody, whose inbox is empty by now, and remember by a digest that it was done.

    Whoever creates the same person at the same time waits.
    """
    tx.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('user' || :iss || ' ' || :sub, 0))"),
        {"iss": iss, "sub": sub},
    )
    inbox = tx.execute(text("DELETE FROM users WHERE pk = :user RETURNING inbox_pk"), {"user": user}).scalar_one()
    tx.execute(text("DELETE FROM albums WHERE pk = :inbox AND kind = 'inbox'"), {"inbox": inbox})
    tx.execute(
        text(
            "INSERT INTO erasures (identity, erased_at) VALUES (:identity, :at) "
            "ON CONFLICT (identity) DO UPDATE SET erased_at = excluded.erased_at"
        ),
        {"identity": _identity(iss, sub), "at": at},
    )


def erased_at(tx: Connection, *, iss: str, sub: str) -> datetime | None:
    """Return when the person who was (iss, sub) was erased, as far as that is still remembered."""
    found: datetime | None = tx.execute(
        text("SELECT erased_at FROM erasures WHERE identity = :identity"), {"identity": _identity(iss, sub)}
    ).scalar_one_or_none()
    return found


def forget_old_erasures(tx: Connection, *, before: datetime) -> int:
    """Forget who was erased before a time, and return how many."""
    return tx.execute(text("DELETE FROM erasures WHERE erased_at < :before"), {"before": before}).rowcount


def _identity(iss: str, sub: str) -> bytes:
    return hashlib.sha256(f"{iss}\0{sub}".encode()).digest()
