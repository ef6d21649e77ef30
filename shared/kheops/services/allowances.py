"""Refusing what somebody has done too often of late."""

import math
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from kheops.errors import TooManyRequestsError
from kheops.storage.allowances import Allowance, use_allowance

__all__ = ["spend"]

_LEAST: Final = 1
"""Seconds."""


def spend(tx: Connection, allowance: Allowance, whose: str, *, at: datetime, detail: str) -> None:
    """Use an allowance once.

    Parameters
    ----------
    tx
        The transaction of what is done; after every other lock that it takes.
    allowance, whose
        As `kheops.storage.allowances.use_allowance` takes them.
    at
        The current time.
    detail
        What the caller is told where nothing is left.

    Raises
    ------
    TooManyRequestsError
        If nothing of it is left.
    """
    wait = use_allowance(tx, allowance, whose, at)
    if wait is not None:
        raise TooManyRequestsError(detail, retry_after=max(_LEAST, math.ceil(wait.total_seconds())))
