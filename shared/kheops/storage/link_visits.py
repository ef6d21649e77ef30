"""Opening links: who knows the secret, how often the passcode was tried, and the visits that come of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.links import PASSCODE_TRIES, PASSCODE_TRIES_IN_A_ROW, PASSCODE_WAIT
from kheops.domain.principals import LinkVisit
from kheops.ids import AlbumPk, LinkId, LinkPk, LinkVisitPk, UserPk
from kheops.storage.link_standing import LINK_STANDS

__all__ = [
    "ClosedLink",
    "OpenedLink",
    "begin_visit",
    "charge_try",
    "delete_ended",
    "find_closed",
    "number_of_visits",
    "stands",
    "times_of",
]

_ENDED_AT_ONCE: Final = 1_000
_OPENS: Final = f"""
    {LINK_STANDS} AND l.expires_at > :at AND (l.max_uses IS NULL OR l.uses < l.max_uses)
    AND EXISTS (SELECT 1 FROM users u WHERE u.pk = l.user_pk AND u.suspended_at IS NULL)
"""  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class ClosedLink:
    """A link that somebody wants to open."""

    pk: LinkPk
    secret_hash: bytes = field(repr=False)
    passcode_hash: str | None = field(repr=False)
    blocked_until: datetime | None
    opens: bool
    """Whether it stands, has uses and tries left, and has not expired."""


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link that was opened."""

    visitor: LinkVisit
    title: str
    album_name: str | None
    expires_at: datetime
    """Of the visit."""


def find_closed(tx: Connection, link: LinkId, at: datetime) -> ClosedLink | None:
    """Return a link by its public id, whatever its state."""
    row = tx.execute(
        text(
            "SELECT l.pk, l.secret_hash, l.passcode_hash, l.blocked_until, "  # noqa: S608 - constants only
            f"({_OPENS}) AND l.wrong_passcodes < :tries AS opens FROM links l WHERE l.id = :id"
        ),
        {"id": link, "at": at, "tries": PASSCODE_TRIES},
    ).one_or_none()
    if row is None:
        return None
    return ClosedLink(LinkPk(row.pk), bytes(row.secret_hash), row.passcode_hash, row.blocked_until, row.opens)


def charge_try(tx: Connection, link: LinkPk, at: datetime) -> bool:
    """Count a try of the passcode as a wrong one, before it is looked at; `begin_visit` takes it back.

    So any number of tries at once, in any number of processes, are no more than one after the other, and a try that
    a crash cut short has been one.

    Returns
    -------
    bool
        Whether one was left; ``False`` while the link waits.
    """
    charged = tx.execute(
        text(
            "UPDATE links SET wrong_passcodes = wrong_passcodes + 1, "
            "wrong_in_a_row = CASE WHEN wrong_in_a_row + 1 >= :row THEN 0 ELSE wrong_in_a_row + 1 END, "
            "blocked_until = CASE WHEN wrong_in_a_row + 1 >= :row THEN CAST(:until AS timestamptz) END "
            "WHERE pk = :pk AND wrong_passcodes < :tries AND (blocked_until IS NULL OR blocked_until <= :at)"
        ),
        {
            "pk": link,
            "at": at,
            "row": PASSCODE_TRIES_IN_A_ROW,
            "until": at + PASSCODE_WAIT,
            "tries": PASSCODE_TRIES,
        },
    )
    return charged.rowcount == 1


