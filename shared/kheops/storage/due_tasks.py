"""When a transaction has put something into the outbox, and when the earliest of that is due.

The transaction's connection carries it until the commit, after which `kheops.storage.engine.Database` tells whoever
wakes the deliverer; a transaction that is rolled back tells nobody.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection

__all__ = ["note_due", "take_due"]

_KEY: Final = "kheops.outbox.due"


def note_due(tx: Connection, due: datetime) -> None:
    """Note that a task of this transaction is due at ``due`` (aware)."""
    noted = tx.info.get(_KEY)
    tx.info[_KEY] = due if noted is None else min(noted, due)


def take_due(tx: Connection) -> datetime | None:
    """Return when the earliest noted task is due, and forget it: the connection outlives its transaction."""
    taken: datetime | None = tx.info.pop(_KEY, None)
    return taken
