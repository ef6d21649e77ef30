"""What of a study, series or instance the caller may read: scope, facts, decision, and the record of the use."""

from dataclasses import dataclass
from functools import partial

from kheops.domain.policy import Denied, ReadableInstance, ReadScope, read_instance, read_series
from kheops.domain.resources import InstanceRef, SeriesFacts, SeriesRef
from kheops.errors import NotFoundError
from kheops.ids import StudyInstanceUID
from kheops.services.audit import AuditTrail
from kheops.services.denials import refuse
from kheops.services.reading import Asked, scope_of
from kheops.services.series_instances import GrantedSeries
from kheops.storage import catalog_contents
from kheops.storage.engine import Database
from kheops.storage.lookup import HotLookup

__all__ = ["GrantedInstance", "ReadingGrants"]


@dataclass(frozen=True, slots=True)
class GrantedInstance:
    """An instance that the caller may read, with what is on record of its file; ``None`` where that is not known."""

    ref: ReadableInstance
    sha256: bytes | None
    transfer_syntax_uid: str | None


class ReadingGrants:
    """Decides about reading.

    Every method raises `ForbiddenError` if the token or the role in the album asked for does not include reading;
    `AlbumNotFoundError` if that album is hidden or absent; `NotFoundError` if the object is.

    Parameters
    ----------
    database
        Where roles and the catalog are.
    lookup
        Finds a series or an instance fast.
    audit
        Takes the record of each use.
    """

    def __init__(self, *, database: Database, lookup: HotLookup, audit: AuditTrail) -> None:
        self._database = database
        self._lookup = lookup
        self._audit = audit

    async def study(self, asked: Asked, study: StudyInstanceUID) -> list[GrantedSeries]:
        """Return the series of a study that the caller sees, and record the use."""
        granted = await self.find_study(asked, study)
        uids = tuple(series.ref.series_instance_uid for series in granted)
        await self._audit.record(asked.use_of(studies=(study,), series=uids))
        return granted

    async def series(self, asked: Asked, ref: SeriesRef) -> GrantedSeries:
        """Return a series, and record the use."""
        granted = await self.find_series(asked, ref)
        use = asked.use_of(studies=(ref.study_instance_uid,), series=(ref.series_instance_uid,))
        await self._audit.record(use)
        return granted

    async def instance(self, asked: Asked, ref: InstanceRef) -> GrantedInstance:
        """Return an instance, and record the use."""
        scope: ReadScope = await scope_of(self._database, asked)
        facts = await self._lookup.instance(scope, ref.series, ref.sop_instance_uid)
        match read_instance(asked.principal, facts.series, facts.confirmed):
            case Denied() as denied:
                refuse(denied)
            case instance:
                await self.record(asked, instance)
                return GrantedInstance(instance, facts.sha256, facts.transfer_syntax_uid)

    async def find_study(self, asked: Asked, study: StudyInstanceUID) -> list[GrantedSeries]:
        """Return the series of a study that the caller sees, one at least; what is used of them is recorded later."""
        scope = await scope_of(self._database, asked)
        found = await self._database.run(partial(catalog_contents.series_of_study, scope=scope, study=study))
        granted = [series for facts in found if (series := _granted(asked, facts)) is not None]
        if not granted:
            raise NotFoundError
        return granted

    async def find_series(self, asked: Asked, ref: SeriesRef) -> GrantedSeries:
        """Return a series; what is used of it is recorded later."""
        scope = await scope_of(self._database, asked)
        granted = _granted(asked, await self._lookup.series(scope, ref))
        if granted is None:
            raise NotFoundError
        return granted

    async def record(self, asked: Asked, instance: ReadableInstance) -> None:
        """Record the use of one instance."""
        use = asked.use_of(
            studies=(instance.study_instance_uid,),
            series=(instance.series_instance_uid,),
            instances=(instance.sop_instance_uid,),
        )
        await self._audit.record(use)


def _granted(asked: Asked, facts: SeriesFacts | None) -> GrantedSeries | None:
    match read_series(asked.principal, facts):
        case Denied():
            return None
        case ref:
            assert facts is not None
            return GrantedSeries(ref, facts)
