"""Whether this database may be served: asked of it again while a process runs, not only when it opens."""

import asyncio
from typing import Final

from kheops.clock import monotonic
from kheops.errors import DatabaseUnavailableError, RestoringError
from kheops.storage.engine import Database
from kheops.storage.restoration import is_restoring

__all__ = ["Serving"]

_RENEWED_SECONDS: Final = 2.5
_BELIEVED_SECONDS: Final = 5.0


class Serving:
    """Refuses to serve while the database is being restored.

    Parameters
    ----------
    database
        The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told_at: float | None = None
        self._is_restoring = True
        self._asking: asyncio.Task[bool] | None = None

    async def refuse_while_restoring(self) -> None:
        """Return if the database may be served, as it said at most 5 seconds ago.

        It is asked again after half of that, and nobody waits for the answer before the time is over.

        Raises
        ------
        RestoringError
            If it is being restored.
        DatabaseUnavailableError
            If it has not said for so long whether it is.
        """
        age = self._age()
        if age >= _RENEWED_SECONDS:
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask(), name="ask-whether-restoring")
            # Shielded: a caller that is cancelled must not take the answer from the others.
            if age >= _BELIEVED_SECONDS and not await asyncio.shield(self._asking):
                raise DatabaseUnavailableError
        if self._is_restoring:
            raise RestoringError

    async def aclose(self) -> None:
        """Wait for a question that is under way."""
        if self._asking is not None:
            await self._asking

    def _age(self) -> float:
        return _BELIEVED_SECONDS if self._told_at is None else monotonic() - self._told_at

    async def _ask(self) -> bool:
        """Ask; return whether there was an answer."""
        asked_at = monotonic()
        try:
            self._is_restoring = await self._database.run(is_restoring)
        except DatabaseUnavailableError:
            return False
        else:
            self._told_at = asked_at
            return True
        finally:
            self._asking = None
