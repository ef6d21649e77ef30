"""Bounds for those who call without any credential: how often they are refused, and what that writes.

Whoever opens links that are not there could otherwise fill the audit trail, and the database with it. The first
refusal of an address for a reason is committed at once, as every refusal is; further ones within the audit trail's
window are counted in its row, whatever was asked for. An address that was refused too often waits. All within one
process.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from kheops.clock import monotonic as system_monotonic
from kheops.domain.uses import Use
from kheops.errors import TooManyRequestsError
from kheops.services.audit import AuditTrail

__all__ = ["REFUSALS_PER_ADDRESS", "STRANGERS_SECONDS", "Strangers"]

REFUSALS_PER_ADDRESS: Final = 300
"""Before an address waits; a hospital's visitors share one, and mistype passcodes."""
STRANGERS_SECONDS: Final = 900
_ADDRESSES: Final = 1_000
"""Addresses that are told apart at once; what comes from others then is counted in one row."""
_NETWORK: Final = 64
"""Bits of an IPv6 address that name a network: the rest is whoever's in it to choose."""


class Strangers:
    """Counts refusals by address.

    Parameters
    ----------
    audit
        Where they are written.
    monotonic
        Seconds that never go back.
    """

    def __init__(self, audit: AuditTrail, monotonic: Callable[[], float] = system_monotonic) -> None:
        self._audit = audit
        self._monotonic = monotonic
        self._refused: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, address: str | None) -> None:
        """Raise `TooManyRequestsError` if an address was refused too often of late.

        Told before anything is looked up, so that it tells nothing.
        """
        at = self._monotonic()
        since, number = self._refused.get(_network(address), (at, 0))
        if number >= REFUSALS_PER_ADDRESS and at - since < STRANGERS_SECONDS:
            raise TooManyRequestsError(
                "Too many requests from this address were refused. Wait before the next one.",
                retry_after=int(STRANGERS_SECONDS - (at - since)) + 1,
            )

    async def record(self, use: Use, *, names: bool) -> None:
        """Commit a refusal, or count it where the same was committed of late.

        Parameters
        ----------
        use
            The refusal.
        names
            Whether its subject was shown to be known to the caller, so that refusals of each subject have a row of
            their own; otherwise those of one address share a row, which names the subject that was asked for first.

        Raises
        ------
        DatabaseUnavailableError
            If it could not be committed: then the answer must not go out.
        """
        at, network = self._monotonic(), _network(use.source_address)
        while self._refused and at - next(iter(self._refused.values()))[0] >= STRANGERS_SECONDS:
            self._refused.popitem(last=False)
        known = self._refused.get(network)
        if known is None and len(self._refused) >= _ADDRESSES:
            await self._audit.record_repeated(replace(use, source_address=None, subject=None), key=(use.reason,))
            return
        since, number = known or (at, 0)
        # Kept in the order in which they began.
        self._refused[network] = (since, number + 1)
        await self._audit.record_repeated(use, key=(network, use.reason, use.subject if names else None))


def _network(address: str | None) -> str:
    """Return under what an address is counted."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed), _NETWORK), strict=False))
