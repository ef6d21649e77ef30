"""How much there is of everything, for administrators of the installation."""

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain import policy
from kheops.domain.principals import Principal
from kheops.services.denials import granted
from kheops.storage import metrics
from kheops.storage.engine import Database
from kheops.storage.metrics import Metrics

__all__ = ["Counting", "Metrics"]


class Counting:
    """Counts.

    Parameters
    ----------
    database
        What is counted.
    clock
        The current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def everything(self, principal: Principal) -> Metrics:
        """Return the counts.

        Raises
        ------
        ForbiddenError
            If the caller does not administer the installation.
        """

        def work(tx: Connection) -> Metrics:
            granted(policy.administer(principal))
            return metrics.count_everything(tx, self._clock())

        return await self._database.run(work)
