"""Taking a filled store in: its series come on record, and go to people and albums by rules.

Nothing is kept of how far a run has come but what it did: another run passes over what is somebody's, or was, and does
the rest. What came by another way has no origin, so that nobody can add to it, and the purge leaves it in the store.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection

from kheops.archive.port import Archive
from kheops.clock import Clock
from kheops.domain.named_people import NamedPerson
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import AlbumNotFoundError, BadRequestError, KheopsError, UserNotFoundError
from kheops.ids import AlbumPk, SeriesPk, UserPk
from kheops.observability import get_logger
from kheops.services.dirty_series import CatalogKeeper, read_head
from kheops.services.import_rules import ImportRule
from kheops.services.references import person_of
from kheops.storage import albums, audit, holdings, imports, series_rows
from kheops.storage.engine import Database

__all__ = ["Importing", "Taken"]

_LOG = get_logger(__name__)

_AT_ONCE: Final = 4
_SYSTEM: Final = User(iss=None, sub=None, token_id=None)


@dataclass(slots=True)
class Taken:
    """What a run came to, so far or in all."""

    series: Counter[str] = field(default_factory=Counter)
    """``assigned``; ``unassigned``, on record and nobody's, since no rule takes them; ``kept``, somebody's already,
    or once; ``empty``, without an instance that can be read; ``left``, for the next run, since something failed."""
    expected: int | None = None
    """How many series the store had at the beginning, where it says that."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left for another run."""
        return self.series["left"] == 0


@dataclass(frozen=True, slots=True)
class _Target:
    album: AlbumPk
    by: UserPk | None
    name: str
    """For the audit trail."""


@dataclass(frozen=True, slots=True)
class _Directed:
    rule: ImportRule
    target: _Target


