"""Restoring the database from a backup without reviving what was revoked since: mark, replay, reconcile, finish."""

import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from kheops.clock import Clock
from kheops.domain.grant_log import GrantEntity, GrantLine, parse_line
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import BadRequestError, ConflictError
from kheops.storage import audit, restoration, restored_grants
from kheops.storage.engine import Database
from kheops.storage.restoration import Restoration

__all__ = ["Replayed", "Restoring"]

_PAGE: Final = 200
_NOT_BEGUN: Final = "No restoration has begun: `kheops restore begin` comes first."


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    lines: int
    """Lines after the restored point."""
    unrestored: int
    """Things that could not be had back, since what they belong to is not there."""


class Restoring:
    """Restores a database.

    Parameters
    ----------
    database, clock
        What is restored, and the current time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self) -> Restoration:
        """Let nothing be served from the database until `finish`, and end everything that was handed out.

        Returns
        -------
        Restoration
            Where the log has to be replayed from; called again, it changes nothing and says how far it has come.
        """
        at = self._clock()
        timeline = f"{at:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"

        def work(tx: Connection) -> Restoration:
            if restoration.begin(tx, timeline=timeline, at=at):
                audit.insert_use(tx, _use("begun"), at)
            found = restoration.standing(tx)
            assert found is not None
            return found

        return await self._database.run(work)

    async def replay(
        self, log: Iterable[str], *, with_timelines: Collection[str], without_timelines: Collection[str], gaps: bool
    ) -> Replayed:
        """Read a log of changes of grants, and apply what it has after the restored point.

        Lines that were read before are passed over, so a run that ended in between is made good by another, and a
        longer log adds what it has more. Nothing is applied before all of the log is read and found whole; of a log
        that is refused nothing is kept.

        Parameters
        ----------
        log
            Lines, see `kheops.domain.grant_log.parse_line`.
        with_timelines, without_timelines
            Which later timelines were of the installation, and which of copies of it, such as that of a drill.
        gaps
            Whether a log is taken that lacks lines, or was altered.

        Raises
        ------
        BadRequestError
            If a line cannot be read.
        ConflictError
            If none has begun, the log does not fit this database or is not whole, or has timelines that neither
            collection names.
        """
        known = await self._standing()
        try:
            await self._keep(log, known, frozenset(with_timelines), frozenset(without_timelines), gaps=gaps)
        except (BadRequestError, ConflictError):
            # Or an altered line, and one of a copy, would be kept in the place of what the right log has.
            await self._database.run(restoration.discard)
            raise
        unrestored = await self._apply()
        await self._database.run(partial(restoration.mark_replayed, at=self._clock()))
        return Replayed(lines=(await self._standing()).staged, unrestored=unrestored)

    async def require_begun(self) -> None:
        """Refuse what belongs to a restoration where none has begun.

        Raises
        ------
        ConflictError
            If none has.
        """
        await self._standing()

    async def finish(self) -> None:
        """Let the database be served again.

        Raises
        ------
        ConflictError
            If none has begun, the log was not replayed to its end, or the catalog was not compared with the store.
        """

        def work(tx: Connection) -> None:
            found = restoration.standing(tx)
            if found is None:
                raise ConflictError(_NOT_BEGUN)
            if found.replayed_at is None or found.unapplied:
                raise ConflictError("The log is not replayed: `kheops restore replay` comes first.")
            if found.differing:
                raise ConflictError(
                    f"{found.differing} series or instances are not compared with the store: "
                    "`kheops restore reconcile` comes first."
                )
            restoration.finish(tx)
            audit.insert_use(tx, _use("finished"), self._clock())

        await self._database.run(work)

    async def _standing(self) -> Restoration:
        found = await self._database.run(restoration.standing)
        if found is None:
            raise ConflictError(_NOT_BEGUN)
        return found

    async def _keep(
        self,
        log: Iterable[str],
        known: Restoration,
        with_timelines: frozenset[str],
        without_timelines: frozenset[str],
        *,
        gaps: bool,
    ) -> None:
        """Keep what the log has after the restored point, and look whether it is whole and the installation's."""
        is_anchored = await self._read(log, known, without=without_timelines)
        timelines = await self._database.run(restoration.staged_timelines)
        unnamed = sorted(frozenset(timelines) - {known.timeline} - with_timelines)
        if unnamed:
            raise ConflictError(
                f"The log has lines of databases that were restored later: {', '.join(unnamed)}. Name each by "
                "--timeline if the installation worked on it, or by --not-timeline if it was a copy."
            )
        if not gaps:
            if not is_anchored:
                raise ConflictError(
                    f"The log does not have line {known.number} of timeline {known.timeline}, the last one before the "
                    "restored point, or another one in its place."
                )
            fault = await self._database.run(partial(restoration.verify, known=known))
            if fault is not None:
                raise ConflictError(f"{fault} Get the whole log, or take it as it is by --accept-gaps.")

    async def _read(self, log: Iterable[str], known: Restoration, *, without: frozenset[str]) -> bool:
        """Keep the lines after the restored point; return whether the one at it was there, as it is on record."""
        is_anchored = known.number == 0 or known.staged > 0
        pending: list[GrantLine] = []
        rest = _decoded(log)
        while lines := list(islice(rest, _PAGE)):
            for text_of_line in lines:
                line = parse_line(text_of_line)
                if line is None or line.timeline in without:
                    continue
                if (line.timeline, line.number) == (known.timeline, known.number):
                    is_anchored = line.digest == known.digest
                elif (line.timeline, line.number) > (known.timeline, known.number):
                    pending.append(line)
            await self._database.run(partial(restoration.stage, lines=pending))
            pending = []
        return is_anchored

    async def _apply(self) -> int:
        while await self._database.run(self._ends):
            pass
        unrestored = 0
        for entity in restored_grants.FINAL_ORDER:
            after: str | None = ""
            while after is not None:
                after, left = await self._database.run(partial(self._final, entity=entity, after=after))
                unrestored += left
        return unrestored

    def _ends(self, tx: Connection) -> int:
        return restored_grants.apply_ends(tx, at=self._clock(), limit=_PAGE)

    def _final(self, tx: Connection, entity: GrantEntity, after: str) -> tuple[str | None, int]:
        return restored_grants.apply_final(tx, entity, after=after, at=self._clock(), limit=_PAGE)


def _decoded(log: Iterable[str]) -> Iterator[str]:
    try:
        yield from log
    except UnicodeDecodeError:
        raise BadRequestError("The log is not UTF-8 text; one that is compressed must be unpacked first.") from None


def _use(reason: str) -> Use:
    return Use(
        user=User(iss=None, sub=None, token_id=None),
        kind=UseKind.RESTORATION,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="restoration",
        reason=reason,
    )
