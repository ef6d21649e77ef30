"""Attributes of search answers that the catalog does not keep: read from the store, for the rows of a page."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

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

_LOG = get_logger(__name__)

MOST_ROWS: Final = 100
"""Rows of a page that are read from the store, one request each; of a longer page none is."""
_AT_ONCE: Final = 8
_MOST_BYTES: Final = 1024 * 1024
"""Of the metadata of one instance; of a larger one nothing is answered."""


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
        left out; so is all of a row whose instance it has lost.

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
        return list(await asyncio.gather(*(self._of(asked, scope, ref, wanted) for ref in refs)))

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
            metadata = await self._metadata(instance)
        except NotFoundError:
            return {}
        except ArchiveProtocolError as error:
            _LOG.warning("search.attributes_unreadable", error=type(error).__name__)
            return {}
        return {key: metadata[key] for key in sorted(wanted & metadata.keys()) if not _links(metadata[key])}

    async def _metadata(self, instance: ReadableInstance) -> Mapping[str, Element]:
        splitter = ArraySplitter(max_element_bytes=_MOST_BYTES)
        stream = await self._archive.open_instance_metadata(instance)
        try:
            async for chunk in stream.chunks():
                for raw in splitter.feed(chunk):
                    return _decoded(raw)
            splitter.close()
        finally:
            stream.abort()
        raise NotFoundError


def _decoded(raw: bytes) -> Mapping[str, Element]:
    try:
        return msgspec.json.decode(raw, type=dict[str, dict[str, object]])
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
