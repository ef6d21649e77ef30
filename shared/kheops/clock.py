"""The only source of the current time, so that tests can move it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

__all__ = ["Clock", "monotonic", "now"]

Clock = Callable[[], datetime]
"""A function that returns the current time, aware, in UTC."""

monotonic: Final = time.monotonic
"""Seconds that never go back; for durations and caches within one process."""


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)
