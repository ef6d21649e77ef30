"""Bringing series that were marked dirty in step with the store (design: events)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from kheops.archive.port import Archive, ArchiveAbsentError
from kheops.clock import Clock
from kheops.dicomweb.part10 import Head, Part10Scanner, UnreadableDicomError
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import KheopsError
from kheops.ids import SeriesPk, SopInstanceUID
from kheops.observability import get_logger
from kheops.storage import audit, dirty_series
from kheops.storage.dirty_series import DirtySeries, FoundInstance
from kheops.storage.engine import Database

__all__ = ["CatalogKeeper", "InStep", "read_head"]

_LOG = get_logger(__name__)

_AT_ONCE: Final = 100
"""Instances that one transaction changes, and one row of the audit trail names."""
_SYSTEM: Final = User(iss=None, sub=None, token_id=None)


@dataclass(slots=True)
class InStep:
    """What one run did."""

    instances: Counter[str] = field(default_factory=Counter)
    """By what became of them: added, dropped, left (unreadable in the store, or on record elsewhere)."""
    series: int = 0
    """Series that were compared to their end."""
    unanswered: int = 0
    """Series about which the store could not say everything; the next run asks again."""


@dataclass(slots=True)
class _Comparison:
    """A series under comparison."""

    dirty: DirtySeries
    version: str
    is_undisturbed: bool = True
    """Whether nobody else has written the row since it was looked at, so that the mark may go."""


class CatalogKeeper:
    """Brings the catalog in step with the store, series by series.

    What the store holds and the catalog does not is put on record, and seen by whoever holds the series; what is on
    record and confirmed missing, by a direct read besides the search, is dropped. Instances that are being stored, or
    were withheld because their uploader had lost the right, are left alone. Who holds a series never changes.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock) -> None:
        self._database = database
        self._archive = archive
        self._clock = clock

    async def run(self) -> InStep:
        """Compare every marked series. Safe beside uploads, deletions and other runs.

        What the store told of, or a retrieval found to differ, comes before what only has its turn to be compared,
        also where it is marked while those are being compared. A mark on a series that was passed is the next run's.
        """
        result = InStep()
        after = {False: SeriesPk(0), True: SeriesPk(0)}
        while (found := await self._next(after)) is not None:
            by_turn, dirty = found
            after[by_turn] = dirty.pk
            try:
                await self._compare(_Comparison(dirty, dirty.version), result)
                result.series += 1
            except KheopsError as error:
                # One series that cannot be compared now must not keep the others from being.
                _LOG.warning("reconcile.left", error=type(error).__name__)
                result.unanswered += 1
        if result.instances:
            _LOG.info("catalog.in_step", **dict(result.instances), series=result.series)
        return result

    async def _next(self, after: Mapping[bool, SeriesPk]) -> tuple[bool, DirtySeries] | None:
        for by_turn in (False, True):
            look = partial(dirty_series.list_dirty, by_turn=by_turn, after=after[by_turn])
            dirty = await self._database.run(look)
            if dirty is not None:
                return by_turn, dirty
        return None

    async def keep(self, series: SeriesPk) -> None:
        """Compare one series, if it is marked, as `run` does.

        Raises
        ------
        KheopsError
            If the store could not say everything; the series stays marked.
        """
        dirty = await self._database.run(partial(dirty_series.find_dirty, series=series))
        if dirty is not None:
            await self._compare(_Comparison(dirty, dirty.version), InStep())

    async def _compare(self, comparison: _Comparison, result: InStep) -> None:
        dirty = comparison.dirty
        found = await self._archive.inspect_series(dirty.ref)
        for uids in _slices(found - dirty.confirmed - dirty.reserved):
            heads = [await read_head(self._archive, _instance_of(dirty.ref, uid)) for uid in uids]
            known = [_found(head) for head in heads if head is not None]
            added = await self._database.run(partial(self._add, comparison=comparison, found=known))
            result.instances.update(added=added, left=len(uids) - added)
        for uids in _slices(dirty.confirmed - found):
            missing = [uid for uid in uids if not await self._archive.inspect_instance(_instance_of(dirty.ref, uid))]
            dropped = await self._database.run(partial(self._drop, comparison=comparison, missing=missing))
            result.instances.update(dropped=dropped)
        result.instances += Counter()  # leaves out what is zero
        await self._database.run(partial(self._finish, comparison=comparison))

    def _add(self, tx: Connection, comparison: _Comparison, found: Sequence[FoundInstance]) -> int:
        if not found or not self._lock(tx, comparison):
            return 0
        added = dirty_series.add_found(tx, comparison.dirty.pk, found, self._clock())
        self._record(tx, comparison, added, "added")
        return len(added)

    def _drop(self, tx: Connection, comparison: _Comparison, missing: Sequence[SopInstanceUID]) -> int:
        if not missing or not self._lock(tx, comparison):
            return 0
        dropped = dirty_series.drop_missing(tx, comparison.dirty.pk, missing, self._clock())
        self._record(tx, comparison, dropped, "dropped")
        return len(dropped)

    def _finish(self, tx: Connection, comparison: _Comparison) -> None:
        if self._lock(tx, comparison) and comparison.is_undisturbed:
            dirty_series.clear_dirty(tx, comparison.dirty.pk)

    @staticmethod
    def _lock(tx: Connection, comparison: _Comparison) -> bool:
        """Lock the series and note whether somebody else wrote it; return whether it is still to be kept in step."""
        version = dirty_series.lock_version(tx, comparison.dirty.pk)
        if version != comparison.version:
            comparison.is_undisturbed = False
        return version is not None

    def _record(
        self, tx: Connection, comparison: _Comparison, changed: frozenset[SopInstanceUID], reason: str
    ) -> None:
        if not changed:
            return
        ref = comparison.dirty.ref
        use = Use(
            user=_SYSTEM,
            kind=UseKind.RECONCILE,
            outcome=Outcome.GRANTED,
            source_address=None,
            request_id="reconcile",
            reason=reason,
            studies=(ref.study_instance_uid,),
            series=(ref.series_instance_uid,),
            instances=tuple(sorted(changed)),
        )
        audit.insert_use(tx, use, self._clock())
        # The row has been written by ourselves: from here on that version counts.
        version = dirty_series.lock_version(tx, comparison.dirty.pk)
        assert version is not None
        comparison.version = version


async def read_head(archive: Archive, ref: InstanceRef) -> Head | None:
    """Read a stored file as far as its head; ``None`` if it is gone, unreadable or another object's."""
    scanner = Part10Scanner()
    try:
        stream = await archive.inspect_bytes(ref)
        try:
            async for chunk in stream.chunks():
                scanner.feed(chunk)
                if scanner.head_complete:
                    break
        finally:
            stream.abort()
        head = scanner.head()
    except (ArchiveAbsentError, UnreadableDicomError):
        return None
    is_ours = InstanceRef(head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid) == ref
    return head if is_ours else None


def _found(head: Head) -> FoundInstance:
    return FoundInstance(head.sop_instance_uid, {**head.patient_study, **head.series}, head.instance)


def _instance_of(series: SeriesRef, uid: SopInstanceUID) -> InstanceRef:
    return InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)


def _slices(uids: Iterable[SopInstanceUID]) -> Iterable[list[SopInstanceUID]]:
    rest = iter(sorted(uids))
    while piece := list(islice(rest, _AT_ONCE)):
        yield piece
