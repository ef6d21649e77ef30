"""Writing the audit trail so that no first use is ever lost (design: audit).

A refusal and the first use per (user, token, series, kind) in fifteen minutes are committed before the first byte of
the answer goes out. Repetitions are counted in memory and added to that row every ten seconds and at shutdown: a
crash may lose counts, never the fact.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Final

from kheops.clock import Clock
from kheops.domain.uses import Outcome, Use
from kheops.errors import UnavailableError
from kheops.observability import get_logger
from kheops.storage import audit
from kheops.storage.engine import Database

__all__ = ["AuditTrail"]

_LOG = get_logger(__name__)

_WINDOW: Final = timedelta(minutes=15)
_FLUSH_SECONDS: Final = 10
_REMEMBERED: Final = 20_000
"""Keys remembered at most, some 300 bytes each; forgetting one costs a second row, never a missing one."""

_Key = bytes
"""A digest: a search names up to a thousand UIDs, and keys are kept for a quarter of an hour."""


class AuditTrail:
    """Records uses.

    Parameters
    ----------
    database
        Where the rows go.
    clock
        The current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._windows: OrderedDict[_Key, tuple[datetime, int]] = OrderedDict()
        self._pending: dict[_Key, asyncio.Future[int]] = {}
        self._counts: dict[int, int] = {}
        self._flusher: asyncio.Task[None] | None = None

    async def record(self, use: Use) -> None:
        """Commit ``use``, or count it where the same was committed in the last fifteen minutes.

        Raises
        ------
        DatabaseUnavailableError
            If it could not be committed: then the answer must not go out.
        """
        if use.outcome is not Outcome.GRANTED:
            await self._commit(use)
            return
        user, uids = use.user, "\\".join(use.series or use.studies)
        key = _key(user.iss, user.sub, user.token_id, user.acting_party, use.kind, uids, use.subject)
        await self._record_once(use, key)

    async def record_repeated(self, use: Use, *, key: tuple[object, ...]) -> None:
        """Commit ``use`` whatever its outcome, or count it where the same was committed in the last fifteen minutes.

        For refusals that anybody can cause without end.

        Parameters
        ----------
        use
            The use; of repeated ones, only their number is kept.
        key
            What makes it the same, besides its kind and outcome.

        Raises
        ------
        DatabaseUnavailableError
            If it could not be committed: then the answer must not go out.
        """
        await self._record_once(use, _key("repeated", use.kind, use.outcome, *key))

    async def _record_once(self, use: Use, key: _Key) -> None:
        at = self._clock()
        self._forget_before(at - _WINDOW)
        window = self._windows.get(key)
        if window is not None and at - window[0] < _WINDOW:
            self._counts[window[1]] = self._counts.get(window[1], 0) + 1
            return
        pending = self._pending.get(key)
        if pending is not None:
            row = await asyncio.shield(pending)
            self._counts[row] = self._counts.get(row, 0) + 1
            return
        await self._first(key, use, at)

    async def aclose(self) -> None:
        """Write the counts that are left."""
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
        await self._flush()

    async def _first(self, key: _Key, use: Use, at: datetime) -> None:
        pending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending[key] = pending
        try:
            row = await self._commit(use)
        except BaseException as error:
            # Whoever waits for this row asks again by their own request; nobody may take it for written.
            pending.set_exception(UnavailableError() if isinstance(error, asyncio.CancelledError) else error)
            pending.exception()
            raise
        else:
            pending.set_result(row)
            self._windows[key] = (at, row)
            self._windows.move_to_end(key)
            while len(self._windows) > _REMEMBERED:
                self._windows.popitem(last=False)
        finally:
            del self._pending[key]
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_forever(), name="audit-flush")

    def _forget_before(self, moment: datetime) -> None:
        while self._windows:
            key = next(iter(self._windows))
            if self._windows[key][0] > moment:
                return
            del self._windows[key]

    async def _commit(self, use: Use) -> int:
        return await self._database.run(partial(audit.insert_use, use=use, at=self._clock()))

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self._flush()
            except Exception:  # noqa: BLE001 - the next flush tries again; counts are no reason to stop
                _LOG.exception("audit.flush_failed")

    async def _flush(self) -> None:
        counts, self._counts = self._counts, {}
        if not counts:
            return
        work: Callable[..., None] = partial(audit.count_more, counts=counts, at=self._clock())
        try:
            await self._database.run(work)
        except UnavailableError:
            _LOG.warning("audit.counts_kept", rows=len(counts))
            for row, number in counts.items():
                self._counts[row] = self._counts.get(row, 0) + number


def _key(*parts: object) -> _Key:
    # Only the last of them may hold a NUL, so that no two keys are written alike.
    return sha256(
        "\0".join("" if part is None else str(part) for part in parts).encode(errors="surrogatepass")
    ).digest()
