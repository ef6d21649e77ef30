"""A limit on how often one person may be told that a UID is in use (failure reason 0x0124, the one oracle)."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kheops.clock import monotonic
from kheops.errors import TooManyRequestsError
from kheops.ids import SeriesInstanceUID, UserPk

__all__ = ["REFUSALS_PER_WINDOW", "REFUSED_INSTANCES_PER_WINDOW", "WINDOW_SECONDS", "RefusalLimit"]

REFUSALS_PER_WINDOW: Final = 200
"""Different series; a misconfigured modality stays below it, a search for UIDs does not."""
REFUSED_INSTANCES_PER_WINDOW: Final = 10_000
"""Instances, of however few series: who looks for SOP Instance UIDs may name one series in all of them."""
WINDOW_SECONDS: Final = 600
_REMEMBERED: Final = 1_000
"""People who were refused of late, each with up to 40 KiB."""


@dataclass(slots=True)
class _Refusals:
    """One person's of late."""

    series: OrderedDict[SeriesInstanceUID, float] = field(default_factory=OrderedDict)
    """When each was first refused, the earliest first: the one series of a large study counts once."""
    instances: int = 0
    instances_since: float = 0.0
    latest: float = 0.0
    """When the last was added."""

    def forget(self, at: float) -> None:
        while self.series and at - next(iter(self.series.values())) > WINDOW_SECONDS:
            self.series.popitem(last=False)
        if at - self.instances_since > WINDOW_SECONDS:
            self.instances, self.instances_since = 0, at

    def earliest(self) -> float | None:
        """Return when that began which is too much; ``None`` if nothing is."""
        if len(self.series) >= REFUSALS_PER_WINDOW:
            return next(iter(self.series.values()))
        return self.instances_since if self.instances >= REFUSED_INSTANCES_PER_WINDOW else None


class RefusalLimit:
    """Counts refusals by person, within one process.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._refusals: OrderedDict[UserPk, _Refusals] = OrderedDict()

    def check(self, user: UserPk) -> None:
        """Raise `TooManyRequestsError` if ``user`` was refused too often of late."""
        refusals = self._refusals.get(user)
        if refusals is None:
            return
        at = self._clock()
        refusals.forget(at)
        earliest = refusals.earliest()
        if earliest is not None:
            raise TooManyRequestsError(
                "Too many instances were refused. Wait before you store again.",
                retry_after=int(WINDOW_SECONDS - (at - earliest)) + 1,
            )

    def add(self, user: UserPk, series: SeriesInstanceUID) -> None:
        """Count the refusal of an instance of ``series``."""
        at = self._clock()
        refusals = self._refusals.setdefault(user, _Refusals())
        refusals.forget(at)
        refusals.instances += 1
        refusals.latest = at
        if len(refusals.series) < REFUSALS_PER_WINDOW:
            refusals.series.setdefault(series, at)
        self._refusals.move_to_end(user)
        # In the order of their latest: nothing counts any more of those who were last refused a window ago.
        while len(self._refusals) > _REMEMBERED or at - next(iter(self._refusals.values())).latest > WINDOW_SECONDS:
            self._refusals.popitem(last=False)
