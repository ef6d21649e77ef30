"""What every DICOMweb store has in common: addresses, requests, and the sense of its answers.

An adapter derives from `DicomwebStore` and says in what its store differs: what it offers as a single body, how it
says that something is absent, how it deletes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from kheops.archive.addresses import StoreAddresses
from kheops.archive.answer import Answer
from kheops.archive.boundary_ended import with_known_end
from kheops.archive.client import SLOW_DOWN, StoreClient, Wanted
from kheops.archive.port import ArchiveAbsentError, ArchiveStream, HeldInstance, StoreOutcome
from kheops.archive.request_body import Body
from kheops.archive.single_part import unwrap
from kheops.archive.store_answer import read_store_answer
from kheops.archive.store_listing import list_series
from kheops.dicomweb.media_ranges import MediaType, parse_accept
from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head
from kheops.dicomweb.renderable import IMAGE_TYPES
from kheops.dicomweb.rendering import RenderingName, RenderingParameters, rendering_query
from kheops.domain.policy import AdmittedInstance, ReadableInstance, ReadableSeries
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import (
    ArchiveProtocolError,
    ArchiveUnavailableError,
    InvalidIdentifierError,
    KheopsError,
    NotAcceptableError,
)
from kheops.ids import SopInstanceUID, sop_instance_uid
from kheops.observability import get_logger

__all__ = ["CONTROL_LIMIT", "WHOLE", "DicomwebStore", "What", "error_object"]

CONTROL_LIMIT: Final = 1024 * 1024
"""Bytes of an answer that is read whole: the most that a download may hold (design 2.5)."""
_PAGE: Final = 250
"""Instances a page of a search; with two to four kB each they stay under `CONTROL_LIMIT`."""
_READY_SECONDS: Final = 5.0
_DICOM: Final = "application/dicom"
_DICOM_JSON: Final = "application/dicom+json"
_STORED_FILE: Final = f'multipart/related; type="{_DICOM}"; transfer-syntax=*'
_STORED_FRAMES: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
_STORE_STATUSES: Final = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.ACCEPTED,
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
"""Statuses with which stores answer although they stored some instances; only the body tells which."""
_SAID_OF_STORING: Final = Wanted(_STORE_STATUSES, CONTROL_LIMIT)
WHOLE: Final = Wanted(frozenset({HTTPStatus.OK}), CONTROL_LIMIT)
"""For control answers that say something at 200 only."""
_CANNOT_RENDER: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.NOT_IMPLEMENTED}
)
"""What stores answer, besides 406, for pixels that they cannot make a picture of."""

_LOG = get_logger(__name__)


class What(StrEnum):
    """What is asked of the store."""

    INSTANCE = "instance"
    SERIES = "series"
    FRAMES = "frames"
    BULKDATA = "bulkdata"
    METADATA = "metadata"
    RENDERED = "rendered"
    SEARCH = "search"
    STORE = "store"
    DELETION = "deletion"


_AVAILABLE: Final = {
    What.INSTANCE: [_STORED_FILE],
    What.SERIES: [_STORED_FILE],
    What.FRAMES: [_STORED_FRAMES],
    What.BULKDATA: ['multipart/related; type="application/octet-stream"', "application/octet-stream"],
    What.METADATA: [_DICOM_JSON],
    What.RENDERED: list(IMAGE_TYPES),
}
_DEFAULT_TYPES: Final = {What.INSTANCE: _DICOM}


class _Identifier(msgspec.Struct):
    Value: list[str] = []


class _Found(msgspec.Struct):
    sop_instance_uid: _Identifier = msgspec.field(name="00080018", default_factory=_Identifier)


_FOUND: Final = msgspec.json.Decoder(list[_Found])


class DicomwebStore:
    """A DICOM store behind DICOMweb (PS3.18 section 10): the part of `Archive` that all of them share.

    Parameters
    ----------
    addresses
        Of the store.
    client
        Sends the requests; this object closes it.
    single
        What the store offers as a single body as well; all else is asked for as multipart and unwrapped.
    """

    def __init__(self, addresses: StoreAddresses, client: StoreClient, *, single: frozenset[What]) -> None:
        self._addresses = addresses
        self._client = client
        self._single = single

    # Storing ---------------------------------------------------------------------------------------------------

    async def store(self, instances: Sequence[HeldInstance]) -> StoreOutcome:
        """Send a batch in one request; see `Archive.store`."""
        if not instances:
            return StoreOutcome(frozenset())
        boundary = new_boundary()
        head = part_head(boundary, part_type=_DICOM)
        close = closing(boundary)

        async def pieces() -> AsyncIterator[bytes]:
            for instance in instances:
                yield head
                yield instance.body
                yield PART_TAIL
            yield close

        framing = len(instances) * (len(head) + len(PART_TAIL)) + len(close)
        body = Body(
            content_type(boundary, part_type=_DICOM),
            pieces,
            framing + sum(len(instance.body) for instance in instances),
        )
        answer, said = await self._client.ask(
            "POST", self._addresses.studies, {"Accept": _DICOM_JSON}, body, wanted=_SAID_OF_STORING
        )
        return await self._outcome(answer, said, frozenset(instance.ref.sop_instance_uid for instance in instances))

    async def store_stream(self, ref: AdmittedInstance, chunks: AsyncIterator[bytes]) -> StoreOutcome:
        """Send one instance as it arrives, once; see `Archive.store_stream`."""
        boundary = new_boundary()

        async def pieces() -> AsyncIterator[bytes]:
            yield part_head(boundary, part_type=_DICOM)
            async for chunk in chunks:
                yield chunk
            yield PART_TAIL + closing(boundary)

        body = Body(content_type(boundary, part_type=_DICOM), pieces, None)
        answer = await self._client.open("POST", self._addresses.studies, {"Accept": _DICOM_JSON}, body)
        if answer.status in SLOW_DOWN:
            answer.abort()
            raise ArchiveUnavailableError
        said = await answer.read(CONTROL_LIMIT) if answer.status in _STORE_STATUSES else b""
        return await self._outcome(answer, said, frozenset({ref.sop_instance_uid}))

    async def _outcome(self, answer: Answer, said: bytes, sent: frozenset[SopInstanceUID]) -> StoreOutcome:
        if answer.status not in _STORE_STATUSES:
            raise await self._refused(answer, What.STORE)
        outcome = read_store_answer(said, sent)
        unmentioned = len(sent) - len(outcome.stored) - len(outcome.failed)
        if unmentioned or outcome.failed:
            _LOG.warning(
                "archive.store_incomplete",
                status=answer.status,
                sent=len(sent),
                failed=len(outcome.failed),
                unmentioned=unmentioned,
            )
        return outcome

    # Reading ---------------------------------------------------------------------------------------------------

    async def open_instance(self, ref: ReadableInstance, *, accept: str) -> ArchiveStream:
        """Open an instance; see `Archive.open_instance`."""
        return await self._open(self._addresses.instance(ref), What.INSTANCE, accept)

    async def open_series(self, ref: ReadableSeries, *, accept: str) -> ArchiveStream:
        """Open a series; see `Archive.open_series`."""
        return with_known_end(await self._get(self._addresses.series(ref), What.SERIES, accept))

    async def open_frames(self, ref: ReadableInstance, frames: Sequence[int], *, accept: str) -> ArchiveStream:
        """Open frames; see `Archive.open_frames`."""
        if not frames or min(frames) < 1:
            raise ArchiveAbsentError
        url = f"{self._addresses.instance(ref)}/frames/{','.join(map(str, frames))}"
        if len(frames) == 1:
            return await self._open(url, What.FRAMES, accept)
        return with_known_end(await self._get(url, What.FRAMES, accept))

    async def open_bulkdata(
        self, ref: ReadableInstance, path: str, *, accept: str, byte_range: str | None
    ) -> ArchiveStream:
        """Open bulk data; see `Archive.open_bulkdata`."""
        below = self._bulkdata_below(path)
        if below is None:
            raise ArchiveAbsentError
        url = f"{self._addresses.instance(ref)}/{below}"
        return await self._open(url, What.BULKDATA, accept, byte_range)

    @property
    def renders(self) -> frozenset[RenderingName]:
        """What of rendering the store knows; see `Archive.renders`."""
        raise NotImplementedError

    async def open_rendered(
        self,
        ref: ReadableInstance,
        frame: int | None,
        *,
        media_type: str,
        parameters: RenderingParameters,
    ) -> ArchiveStream:
        """Open a rendered instance or frame; see `Archive.open_rendered`."""
        below = "" if frame is None else f"/frames/{frame}"
        url = f"{self._addresses.instance(ref)}{below}/rendered{rendering_query(parameters, self.renders)}"
        answer = await self._get(url, What.RENDERED, media_type)
        if answer.content_type.partition(";")[0].strip().lower() != media_type:
            answer.abort()
            raise ArchiveProtocolError("the store rendered something else than was asked for")
        return with_known_end(answer)

    async def open_instance_metadata(self, ref: ReadableInstance) -> ArchiveStream:
        """Open an instance's metadata; see `Archive.open_instance_metadata`."""
        return await self._metadata(self._addresses.instance(ref))

    async def open_series_metadata(self, ref: ReadableSeries) -> ArchiveStream:
        """Open a series's metadata; see `Archive.open_series_metadata`."""
        return await self._metadata(self._addresses.series(ref))

    def public_bulkdata_path(self, ref: InstanceRef, uri: str) -> str | None:
        """Return what may be passed on of a BulkDataURI; see `Archive.public_bulkdata_path`."""
        below = self._addresses.below_instance(ref, uri)
        return None if below is None else self._bulkdata_public(below)

    def _bulkdata_below(self, path: str) -> str | None:
        """Return the address below the instance for a public path, ``None`` if there can be none."""
        raise NotImplementedError

    def _bulkdata_public(self, below: str) -> str | None:
        """Return the public path for an address below the instance, ``None`` if it is no bulk data."""
        raise NotImplementedError

    # Inspecting ------------------------------------------------------------------------------------------------

    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        """Return what a search finds; see `Archive.inspect_series`.

        Pages are asked for until one brings nothing new: a store may cap a page without a word.
        """
        found: set[SopInstanceUID] = set()
        while True:
            page = await self._search_page(ref, offset=len(found))
            if page <= found:
                return frozenset(found)
            found |= page

    async def _search_page(self, ref: SeriesRef, *, offset: int) -> set[SopInstanceUID]:
        url = f"{self._addresses.series(ref)}/instances?limit={_PAGE}&offset={offset}"
        answer, body = await self._client.ask("GET", url, {"Accept": _DICOM_JSON}, wanted=WHOLE, is_prompt=True)
        if answer.status == HTTPStatus.NO_CONTENT:
            await answer.discard()
            return set()
        if answer.status != HTTPStatus.OK:
            error = await self._refused(answer, What.SEARCH)
            if isinstance(error, ArchiveAbsentError):
                return set()
            raise error
        try:
            return {
                sop_instance_uid(item.sop_instance_uid.Value[0])
                for item in _FOUND.decode(body)
                if item.sop_instance_uid.Value
            }
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidIdentifierError):
            raise ArchiveProtocolError("the store's search answer cannot be read") from None

    def list_series(self) -> AsyncIterator[SeriesRef]:
        """Give every series; see `Archive.list_series`."""
        return list_series(self._client, self._addresses.studies)

    async def count_series(self) -> int | None:
        """Return nothing: the standard has no way to count; see `Archive.count_series`."""
        return None

    async def inspect_instance(self, ref: InstanceRef) -> bool:
        """Return whether a direct read finds it; see `Archive.inspect_instance`."""
        try:
            answer = await self._get(f"{self._addresses.instance(ref)}/metadata", What.METADATA, _DICOM_JSON)
        except ArchiveAbsentError:
            return False
        await answer.discard()
        return True

    async def inspect_bytes(self, ref: InstanceRef) -> ArchiveStream:
        """Open the stored file as a single body; see `Archive.inspect_bytes`."""
        return await self._open(self._addresses.instance(ref), What.INSTANCE, f"{_DICOM}; transfer-syntax=*")

    async def ready(self) -> bool:
        """Return whether the store answers; see `Archive.ready`."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._searchable()
        except (KheopsError, TimeoutError):
            return False

    async def _searchable(self) -> bool:
        """Return whether our account may search the store; raise `ArchiveUnavailableError` if it does not answer."""
        url = f"{self._addresses.instances}?limit=1"
        answer = await self._client.fetch("GET", url, {"Accept": _DICOM_JSON}, is_prompt=True)
        await answer.discard()
        return answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}

    async def aclose(self) -> None:
        """Close connections; see `Archive.aclose`."""
        await self._client.aclose()

    # Requests --------------------------------------------------------------------------------------------------

    async def _open(self, url: str, what: What, accept: str, byte_range: str | None = None) -> ArchiveStream:
        """Open what may be a single body, by way of a multipart body of one part where the store has only that."""
        if what in self._single:
            return with_known_end(await self._get(url, what, accept, byte_range))
        wrapped = _as_multipart(accept, what)
        if wrapped is None:
            return with_known_end(await self._get(url, what, accept))
        return await unwrap(await self._get(url, what, wrapped))

    async def _metadata(self, url: str) -> ArchiveStream:
        return with_known_end(await self._get(f"{url}/metadata", What.METADATA, _DICOM_JSON))

    async def _get(self, url: str, what: What, accept: str, byte_range: str | None = None) -> Answer:
        headers = {"Accept": accept}
        if byte_range is not None:
            headers["Range"] = byte_range
        answer = await self._client.fetch("GET", url, headers, is_prompt=what is What.METADATA)
        if answer.status == HTTPStatus.OK or (answer.status == HTTPStatus.PARTIAL_CONTENT and byte_range is not None):
            if not answer.is_encoded:
                return answer
            answer.abort()
            _LOG.error("archive.protocol", status=answer.status, what=what.value, reason="encoded unasked")
            raise ArchiveProtocolError("the store encoded a body unasked")
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and byte_range is not None:
            # A range may always be ignored (RFC 9110 14.2); the port has no word for one that does not exist.
            await answer.discard()
            return await self._get(url, what, accept)
        raise await self._refused(answer, what)

    async def _refused(self, answer: Answer, what: What) -> KheopsError:
        """Return the error that an answer means, and log it without its words: they may name a patient."""
        body = b""
        try:
            body = await answer.read(CONTROL_LIMIT)
        except (ArchiveProtocolError, ArchiveUnavailableError):
            answer.abort()
        error = await self._meaning(answer.status, body, what)
        if isinstance(error, ArchiveProtocolError):
            _LOG.error("archive.protocol", status=answer.status, what=what.value, reason=error.detail)
        return error

    async def _meaning(self, status: int, body: bytes, what: What) -> KheopsError:
        """Return the error that a status with its body means; adapters know more than the standard."""
        del body
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.NO_CONTENT} and what is not What.STORE:
            return ArchiveAbsentError()
        if status == HTTPStatus.NOT_ACCEPTABLE and what in _AVAILABLE:
            return NotAcceptableError(_AVAILABLE[what])
        if what is What.RENDERED and status in _CANNOT_RENDER:
            return NotAcceptableError(_AVAILABLE[what])
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return ArchiveProtocolError("the store refuses our credential")
        return ArchiveProtocolError("the store answered with a status that it must not")


@lru_cache(maxsize=256)
def _as_multipart(accept: str, what: What) -> str | None:
    """Return the Accept for a multipart body of one of the single bodies that ``accept`` names.

    ``None`` if it names multipart itself. Kept, since viewers send the same one with each frame.
    """
    ranges = parse_accept([accept])
    if any(item.media_type.type == "multipart" for item in ranges):
        return None
    return ", ".join(_wrapped(item.media_type, what) for item in ranges)


def _wrapped(media_type: MediaType, what: What) -> str:
    essence = media_type.essence
    if "*" in essence:
        essence = _DEFAULT_TYPES.get(what, "application/octet-stream")
    syntax = media_type.parameters.get("transfer-syntax")
    return f'multipart/related; type="{essence}"' + ("" if syntax is None else f"; transfer-syntax={syntax}")


def error_object(body: bytes) -> dict[str, object]:
    """Return the JSON object of an error body, the only element of an array as well; empty if there is none."""
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    return data if isinstance(data, dict) else {}
