"""Comparing clocks: tokens that seem not to be valid yet, or any longer, are most often a wrong clock."""

from typing import Final

from kheops.clock import Clock
from kheops.jobs.doctor.finding import Finding

__all__ = ["compared"]

_MOST_SECONDS: Final = 30.0
"""Half of what tokens are given in leeway, so that it is said before they fail."""


def compared(whose: str, theirs: float, clock: Clock) -> Finding:
    """Return how another clock goes, by ours.

    Parameters
    ----------
    whose
        What it is called.
    theirs
        What it showed just now, in seconds of the Unix epoch.
    clock
        Ours.
    """
    ahead = theirs - clock().timestamp()
    if abs(ahead) <= _MOST_SECONDS:
        return Finding.ok("clock", f"Our clock and that of {whose} agree.")
    return Finding.fault(
        "clock",
        f"The clock of {whose} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours.",
        "Set the clocks by NTP (chronyd, systemd-timesyncd) on both machines; tokens are refused by a wrong one.",
    )