def begin_visit(
    tx: Connection, link: LinkPk, *, secret_hash: bytes, charged: bool, at: datetime, lasting: timedelta
) -> OpenedLink | None:
    """Use a link once, and write the visit that comes of it.

    Parameters
    ----------
    tx
        The transaction.
    link
        The link, whose secrets were right.
    secret_hash
        The keyed hash of the visit's token.
    charged
        Whether `charge_try` counted a try that was right.
    at
        The current time.
    lasting
        How long the visit lasts; the link's end goes before.

    Returns
    -------
    OpenedLink or None
        ``None``, and nothing used, if the link has ended meanwhile or others have used it up.
    """
    used = tx.execute(
        text(
            "UPDATE links l SET uses = uses + 1, last_used_at = greatest(coalesce(last_used_at, :at), :at), "  # noqa: S608
            "wrong_passcodes = wrong_passcodes - CAST(:charged AS integer), "
            "wrong_in_a_row = CASE WHEN CAST(:charged AS integer) = 1 THEN 0 ELSE wrong_in_a_row END, "
            "blocked_until = CASE WHEN CAST(:charged AS integer) = 1 THEN NULL ELSE blocked_until END "
            f"WHERE l.pk = :pk AND {_OPENS} RETURNING l.id, l.title, l.user_pk, l.album_pk, l.download_permission"
        ),
        {"pk": link, "at": at, "charged": int(charged)},
    ).one_or_none()
    if used is None:
        return None
    visit = tx.execute(
        text(
            "INSERT INTO link_visits (secret_hash, link_pk, opened_at, expires_at) "
            "SELECT :secret_hash, l.pk, :at, least(CAST(:until AS timestamptz), l.expires_at) FROM links l "
            "WHERE l.pk = :pk RETURNING pk, expires_at"
        ),
        {"secret_hash": secret_hash, "pk": link, "at": at, "until": at + lasting},
    ).one()
    owner = tx.execute(
        text(
            "SELECT u.iss, u.sub, (SELECT a.name FROM albums a WHERE a.pk = :album) AS album_name "
            "FROM users u WHERE u.pk = :user"
        ),
        {"user": used.user_pk, "album": used.album_pk},
    ).one()
    visitor = LinkVisit(
        visit=LinkVisitPk(visit.pk),
        link=LinkId(used.id),
        pk=link,
        user=UserPk(used.user_pk),
        iss=owner.iss,
        sub=owner.sub,
        album=None if used.album_pk is None else AlbumPk(used.album_pk),
        download=used.download_permission,
    )
    return OpenedLink(visitor, used.title, owner.album_name, visit.expires_at)


def number_of_visits(tx: Connection, link: LinkPk, at: datetime) -> int:
    """Return how many visits by a link have not ended."""
    number: int = tx.execute(
        text("SELECT count(*) FROM link_visits WHERE link_pk = :link AND expires_at > :at"), {"link": link, "at": at}
    ).scalar_one()
    return number


def stands(tx: Connection, visitor: LinkVisit, at: datetime) -> bool:
    """Return whether a visit has not ended, its link stands, and its creator is in good standing."""
    found = tx.execute(
        text(
            "SELECT 1 FROM link_visits v JOIN links l ON l.pk = v.link_pk "  # noqa: S608 - constants only
            "JOIN users u ON u.pk = l.user_pk AND u.suspended_at IS NULL "
            f"WHERE v.pk = :pk AND v.expires_at > :at AND {LINK_STANDS}"
        ),
        {"pk": visitor.visit, "at": at},
    ).one_or_none()
    return found is not None


def times_of(tx: Connection, visitor: LinkVisit) -> tuple[datetime, datetime] | None:
    """Return when a visit began and ends; ``None`` if it is gone."""
    row = tx.execute(
        text("SELECT opened_at, expires_at FROM link_visits WHERE pk = :pk"), {"pk": visitor.visit}
    ).one_or_none()
    return None if row is None else (row.opened_at, row.expires_at)


def delete_ended(tx: Connection, *, at: datetime) -> int:
    """Delete visits that are past their time, a thousand at most, and return how many."""
    deleted = tx.execute(
        text(
            "DELETE FROM link_visits WHERE pk IN (SELECT pk FROM link_visits WHERE expires_at <= :at "
            "ORDER BY expires_at LIMIT :most FOR UPDATE SKIP LOCKED)"
        ),
        {"at": at, "most": _ENDED_AT_ONCE},
    )
    return deleted.rowcount
