"""Attributes of search answers that the catalog does not keep: read from the store, for the rows of a page."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec

from kheops.archive.port import Archive
from kheops.dicomweb.array_splitter import ArraySplitter
from kheops.dicomweb.attributes import Level
from kheops.dicomweb.dicom_json import DataSet, Element
from kheops.domain.policy import Denied, ReadableInstance, ReadScope, read_instance
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveProtocolError, NotFoundError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.observability import get_logger
from kheops.services.reading import Asked, scope_of
from kheops.storage.catalog_examples import examples_of_series, examples_of_studies
from kheops.storage.catalog_search import Found
from kheops.storage.engine import Database
from kheops.storage.lookup import HotLookup

__all__ = ["MOST_ROWS", "StoredAttributes"]

_T = TypeVar("_T")

_LOG = get_logger(__name__)

MOST_ROWS: Final = 100
"""Rows of a page that are read from the store, one request each; of a longer page none is."""
_AT_ONCE: Final = 8
_MOST_BYTES: Final = 1024 * 1024
"""Of the metadata of one instance; of a larger one nothing is answered."""
_MOST_OF_ROW: Final = 64 * 1024
"""Bytes of what one row is answered with: pixels given inline would else be held for a hundred rows at once."""


class StoredAttributes:
    """Reads attributes from the store.

    Parameters
    ----------
    database, lookup
        Find an instance that stands for a row, and decide on it.
    archive
        The store.
    """

    def __init__(self, *, database: Database, lookup: HotLookup, archive: Archive) -> None:
        self._database = database
        self._lookup = lookup
        self._archive = archive
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def read(
        self, asked: Asked, level: Level, found: Sequence[Found], keys: Sequence[str]
    ) -> list[DataSet] | None:
        """Return the elements of ``keys`` for each row, in the order of the rows.

        Of a study or series, those of its first visible instance. What the store does not have, or gives as a link, is
        left out; so is what a row has beyond 64 KiB, and all of a row whose instance it has lost.

        Parameters
        ----------
        asked
            The search.
        level, found
            What it found.
        keys
            Tags of eight upper-case hexadecimal digits; of a path into a sequence, the sequence.

        Returns
        -------
        list of DataSet, or None
            ``None`` if the page is too long.

        Raises
        ------
        UnavailableError
            If the store or the database does not answer: a part of the answer would look like all of it.
        """
        if len(found) > MOST_ROWS:
            return None
        scope = await scope_of(self._database, asked)
        refs = await self._examples(scope, level, found)
        wanted = frozenset(keys)
        reading = [asyncio.create_task(self._of(asked, scope, ref, wanted), name="stored-attributes") for ref in refs]
        try:
            return list(await asyncio.gather(*reading))
        finally:
            # Where one fails, the others would go on asking the store for nobody.
            for task in reading:
                task.cancel()

    async def _examples(self, scope: ReadScope, level: Level, found: Sequence[Found]) -> list[InstanceRef | None]:
        studies = [StudyInstanceUID(str(each["StudyInstanceUID"])) for each in found]
        if level is Level.STUDY:
            of_study = await self._database.run(partial(examples_of_studies, scope=scope, uids=studies))
            return [of_study.get(uid) for uid in studies]
        series = [SeriesInstanceUID(str(each["SeriesInstanceUID"])) for each in found]
        if level is Level.SERIES:
            of_series = await self._database.run(partial(examples_of_series, scope=scope, uids=series))
            return [of_series.get(uid) for uid in series]
        instances = [SopInstanceUID(str(each["SOPInstanceUID"])) for each in found]
        return [InstanceRef(*each) for each in zip(studies, series, instances, strict=True)]

    async def _of(self, asked: Asked, scope: ReadScope, ref: InstanceRef | None, wanted: frozenset[str]) -> DataSet:
        if ref is None:
            return {}
        async with self._at_once:
            facts = await self._lookup.instance(scope, ref.series, ref.sop_instance_uid)
            match read_instance(asked.principal, facts.series, facts.confirmed):
                case Denied():
                    return {}
                case instance:
                    return await self._elements(instance, wanted)

    async def _elements(self, instance: ReadableInstance, wanted: frozenset[str]) -> DataSet:
        try:
            return _taken(await self._metadata(instance), wanted)
        except NotFoundError:
            return {}
        except ArchiveProtocolError as error:
            _LOG.warning("search.attributes_unreadable", error=type(error).__name__)
            return {}

    async def _metadata(self, instance: ReadableInstance) -> Mapping[str, bytes]:
        splitter = ArraySplitter(max_element_bytes=_MOST_BYTES)
        stream = await self._archive.open_instance_metadata(instance)
        try:
            async for chunk in stream.chunks():
                for raw in splitter.feed(chunk):
                    return {key: bytes(value) for key, value in _decoded(raw, dict[str, msgspec.Raw]).items()}
            splitter.close()
        finally:
            stream.abort()
        raise NotFoundError


def _taken(metadata: Mapping[str, bytes], wanted: frozenset[str]) -> DataSet:
    """Return the elements that are wanted, as far as a row has room for them."""
    taken: dict[str, Element] = {}
    room = _MOST_OF_ROW
    for key in sorted(wanted & metadata.keys()):
        raw = metadata[key]
        if len(raw) <= room and not _links(element := _decoded(raw, dict[str, object])):
            taken[key] = element
            room -= len(raw)
    return taken


def _decoded(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError:
        raise ArchiveProtocolError("the store sent malformed metadata") from None


def _links(value: object) -> bool:
    """Return whether an element holds, at any depth, an address of the store's, which nobody may be given."""
    match value:
        case dict():
            return "BulkDataURI" in value or any(map(_links, value.values()))
        case list():
            return any(map(_links, value))
        case _:
            return False