class Importing:
    """Takes in what a store holds.

    Parameters
    ----------
    database, archive, clock
        Where the catalog, the bytes and the time are.
    default_issuer
        The issuer that a bare ``sub`` of a rule means.
    """

    def __init__(self, database: Database, archive: Archive, clock: Clock, *, default_issuer: str) -> None:
        self._database = database
        self._archive = archive
        self._clock = clock
        self._default_issuer = default_issuer
        self._keeper = CatalogKeeper(database, archive, clock)

    async def run(
        self, rules: Sequence[ImportRule], *, is_dry: bool = False, told: Callable[[Taken], None] = lambda _: None
    ) -> Taken:
        """Take in every series of the store. Safe beside uploads, notifications and other runs.

        Parameters
        ----------
        rules
            Who gets what; the first that takes a series counts.
        is_dry
            Only count: nothing is written.
        told
            Called after each series.

        Raises
        ------
        BadRequestError
            If a rule names nobody in good standing, or no album; before anything is done.
        ArchiveUnavailableError, ArchiveProtocolError
            If the store cannot be listed any further.
        """
        directed = await self._database.run(partial(self._directed, rules=rules))
        take = self._try if is_dry else self._take
        result = Taken(expected=await self._archive.count_series())
        queue: asyncio.Queue[SeriesRef] = asyncio.Queue(_AT_ONCE)

        async def work() -> None:
            while True:
                ref = await queue.get()
                try:
                    result.series[await take(ref, directed)] += 1
                except KheopsError as error:
                    # One that cannot be taken in now must not keep the others from being.
                    _LOG.warning("import.left", error=type(error).__name__)
                    result.series["left"] += 1
                told(result)
                queue.task_done()

        workers = [asyncio.create_task(work()) for _ in range(_AT_ONCE)]
        feeding = asyncio.create_task(self._feed(queue))
        try:
            await asyncio.wait([feeding, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
            await feeding
        finally:
            for each in (feeding, *workers):
                each.cancel()
            await asyncio.gather(feeding, *workers, return_exceptions=True)
        return result

    async def _feed(self, queue: asyncio.Queue[SeriesRef]) -> None:
        async for ref in self._archive.list_series():
            await queue.put(ref)
        await queue.join()

    def _directed(self, tx: Connection, rules: Sequence[ImportRule]) -> list[_Directed]:
        """Return each rule with its target."""
        return [_Directed(rule, self._target(tx, rule)) for rule in rules]

    def _target(self, tx: Connection, rule: ImportRule) -> _Target:
        if rule.user is not None:
            named = NamedPerson(rule.user, rule.issuer)
            try:
                person = person_of(tx, named, default_issuer=self._default_issuer)
            except UserNotFoundError:
                raise BadRequestError(f"Nobody in good standing answers to {rule.user!r}, or several do.") from None
            return _Target(person.inbox, person.user, person.sub)
        key = None if rule.album is None else imports.find_album_key(tx, rule.album)
        if rule.album is None or key is None:
            raise BadRequestError(f"There is no album {rule.album}.")
        return _Target(key, None, rule.album)

    async def _take(self, ref: SeriesRef, directed: Sequence[_Directed]) -> str:
        pk = await self._database.run(partial(self._record, ref=ref))
        if pk is None:
            return "kept"
        await self._keeper.keep(pk)
        seen = await self._database.run(partial(imports.find_unclaimed, ref=ref))
        if seen is None:
            return "kept"
        if seen.instances == 0:
            return "empty"
        target = _chosen(directed, seen.attributes)
        if target is None:
            return "unassigned"
        return await self._database.run(partial(self._assign, ref=ref, target=target))

    def _record(self, tx: Connection, ref: SeriesRef) -> SeriesPk | None:
        """Put a series on record as nobody's; ``None`` if it is somebody's, or was, or is being stored or deleted."""
        if not imports.is_on_record(tx, ref):
            series_rows.lock_study(tx, ref.study_instance_uid)
            series_rows.catalog_orphan(tx, ref, self._clock())
        unclaimed = imports.find_unclaimed(tx, ref)
        return None if unclaimed is None else unclaimed.pk

    def _assign(self, tx: Connection, ref: SeriesRef, target: _Target) -> str:
        # Whoever locks an album and a series locks the album first.
        if not albums.lock_album(tx, target.album):
            raise AlbumNotFoundError
        unclaimed = imports.find_unclaimed(tx, ref)
        if unclaimed is None:
            return "kept"
        at = self._clock()
        holdings.add_series(tx, album=target.album, series_pk=unclaimed.pk, by=target.by, at=at)
        audit.insert_use(tx, _use(ref, target), at)
        return "assigned"

    async def _try(self, ref: SeriesRef, directed: Sequence[_Directed]) -> str:
        """Return what would become of a series, from the catalog or from one of its files."""
        unclaimed = await self._database.run(partial(imports.find_unclaimed, ref=ref))
        if unclaimed is None and await self._database.run(partial(imports.is_on_record, ref=ref)):
            return "kept"
        if unclaimed is not None and unclaimed.instances > 0:
            attributes: Mapping[str, str] | None = unclaimed.attributes
        else:
            attributes = await self._attributes(ref)
        if attributes is None:
            return "empty"
        return "unassigned" if _chosen(directed, attributes) is None else "assigned"

    async def _attributes(self, ref: SeriesRef) -> Mapping[str, str] | None:
        """Return the attributes of a series by its first file that can be read; ``None`` if there is none."""
        for uid in sorted(await self._archive.inspect_series(ref)):
            head = await read_head(self._archive, InstanceRef(ref.study_instance_uid, ref.series_instance_uid, uid))
            if head is not None:
                return {**head.patient_study, **head.series}
        return None


def _chosen(directed: Sequence[_Directed], attributes: Mapping[str, str]) -> _Target | None:
    return next((each.target for each in directed if each.rule.takes(attributes)), None)


def _use(ref: SeriesRef, target: _Target) -> Use:
    return Use(
        user=_SYSTEM,
        kind=UseKind.SHARE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="import",
        reason="import",
        subject=target.name,
        studies=(ref.study_instance_uid,),
        series=(ref.series_instance_uid,),
    )
