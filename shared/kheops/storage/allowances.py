"""What may be done only so often in a time, counted for all processes together."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

__all__ = ["LONGEST", "Allowance", "clear", "use_allowance", "whose_address"]

LONGEST: Final = timedelta(days=1)
"""No allowance looks back further."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How often something may be done.

    Parameters
    ----------
    name
        Stable; what is counted together.
    most
        How often.
    within
        In how long; `LONGEST` at most.
    """

    name: str
    most: int
    within: timedelta


def use_allowance(tx: Connection, allowance: Allowance, whose: str, at: datetime) -> timedelta | None:
    """Use an allowance once, if anything of it is left.

    Uses of one holder wait for each other until their transactions end, so that any number at once are no more than
    one after the other. Who uses several in one transaction does so in one order everywhere, after every other lock.

    Parameters
    ----------
    tx
        The transaction of what is done: rolled back, it was not used.
    allowance
        Which one.
    whose
        Whose: no name or address in clear, since this outlives what it was used for.
    at
        The current time.

    Returns
    -------
    timedelta or None
        How long to wait until there is something left; ``None`` if it has been used.
    """
    key = {"allowance": allowance.name, "whose": whose}
    tx.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('allowance' || :allowance || ' ' || :whose, 0))"), key
    )
    used = tx.execute(
        text(
            "SELECT count(*) AS number, min(at) AS earliest FROM (SELECT at FROM allowance_uses "
            "WHERE allowance = :allowance AND whose = :whose AND at > :since ORDER BY at DESC LIMIT :most) u"
        ),
        {**key, "since": at - allowance.within, "most": allowance.most},
    ).one()
    if used.number >= allowance.most:
        wait: timedelta = used.earliest + allowance.within - at
        return wait
    tx.execute(
        text("INSERT INTO allowance_uses (allowance, whose, at) VALUES (:allowance, :whose, :at)"), {**key, "at": at}
    )
    return None


def whose_address(email: str) -> str:
    """Return under what uses for an e-mail address in small letters are counted."""
    return hashlib.sha256(email.encode()).hexdigest()


def clear(tx: Connection, *, at: datetime) -> int:
    """Delete uses that count no longer, and return how many."""
    return tx.execute(text("DELETE FROM allowance_uses WHERE at <= :before"), {"before": at - LONGEST}).rowcount
