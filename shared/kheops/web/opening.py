"""How a service comes by the process object."""

from collections.abc import Awaitable, Callable

from kheops.factory import Process

__all__ = ["Opening"]

Opening = Callable[[], Awaitable[Process]]
"""Returns the process object; raises a `KheopsError` where the service must not serve."""
