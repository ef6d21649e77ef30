"""Rendered resources and thumbnails (PS3.18 section 10.4.1.1): what an object shows, of what the caller may read.

A store is asked for one instance or frame only, and only for objects that show nothing of others: what it makes of a
study, a series or a presentation state would be of all that it has. Which instance stands for a study or series is
chosen here, among those that the caller sees.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from kheops.archive.port import Archive, ArchiveAbsentError, ArchiveStream
from kheops.dicomweb.media_types import Accept, Framing, negotiate_rendered
from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head
from kheops.dicomweb.renderable import Renderable, renderable
from kheops.dicomweb.rendering import RenderingName, RenderingParameters, Viewport
from kheops.dicomweb.resources import Frames, Series, SopInstance, Study
from kheops.domain.policy import Denied, ReadableInstance, read_instance
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import BadQueryParameterError, NotAcceptableError, NotFoundError
from kheops.services.denials import refuse
from kheops.services.encapsulated import open_encapsulated
from kheops.services.joined_body import JoinedBody
from kheops.services.pictures import Pictures
from kheops.services.reading import Asked
from kheops.services.reading_grants import ReadingGrants
from kheops.services.series_instances import GrantedSeries
from kheops.services.store_answers import Renamed
from kheops.storage import renderable_instances
from kheops.storage.engine import Database
from kheops.storage.renderable_instances import RenderableInstance

__all__ = ["Rendering"]

_JPEG: Final = "image/jpeg"
_STORED_FILE: Final = "application/dicom; transfer-syntax=*"
_INSTEAD: Final = ["application/dicom by retrieving the instance"]
"""What there is of an object that shows nothing by itself."""
_THUMBNAIL: Final = Viewport(128, 128)
_MOST_THUMBNAIL: Final = 512
"""Pixels of a side of a thumbnail."""
_THUMBNAIL_QUALITY: Final = 80
_QUALITY: Final = 90
"""Of pictures that we scale where the caller names none."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """An instance that is shown, and what the catalog has of it."""

    ref: ReadableInstance
    known: RenderableInstance

    @property
    def shows(self) -> Renderable:
        """What it shows; raises `NotAcceptableError` if that is nothing."""
        found = renderable(sop_class_uid=self.known.sop_class_uid, transfer_syntax_uid=self.known.transfer_syntax_uid)
        if found is None:
            raise NotAcceptableError(_INSTEAD)
        return found

    def frame(self, number: int) -> int | None:
        """Return how the store is asked for a frame; raise `NotFoundError` if there is none of that number."""
        count = self.known.number_of_frames or 1
        if number > count:
            raise NotFoundError
        return number if count > 1 else None


class Rendering:
    """Shows what the policy permits.

    `rendered` and `thumbnail` raise `ForbiddenError` if the token or the role in the album asked for does not include
    reading; `AlbumNotFoundError` if that album is hidden or absent; `NotFoundError` if the object or frame is;
    `BadQueryParameterError` if the region asked for is not in it; `NotAcceptableError` if it shows nothing, or nothing
    that is accepted; `UnavailableError` if the store or the
    database does not answer; `ArchiveProtocolError` if the store answered nonsense. The use of the one instance that
    is shown is recorded before anything of it is given out.

    Parameters
    ----------
    database
        Where the catalog is.
    grants
        Decides, and records each use.
    archive
        The store.
    """

    def __init__(self, *, database: Database, grants: ReadingGrants, archive: Archive) -> None:
        self._database = database
        self._grants = grants
        self._archive = archive
        self._pictures = Pictures()

    def ignored(self, parameters: RenderingParameters) -> Sequence[RenderingName]:
        """Return which of the parameters nobody here knows how to apply."""
        return sorted(parameters.named() - self._archive.renders - {RenderingName.VIEWPORT})

    async def rendered(
        self, asked: Asked, of: Study | Series | SopInstance | Frames, accept: Accept, parameters: RenderingParameters
    ) -> ArchiveStream:
        """Open what an object shows.

        Parameters
        ----------
        asked
            Who asks.
        of
            A study or series is shown by its representative instance, an instance by its first frame. Several frames
            are parts of a multipart body.
        accept
            What the caller accepts.
        parameters
            How it is to look; documents and videos are given as they are.
        """
        subject = await self._subject(asked, of)
        shows = subject.shows
        numbers = of.frames if isinstance(of, Frames) else (1,)
        if shows.element is not None:
            if isinstance(of, Frames):
                raise NotAcceptableError(_INSTEAD)
            choice = negotiate_rendered(accept, shows.media_types)
            stored = await self._archive.open_instance(subject.ref, accept=_STORED_FILE)
            return await open_encapsulated(stored, element=shows.element, content_type=choice.media_type)
        choice = negotiate_rendered(accept, shows.media_types, count=len(numbers))
        frames = [subject.frame(number) for number in numbers]
        parameters = _fitted(parameters, subject.known)
        if choice.framing is Framing.SINGLE_PART:
            return await self._picture(subject.ref, frames[0], choice.media_type, parameters)

        async def answers() -> AsyncGenerator[ArchiveStream, None]:
            for frame in frames:
                yield await self._picture(subject.ref, frame, choice.media_type, parameters)

        return await JoinedBody.begun(answers(), _Parts(choice.media_type))

    async def thumbnail(
        self, asked: Asked, of: Study | Series | SopInstance | Frames, accept: Accept, viewport: Viewport | None
    ) -> ArchiveStream:
        """Return a small JPEG of an object.

        Parameters
        ----------
        asked
            Who asks.
        of
            A study or series is shown by its representative instance, an instance by its middle frame, several frames
            by the first of them.
        accept
            What the caller accepts.
        viewport
            What it has to fit into, 512 pixels a side at most; 128 where it is ``None``.
        """
        subject = await self._subject(asked, of)
        if subject.shows is not Renderable.IMAGE:
            raise NotAcceptableError(list(subject.shows.media_types))
        negotiate_rendered(accept, [_JPEG])
        middle = ((subject.known.number_of_frames or 1) + 1) // 2
        frame = subject.frame(of.frames[0] if isinstance(of, Frames) else middle)
        wanted = viewport or _THUMBNAIL
        size = Viewport(min(wanted.columns, _MOST_THUMBNAIL), min(wanted.rows, _MOST_THUMBNAIL), wanted.region)
        fitted = _fit(size, subject.known, enlarging=False)
        parameters = RenderingParameters(viewport=fitted)
        source = await self._archive.open_rendered(subject.ref, frame, media_type=_JPEG, parameters=parameters)
        left = size if RenderingName.VIEWPORT not in self._archive.renders else replace(size, region=None)
        return await self._pictures.scaled(
            source, left, media_type=_JPEG, quality=_THUMBNAIL_QUALITY, enlarging=False, available=_INSTEAD
        )

    async def _picture(
        self, ref: ReadableInstance, frame: int | None, media_type: str, parameters: RenderingParameters
    ) -> ArchiveStream:
        source = await self._archive.open_rendered(ref, frame, media_type=media_type, parameters=parameters)
        viewport = parameters.viewport
        if viewport is None or RenderingName.VIEWPORT in self._archive.renders:
            return Renamed(source, media_type)
        return await self._pictures.scaled(
            source,
            viewport,
            media_type=media_type,
            quality=parameters.quality or _QUALITY,
            enlarging=True,
            available=_INSTEAD,
        )

    async def _subject(self, asked: Asked, of: Study | Series | SopInstance | Frames) -> _Subject:
        match of:
            case Study(study):
                return await self._representative(asked, await self._grants.find_study(asked, study))
            case Series(study, series):
                granted = await self._grants.find_series(asked, SeriesRef(study, series))
                return await self._representative(asked, [granted])
            case SopInstance(study, series, instance) | Frames(SopInstance(study, series, instance), _):
                ref = (await self._grants.instance(asked, InstanceRef(study, series, instance))).ref
                known = await self._database.run(partial(renderable_instances.describe, ref=ref))
                if known is None:
                    raise NotFoundError
                return _Subject(ref, known)

    async def _representative(self, asked: Asked, granted: Sequence[GrantedSeries]) -> _Subject:
        refs = [each.ref for each in granted]
        known = await self._database.run(partial(renderable_instances.representative, series=refs))
        if known is None:
            raise NotAcceptableError(_INSTEAD)
        facts = next(each.facts for each in granted if each.ref.series_instance_uid == known.series)
        match read_instance(asked.principal, facts, known.instance):
            case Denied() as denied:
                refuse(denied)
            case ref:
                await self._grants.record(asked, ref)
                return _Subject(ref, known)


class _Parts:
    """The `Joiner` of pictures: each answer of the store is a part."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type
        self._boundary = new_boundary()
        self._before = b""

    @property
    def content_type(self) -> str:
        """``multipart/related`` with our boundary."""
        return content_type(self._boundary, part_type=self._media_type)

    def begin(self, answer: ArchiveStream) -> ArchiveStream:
        self._before += part_head(self._boundary, part_type=self._media_type)
        return answer

    async def take(self, chunk: bytes) -> bytes:
        before, self._before = self._before, b""
        return before + chunk

    def end(self) -> None:
        self._before += PART_TAIL

    def close(self) -> bytes:
        if not self._before:
            raise ArchiveAbsentError
        return self._before + closing(self._boundary)


def _fitted(parameters: RenderingParameters, known: RenderableInstance) -> RenderingParameters:
    if parameters.viewport is None:
        return parameters
    return replace(parameters, viewport=_fit(parameters.viewport, known, enlarging=True))


def _fit(viewport: Viewport, known: RenderableInstance, *, enlarging: bool) -> Viewport:
    """Return the size that an image will have, so that stores which fill up a viewport have nothing to fill.

    Raises
    ------
    BadQueryParameterError
        If the region lies outside the image.
    """
    if not known.columns or not known.rows:
        return viewport
    region = viewport.region
    if region is not None and (region.left + region.columns > known.columns or region.top + region.rows > known.rows):
        # Some stores cut such a region down and some refuse it.
        raise BadQueryParameterError("The region of 'viewport' lies outside the image.")
    return viewport.fitted(columns=known.columns, rows=known.rows, enlarging=enlarging)
