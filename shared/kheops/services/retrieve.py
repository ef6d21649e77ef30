"""WADO-RS: what the caller may read, from the store.

Each way in is the same: scope, facts, decision, record, and only then the store. What the policy has not made into a
`ReadableSeries` or `ReadableInstance` cannot be asked for.
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.media_types import Choice, Framing
from kheops.domain.policy import Denied, read_whole
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.ids import StudyInstanceUID
from kheops.services.denials import refuse
from kheops.services.joined_metadata import MetadataAnswer, join_metadata
from kheops.services.joined_parts import join, one
from kheops.services.reading import Asked
from kheops.services.reading_grants import GrantedInstance, ReadingGrants
from kheops.services.series_instances import GrantedSeries, SeriesInstances, mark_dirty
from kheops.services.single_object import pass_on
from kheops.services.store_answers import Renamed, object_type
from kheops.services.validators import tagged, validator_of
from kheops.storage import catalog_contents
from kheops.storage.engine import Database

__all__ = ["Retrieval", "Way"]

_MULTIPART: Final = re.compile(r'multipart/related; type="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Way:
    """How an object is to come."""

    choice: Choice
    """What was chosen from what the caller accepts."""
    fitting: Callable[[str], Choice]
    """Chooses anew, given the stored transfer syntax (empty if not known), for a store that is not to transcode."""
    known: frozenset[str] = frozenset()
    """Validators of what they have, without ``W/``."""


class Retrieval:
    """Retrieves from the store what the policy permits.

    Every method that opens something raises, besides what it names itself: `ForbiddenError` if the token or the role
    in the album asked for does not include reading; `AlbumNotFoundError` if that album is hidden or absent;
    `NotFoundError` if the object is; `NotAcceptableError` if the store cannot give it as asked; `UnavailableError`
    if the store or the database does not answer; `ArchiveProtocolError` if the store answered nonsense. The use is
    recorded before anything of the object is given out.

    Parameters
    ----------
    database
        Where roles and the catalog are.
    grants
        Decides, and records each use.
    archive
        The store.
    transcodes
        Whether the store is asked for another transfer syntax than the stored one.
    """

    def __init__(self, *, database: Database, grants: ReadingGrants, archive: Archive, transcodes: bool) -> None:
        self._transcodes = transcodes
        self._database = database
        self._grants = grants
        self._archive = archive
        self._instances = SeriesInstances(database, archive)

    # Instances -------------------------------------------------------------------------------------------------

    async def study(self, asked: Asked, study: StudyInstanceUID, way: Way) -> ArchiveStream:
        """Open the confirmed instances of all series of a study that the caller sees, as one multipart body."""
        _whole_is_permitted(asked)
        series = await self._grants.study(asked, study)
        return await self._joined(asked, series, self._fitting(None, way))

    async def series(self, asked: Asked, ref: SeriesRef, way: Way) -> ArchiveStream:
        """Open the confirmed instances of a series as one multipart body."""
        _whole_is_permitted(asked)
        series = await self._grants.series(asked, ref)
        return await self._joined(asked, [series], self._fitting(None, way))

    async def instance(self, asked: Asked, ref: InstanceRef, way: Way) -> ArchiveStream:
        """Open one instance."""
        granted = await self._grants.instance(asked, ref)
        choice = self._fitting(granted, way)

        async def opening() -> ArchiveStream:
            if choice.framing is Framing.SINGLE_PART:
                return _renamed(await self._archive.open_instance(granted.ref, accept=_single(choice)), choice)
            answer = await self._archive.open_instance(granted.ref, accept=choice.store_accept)
            return await pass_on(answer, media_type=choice.media_type)

        return await tagged(validator_of(granted.sha256, choice), way.known, opening)

    async def frames(self, asked: Asked, ref: InstanceRef, frames: Sequence[int], way: Way) -> ArchiveStream:
        """Open frames of one instance, in the order given; one that does not exist is `NotFoundError`."""
        granted = await self._grants.instance(asked, ref)
        choice = self._fitting(granted, way)

        async def opening() -> ArchiveStream:
            if choice.framing is Framing.SINGLE_PART:
                return _renamed(await self._archive.open_frames(granted.ref, frames, accept=_single(choice)), choice)
            asking = partial(self._archive.open_frames, granted.ref, frames, accept=choice.store_accept)
            if len(frames) == 1:
                return await pass_on(await asking(), media_type=choice.media_type)
            return await join(one(asking), media_type=choice.media_type)

        return await tagged(validator_of(granted.sha256, choice, *frames), way.known, opening)

    async def bulkdata(
        self, asked: Asked, ref: InstanceRef, path: str, way: Way, *, byte_range: str | None
    ) -> ArchiveStream:
        """Open one bulk data value.

        Parameters
        ----------
        asked
            Who asks.
        ref
            The instance.
        path
            What stands behind ``/bulkdata/``, as the metadata gave it out.
        way
            How the answer is framed, and what the caller has already.
        byte_range
            A valid ``Range`` of one part, or ``None``. It counts for a single body only, and the store may ignore
            it.
        """
        granted = await self._grants.instance(asked, ref)
        choice = self._fitting(granted, way)

        async def opening() -> ArchiveStream:
            if choice.framing is Framing.SINGLE_PART:
                accept = _single(choice)
                stream = await self._archive.open_bulkdata(granted.ref, path, accept=accept, byte_range=byte_range)
                return _renamed(stream, choice)
            accept = choice.store_accept
            asking = partial(self._archive.open_bulkdata, granted.ref, path, accept=accept, byte_range=None)
            return await join(one(asking), media_type=choice.media_type)

        return await tagged(validator_of(granted.sha256, choice, path), way.known, opening)

    def _fitting(self, granted: GrantedInstance | None, way: Way) -> Choice:
        """Return the choice, made anew for a store that is not to transcode, if it names a transfer syntax.

        Raises
        ------
        NotAcceptableError
            If the object is not stored as asked. Only who may read it is told.
        """
        if self._transcodes or not way.choice.names_syntax:
            return way.choice
        stored = None if granted is None else granted.transfer_syntax_uid
        return way.fitting(stored or "")

    # Metadata --------------------------------------------------------------------------------------------------

    async def study_metadata(self, asked: Asked, study: StudyInstanceUID, *, api_root: str) -> ArchiveStream:
        """Open the metadata of a study's visible series as one JSON array; links in it start with ``api_root``."""
        series = await self._grants.study(asked, study)
        return await join_metadata(self._metadata_of(series), archive=self._archive, api_root=api_root)

    async def series_metadata(self, asked: Asked, ref: SeriesRef, *, api_root: str) -> ArchiveStream:
        """Open the metadata of a series as a JSON array; links in it start with ``api_root``."""
        series = await self._grants.series(asked, ref)
        return await join_metadata(self._metadata_of([series]), archive=self._archive, api_root=api_root)

    async def instance_metadata(self, asked: Asked, ref: InstanceRef, *, api_root: str) -> ArchiveStream:
        """Open the metadata of an instance as a JSON array of one; links in it start with ``api_root``."""
        instance = (await self._grants.instance(asked, ref)).ref

        async def answers() -> AsyncGenerator[MetadataAnswer, None]:
            stream = await self._archive.open_instance_metadata(instance)
            yield MetadataAnswer(stream, instance.series, frozenset({instance.sop_instance_uid}))

        return await join_metadata(answers(), archive=self._archive, api_root=api_root)

    # Opening ---------------------------------------------------------------------------------------------------

    async def _joined(self, asked: Asked, series: Sequence[GrantedSeries], choice: Choice) -> ArchiveStream:
        async def answers() -> AsyncGenerator[ArchiveStream, None]:
            for each in series:
                async for answer in self._instances.open(asked.principal, each, accept=choice.store_accept):
                    yield answer

        return await join(answers(), media_type=choice.media_type)

    async def _metadata_of(self, series: Sequence[GrantedSeries]) -> AsyncGenerator[MetadataAnswer, None]:
        for each in series:
            try:
                stream = await self._archive.open_series_metadata(each.ref)
            except ArchiveAbsentError:
                await mark_dirty(self._database, each.ref)
                continue
            try:
                contents = await self._database.run(partial(catalog_contents.contents_of_series, ref=each.ref))
            except BaseException:
                stream.abort()
                raise
            yield MetadataAnswer(stream, each.ref, frozenset(contents.confirmed))


def _whole_is_permitted(asked: Asked) -> None:
    denied = read_whole(asked.principal)
    if isinstance(denied, Denied):
        refuse(denied)


def _single(choice: Choice) -> str:
    """Return the Accept for one object as the body itself, of the same types as `Choice.store_accept`."""
    return _MULTIPART.sub(r"\1", choice.store_accept)


def _renamed(stream: ArchiveStream, choice: Choice) -> ArchiveStream:
    try:
        return Renamed(stream, object_type(stream.content_type, asked=choice.media_type))
    except BaseException:
        stream.abort()
        raise
