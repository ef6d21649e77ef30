"""Who is told by mail what is new in their albums, and what that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from kheops.ids import AlbumId, UserPk
from kheops.storage import outbox
from kheops.storage.comments import readable_comment

__all__ = ["DIGEST", "SETTLED", "Addressee", "News", "add_due_digests", "addressee", "news"]

DIGEST: Final = "digest"
"""The kind of task that mails a digest."""
SETTLED: Final = timedelta(minutes=5)
"""A time is written when its transaction begins, and seen when that is committed: longer than any transaction lasts,
which each of its statements and pauses bounds (`kheops.storage.engine`), and clocks may differ.
"""


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody in good standing whose address an issuer vouches for."""

    email: str
    name: str | None


@dataclass(frozen=True, slots=True)
class News:
    """What is new in one album for one member."""

    album: AlbumId
    name: str
    new_series: int
    new_comments: int


def add_due_digests(tx: Connection, *, at: datetime, interval: timedelta) -> int:
    """Add a task for each person whose last digest is ``interval`` ago, and return how many they are.

    Who begins to want notifications is told of what comes from then on; who wants none any longer is forgotten, so
    that they begin anew another time. Several workers share the people; nobody gets two digests of the same time.
    Each digest ends `SETTLED` ago, and the next one begins there: what is counted has been committed.
    """
    wanting = (
        "SELECT m.user_pk FROM album_members m JOIN albums a ON a.pk = m.album_pk AND a.kind = 'album' "
        "WHERE m.notification_new_series OR m.notification_new_comment"
    )
    tx.execute(text(f"DELETE FROM notification_digests WHERE user_pk NOT IN ({wanting})"))  # noqa: S608 - constants only
    tx.execute(
        text(
            f"INSERT INTO notification_digests (user_pk, covered_until, begun_at) SELECT DISTINCT w.user_pk, "  # noqa: S608 - constants only
            f"CAST(:at AS timestamptz), CAST(:at AS timestamptz) FROM ({wanting}) w ON CONFLICT (user_pk) DO NOTHING"
        ),
        {"at": at},
    )
    due = tx.execute(
        text(
            "WITH due AS (SELECT user_pk, covered_until, begun_at FROM notification_digests "
            "WHERE covered_until <= :before ORDER BY covered_until LIMIT 1000 FOR UPDATE SKIP LOCKED) "
            "UPDATE notification_digests n SET covered_until = :at FROM due WHERE n.user_pk = due.user_pk "
            "RETURNING n.user_pk, greatest(due.covered_until - CAST(:settled AS interval), due.begun_at) AS since"
        ),
        {"at": at, "before": at - interval, "settled": f"{SETTLED.total_seconds()} seconds"},
    ).all()
    for row in due:
        payload = {"user": row.user_pk, "since": row.since.isoformat(), "until": (at - SETTLED).isoformat()}
        outbox.add_task(tx, DIGEST, payload, due=at)
    return len(due)


def addressee(tx: Connection, user: UserPk) -> Addressee | None:
    """Return where somebody gets their mail; ``None`` if they are suspended, erased, or nobody vouches for it."""
    row = tx.execute(
        text(
            "SELECT lower(email) AS email, name FROM users WHERE pk = :user AND suspended_at IS NULL "
            "AND email_verified AND email IS NOT NULL"
        ),
        {"user": user},
    ).one_or_none()
    return None if row is None else Addressee(row.email, row.name)


def news(tx: Connection, user: UserPk, *, since: datetime, until: datetime) -> Sequence[News]:
    """Return what came between two times into the albums that somebody is a member of now, and wants to hear of.

    Only what others did, and what is there still: series that the album holds, and comments that the person reads.
    """
    rows = tx.execute(
        text(
            "SELECT * FROM (SELECT a.id, a.name, "  # noqa: S608 - constants only
            "CASE WHEN m.notification_new_series THEN (SELECT count(*) FROM album_series x "
            "JOIN series s ON s.pk = x.series_pk AND s.state = 'confirmed' "
            "WHERE x.album_pk = a.pk AND x.added_at > greatest(CAST(:since AS timestamptz), m.joined_at) "
            "AND x.added_at <= :until AND x.added_by IS DISTINCT FROM m.user_pk) ELSE 0 END AS new_series, "
            "CASE WHEN m.notification_new_comment THEN (SELECT count(*) FROM comments c "
            "WHERE c.album_pk = a.pk AND c.at > greatest(CAST(:since AS timestamptz), m.joined_at) "
            "AND c.at <= :until AND c.user_pk IS DISTINCT FROM m.user_pk "
            f"AND {readable_comment('m.user_pk')}) ELSE 0 END AS new_comments "
            "FROM album_members m JOIN albums a ON a.pk = m.album_pk AND a.kind = 'album' "
            "WHERE m.user_pk = :user) n WHERE n.new_series + n.new_comments > 0 ORDER BY lower(n.name), n.id LIMIT 200"
        ),
        {"user": user, "since": since, "until": until},
    ).all()
    return [News(AlbumId(row.id), row.name, row.new_series, row.new_comments) for row in rows]
