"""CPython's cyclic garbage collector, set for a process that serves requests.

As it comes it looks at every object of the process again and again: measured 15 % of the CPU of small frames, and
pauses of 70 ms. Nearly all objects of a request end by their reference count, before the collector looks.
"""

import gc
from typing import Final

__all__ = ["WARM_REQUESTS", "keep_what_is_there", "look_less_often"]

WARM_REQUESTS: Final = 100
"""Requests after which everything that a service imports at first use has been imported."""
_YOUNG_OBJECTS: Final = 5_000
"""Containers made and not freed until the youngest are looked at (CPython: 700). Few enough that a cycle which holds
a buffer does not live long."""


def look_less_often() -> None:
    """Let young objects be looked at less often."""
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def keep_what_is_there() -> None:
    """Collect once, then never look at the objects again that are there now: modules, classes, settings."""
    gc.collect()
    gc.freeze()
