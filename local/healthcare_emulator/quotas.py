"""Quotas of a minute: how many requests there may be, and how many bytes they may bring."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from local.healthcare_emulator.google_errors import GoogleError

__all__ = ["Quotas"]

_MINUTE: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Quotas:
    """Counts what a minute has brought; a new minute begins with nothing.

    Parameters
    ----------
    operations
        Requests that a minute may have; ``None`` for any number.
    ingress
        Bytes of bodies that a minute may have before it refuses more; ``None`` for any number.
    clock
        Seconds that only grow.
    """

    operations: int | None = None
    ingress: int | None = None
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False, default=float("-inf"))
    _requests: int = field(init=False, default=0)
    _bytes: int = field(init=False, default=0)

    def begin(self) -> None:
        """Count a request; raise `GoogleError`, a 429, if the minute has had enough."""
        moment = self.clock()
        if moment - self._began >= _MINUTE:
            self._began, self._requests, self._bytes = moment, 0, 0
        if self.operations is not None and self._requests >= self.operations:
            raise _exceeded("DICOMweb operations per minute")
        if self.ingress is not None and self._bytes >= self.ingress:
            raise _exceeded("DICOMweb ingress bytes per minute")
        self._requests += 1

    def received(self, size: int) -> None:
        """Count the bytes that a request brought."""
        self._bytes += size


def _exceeded(what: str) -> GoogleError:
    return GoogleError(HTTPStatus.TOO_MANY_REQUESTS, f"Quota exceeded for quota metric '{what}'.")
