"""A limit on how often one person may be told that a UID is in use (failure reason 0x0124, the one oracle)."""

from collections import OrderedDict, deque
from typing import Final

from kheops.clock import monotonic
from kheops.errors import TooManyRequestsError
from kheops.ids import UserPk

__all__ = ["REFUSALS_PER_WINDOW", "WINDOW_SECONDS", "RefusalLimit"]

REFUSALS_PER_WINDOW: Final = 200
"""Refused instances; a misconfigured modality stays below it, a search for UIDs does not."""
WINDOW_SECONDS: Final = 600
_REMEMBERED: Final = 10_000


class RefusalLimit:
    """Counts refusals by person, within one process."""

    def __init__(self) -> None:
        self._refusals: OrderedDict[UserPk, deque[float]] = OrderedDict()

    def check(self, user: UserPk) -> None:
        """Raise `TooManyRequestsError` if ``user`` was refused too often of late."""
        refusals = self._refusals.get(user)
        if refusals is None:
            return
        at = monotonic()
        while refusals and at - refusals[0] > WINDOW_SECONDS:
            refusals.popleft()
        if len(refusals) >= REFUSALS_PER_WINDOW:
            wait = int(WINDOW_SECONDS - (at - refusals[0])) + 1
            raise TooManyRequestsError(
                "Too many instances were refused. Wait before you store again.", retry_after=wait
            )

    def add(self, user: UserPk) -> None:
        """Count one refusal."""
        refusals = self._refusals.setdefault(user, deque(maxlen=REFUSALS_PER_WINDOW))
        refusals.append(monotonic())
        self._refusals.move_to_end(user)
        while len(self._refusals) > _REMEMBERED:
            self._refusals.popitem(last=False)
