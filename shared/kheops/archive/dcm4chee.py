"""DCM4CHEE (dcm4chee-arc-light 5) as the store.

What differs from the standard, and is evened out here:

- ``*`` and ``?`` in a UID match, parameters of a store request are written over the data, and every operation of the
  archive lies below the same path. Nothing reaches it but addresses made of validated UIDs and the parameters written
  here; a store request has none.
- A SOP Instance UID that the archive has anywhere is dropped when it is sent again, and listed as stored with the
  UIDs that were *sent*. So it is looked up before, and after.
- Patients with one Patient ID are merged, and what is retrieved is overlaid with the merged attributes: one sender's
  object comes back with another's patient name. Only the application entity ``AS_RECEIVED`` gives what was sent. It
  shows rejected objects too, so that the regular entity is asked first whether the object is there.
- An instance is multipart only, pixel data is decompressed unless an image type is accepted, a frame out of range is
  left out with 206, pixel data has the instance's own address, and transfer syntaxes that it does not have end the
  body in the middle.
- Deleting is rejecting and then purging what is rejected.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final

from typing_extensions import override

from kheops.archive.addresses import StoreAddresses
from kheops.archive.answer import Answer
from kheops.archive.boundary_ended import with_known_end
from kheops.archive.client import ClientLimits, NoAuthorization, StoreClient
from kheops.archive.dcm4chee_accept import AS_ENCODED, is_multipart, takes_any_encoding, transfer_syntaxes
from kheops.archive.dcm4chee_search import InstanceSearch
from kheops.archive.dicomweb_server import BasicAuthorization
from kheops.archive.dicomweb_store import DicomwebStore, What
from kheops.archive.joined_metadata import JoinedMetadata
from kheops.archive.port import ArchiveAbsentError, ArchiveStream, HeldInstance, StoreOutcome
from kheops.archive.single_part import unwrap
from kheops.archive.store_answer import DUPLICATE, PROCESSING_FAILURE
from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_media_type
from kheops.dicomweb.rendering import RenderingName
from kheops.dicomweb.resources import is_bulkdata_path
from kheops.domain.policy import AdmittedInstance, ReadableInstance, ReadableSeries
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import (
    ArchiveProtocolError,
    ArchiveUnavailableError,
    ConfigurationError,
    KheopsError,
    NotAcceptableError,
)
from kheops.ids import SopInstanceUID
from kheops.observability import get_logger

__all__ = ["Dcm4chee"]

_ROOT: Final = re.compile(r"(?P<archive>https?://[^?#]+)/aets/(?P<aet>[0-9A-Za-z._-]{1,16})/rs", re.ASCII)
_AS_RECEIVED: Final = "AS_RECEIVED"
"""The application entity of the shipped configuration that coerces nothing on retrieval."""
_JSON: Final = "application/json"
_ANY_SYNTAX: Final = "*"
_NATIVE_SYNTAXES: Final = frozenset({_ANY_SYNTAX, "1.2.840.10008.1.2.1"})
"""What the archive can always write."""
_DICOM: Final = "application/dicom"
_AS_STORED: Final = f"{_DICOM}; transfer-syntax=*"
_PIXEL_DATA: Final = "7FE00010"
_BULKDATA_ROOT: Final = "bulkdata/"
_REJECTION: Final = "113039%5EDCM"
"""Data Retention Policy Expired (PS3.16 CID 7011): of the shipped reasons the one after which storing again works."""
_REASONS: Final = {
    0xA77A: 0xA700,
    0xA77B: DUPLICATE,
    0xC499: 0xC000,
}
"""Of the archive's own failure reasons, those that say something: deletion under way, known elsewhere, unreadable."""
_OWN_REASONS: Final = range(0xA770, 0xA780)

_KEPT: Final = "the archive keeps what is to be deleted: it is rejected for another reason"

_LOG = get_logger(__name__)


class Dcm4chee(DicomwebStore):
    """A DCM4CHEE archive, seen through one of its application entities.

    It must have the application entity ``AS_RECEIVED`` of the shipped configuration. Deleting purges all objects that
    are rejected as "Data Retention Policy Expired", by whomever: the archive would do so a day later.

    Parameters
    ----------
    root
        The entity's DICOMweb root, ``https://host/dcm4chee-arc/aets/DCM4CHEE/rs``. The entity must hide rejected
        objects, as ``DCM4CHEE`` of the shipped configuration does.
    authorization
        Our account there, if it asks for one.
    limits
        Bounds of the client.
    client
        Sends the requests; made from the others if not given.

    Raises
    ------
    ConfigurationError
        If ``root`` is no such address, or that of ``AS_RECEIVED``, which would show rejected objects.
    """

    def __init__(
        self,
        root: str,
        *,
        authorization: BasicAuthorization | None = None,
        limits: ClientLimits | None = None,
        client: StoreClient | None = None,
    ) -> None:
        match = _ROOT.fullmatch(root.rstrip("/"))
        if match is None or match["aet"] == _AS_RECEIVED:
            raise ConfigurationError(
                ["KHEOPS_STORE_URL: must look like https://host/dcm4chee-arc/aets/DCM4CHEE/rs for a DCM4CHEE"]
            )
        self._archive = match["archive"]
        self._received = StoreAddresses(f"{self._archive}/aets/{_AS_RECEIVED}/rs")
        client = client or StoreClient(authorization or NoAuthorization(), limits=limits)
        super().__init__(StoreAddresses(match[0]), client, single=frozenset())
        self._visible = InstanceSearch(self._addresses, client, self._search_refused)
        self._all = InstanceSearch(self._received, client, self._search_refused)

    # Storing ---------------------------------------------------------------------------------------------------

    @override
    async def store(self, instances: Sequence[HeldInstance]) -> StoreOutcome:
        """Send those that the archive does not have, and look them up; see `Archive.store`.

        One that it has is not sent: it counts as stored if the archive has these very bytes under these UIDs, and as
        a duplicate otherwise.
        """
        known = await self._all.where([instance.ref.sop_instance_uid for instance in instances])
        outcome = await super().store(
            [instance for instance in instances if instance.ref.sop_instance_uid not in known]
        )
        settled = await self._settled(outcome, [instance.ref for instance in instances])
        stored, failed = set(settled.stored), dict(settled.failed)
        for instance in instances:
            uid = instance.ref.sop_instance_uid
            if uid not in known:
                continue
            if known[uid] == {instance.ref} and await self._holds(instance):
                stored.add(uid)
            else:
                failed[uid] = DUPLICATE
        return StoreOutcome(frozenset(stored), failed)

    @override
    async def store_stream(self, ref: AdmittedInstance, chunks: AsyncIterator[bytes]) -> StoreOutcome:
        """Send one instance unless the archive has it, and look it up; see `Archive.store_stream`."""
        if await self._all.where([ref.sop_instance_uid]):
            return StoreOutcome(frozenset(), {ref.sop_instance_uid: DUPLICATE})
        return await self._settled(await super().store_stream(ref, chunks), [ref])

    async def _settled(self, outcome: StoreOutcome, refs: Sequence[InstanceRef]) -> StoreOutcome:
        """Return the outcome without what is not there under the UIDs that were sent, whatever the archive said."""
        where = await self._visible.where(outcome.stored)
        stored = frozenset(ref.sop_instance_uid for ref in refs if ref in where.get(ref.sop_instance_uid, ()))
        if stored != outcome.stored:
            _LOG.warning("archive.store_not_found", sent=len(refs), missing=len(outcome.stored - stored))
        return StoreOutcome(stored, {uid: _reason(reason) for uid, reason in outcome.failed.items()})

    async def _holds(self, instance: HeldInstance) -> bool:
        """Return whether the archive shows an instance and has these very bytes of it."""
        if not await self.inspect_instance(instance.ref):
            return False
        try:
            stream = await self.inspect_bytes(instance.ref)
        except ArchiveAbsentError:
            return False
        offset = 0
        try:
            async for chunk in stream.chunks():
                if instance.body[offset : offset + len(chunk)] != chunk:
                    return False
                offset += len(chunk)
        finally:
            stream.abort()
        return offset == len(instance.body)

    # Reading ---------------------------------------------------------------------------------------------------

    @override
    async def open_instance(self, ref: ReadableInstance, *, accept: str) -> ArchiveStream:
        """Open an instance as it was sent; see `Archive.open_instance`."""
        await self._require(ref)
        wanted = transfer_syntaxes(accept)
        if not wanted <= _NATIVE_SYNTAXES:
            accept = await self._in_stored_syntax(ref, accept, wanted)
        return await self._open(self._received.instance(ref), What.INSTANCE, accept)

    async def _in_stored_syntax(self, ref: InstanceRef, accept: str, wanted: frozenset[str]) -> str:
        """Return an Accept for the stored transfer syntax if it is one of ``wanted``.

        For others the archive would begin an answer and break it off.
        """
        probe = await self.inspect_bytes(ref)
        probe.abort()
        try:
            stored = parse_media_type(probe.content_type).parameters.get("transfer-syntax")
        except MalformedMediaTypeError:
            raise ArchiveProtocolError("the archive's media type cannot be read") from None
        if stored in wanted:
            return f'multipart/related; type="{_DICOM}"; transfer-syntax=*' if is_multipart(accept) else _AS_STORED
        raise NotAcceptableError([_AS_STORED])

    @override
    async def open_series(self, ref: ReadableSeries, *, accept: str) -> ArchiveStream:
        """Open a series as it was sent; see `Archive.open_series`.

        Raises
        ------
        ArchiveAbsentError
            Also where a part of the series is rejected, or a transfer syntax is asked for that only some instances
            may have: then each instance is to be asked for alone.
        """
        visible, received = await self._both(ref)
        if not visible or visible != received or not transfer_syntaxes(accept) <= _NATIVE_SYNTAXES:
            raise ArchiveAbsentError
        return with_known_end(await self._get(self._received.series(ref), What.SERIES, accept))

    @override
    async def open_frames(self, ref: ReadableInstance, frames: Sequence[int], *, accept: str) -> ArchiveStream:
        """Open frames as they were encoded; see `Archive.open_frames`."""
        if not takes_any_encoding(accept) or not frames or min(frames) < 1:
            return await super().open_frames(ref, frames, accept=accept)
        url = f"{self._addresses.instance(ref)}/frames/{','.join(map(str, frames))}"
        return await self._open_encoded(url, What.FRAMES, accept)

    @override
    async def open_bulkdata(
        self, ref: ReadableInstance, path: str, *, accept: str, byte_range: str | None
    ) -> ArchiveStream:
        """Open bulk data; see `Archive.open_bulkdata`. Pixel data is what the instance's own address gives."""
        if path.upper() != _PIXEL_DATA:
            return await super().open_bulkdata(ref, path, accept=accept, byte_range=byte_range)
        if not takes_any_encoding(accept):
            raise NotAcceptableError(['multipart/related; type="application/octet-stream"'])
        return await self._open_encoded(self._addresses.instance(ref), What.BULKDATA, accept)

    async def _open_encoded(self, url: str, what: What, accept: str) -> ArchiveStream:
        answer = await self._get(url, what, AS_ENCODED)
        return with_known_end(answer) if is_multipart(accept) else await unwrap(answer)

    @property
    @override
    def renders(self) -> frozenset[RenderingName]:
        """What the archive uses; it takes an annotation as well, and does nothing with it."""
        return frozenset({RenderingName.VIEWPORT, RenderingName.WINDOW, RenderingName.QUALITY})

    @override
    async def open_instance_metadata(self, ref: ReadableInstance) -> ArchiveStream:
        """Open an instance's metadata as it was sent; see `Archive.open_instance_metadata`."""
        await self._require(ref)
        return await self._metadata(self._received.instance(ref))

    @override
    async def open_series_metadata(self, ref: ReadableSeries) -> ArchiveStream:
        """Open a series's metadata as it was sent; see `Archive.open_series_metadata`."""
        visible, received = await self._both(ref)
        if not visible:
            raise ArchiveAbsentError
        if visible == received:
            return await self._metadata(self._received.series(ref))
        refs = [InstanceRef(ref.study_instance_uid, ref.series_instance_uid, uid) for uid in sorted(visible)]
        return JoinedMetadata(refs, lambda one: self._metadata(self._received.instance(one)))

    @override
    def public_bulkdata_path(self, ref: InstanceRef, uri: str) -> str | None:
        """Return what may be passed on of a BulkDataURI of either entity; see `Archive.public_bulkdata_path`."""
        for addresses in (self._addresses, self._received):
            # Pixel data has the address of the instance itself; the added segment lets the same check judge it.
            if addresses.below_instance(ref, f"{uri}/{_PIXEL_DATA}") == _PIXEL_DATA:
                return _PIXEL_DATA
            below = addresses.below_instance(ref, uri)
            if below is not None:
                return self._bulkdata_public(below)
        return None

    @override
    def _bulkdata_below(self, path: str) -> str | None:
        return _BULKDATA_ROOT + path if is_bulkdata_path(path) else None

    @override
    def _bulkdata_public(self, below: str) -> str | None:
        return below.removeprefix(_BULKDATA_ROOT) if below.startswith(_BULKDATA_ROOT) else None

    # Inspecting ------------------------------------------------------------------------------------------------

    @override
    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        """Return the instances of a series that are not rejected; see `Archive.inspect_series`.

        Raises
        ------
        ArchiveUnavailableError
            If pages do not add up: the archive pages without an order of its own.
        """
        return await self._visible.series(ref)

    @override
    async def inspect_instance(self, ref: InstanceRef) -> bool:
        """Return whether an instance is there and not rejected; see `Archive.inspect_instance`.

        The archive searches and retrieves by the same rows, so that its search lags behind nothing.
        """
        return await self._visible.has(ref)

    @override
    async def inspect_bytes(self, ref: InstanceRef) -> ArchiveStream:
        """Open the file as it was sent, rejected or not; see `Archive.inspect_bytes`."""
        return await self._open(self._received.instance(ref), What.INSTANCE, _AS_STORED)

    async def _require(self, ref: InstanceRef) -> None:
        if not await self.inspect_instance(ref):
            raise ArchiveAbsentError

    async def _both(self, ref: SeriesRef) -> tuple[frozenset[SopInstanceUID], frozenset[SopInstanceUID]]:
        """Return the instances of a series that the regular entity shows, and all that there are."""
        visible, received = await asyncio.gather(self._visible.series(ref), self._all.series(ref))
        return visible, received

    @override
    async def _searchable(self) -> bool:
        """Return whether both entities answer a search: without the second one, everything would seem absent."""
        return await self._visible.answers() and await self._all.answers()

    # Deleting --------------------------------------------------------------------------------------------------

    async def delete_instance(self, ref: InstanceRef) -> None:
        """Reject an instance and purge what is rejected; see `Archive.delete_instance`.

        Raises
        ------
        ArchiveProtocolError
            If the archive refuses, as it does before the end of a retention period.
        """
        if await self._all.has(ref):
            await self._delete(self._addresses.instance(ref))
            if await self._all.has(ref):
                raise ArchiveProtocolError(_KEPT)

    async def delete_series(self, ref: SeriesRef) -> None:
        """Reject a series and purge what is rejected; see `Archive.delete_series`.

        Raises
        ------
        ArchiveProtocolError
            If the archive refuses, as it does before the end of a retention period.
        """
        if await self._all.series(ref):
            await self._delete(self._addresses.series(ref))
            if await self._all.series(ref):
                raise ArchiveProtocolError(_KEPT)

    async def _delete(self, address: str) -> None:
        answer = await self._client.fetch("POST", f"{address}/reject/{_REJECTION}", {"Accept": _JSON})
        # 400 and 404: all of it is rejected already. Whether it has gone is looked up afterwards.
        if answer.status not in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
            raise await self._refused(answer, What.DELETION)
        await answer.discard()
        answer = await self._client.fetch("DELETE", f"{self._archive}/reject/{_REJECTION}", {"Accept": _JSON})
        if answer.status != HTTPStatus.OK:
            raise await self._refused(answer, What.DELETION)
        await answer.discard()

    async def _search_refused(self, answer: Answer) -> KheopsError:
        return await self._refused(answer, What.SEARCH)

    @override
    async def _meaning(self, status: int, body: bytes, what: What) -> KheopsError:
        if status == HTTPStatus.NOT_FOUND and what in {What.SEARCH, What.DELETION}:
            # What does not exist is an empty search. Were this taken for absent, the catalog would drop everything.
            return ArchiveProtocolError("the archive has no such application entity or reason of rejection")
        if status == HTTPStatus.PARTIAL_CONTENT and what is What.FRAMES:
            return ArchiveAbsentError()
        if what is What.DELETION and status == HTTPStatus.CONFLICT:
            return ArchiveUnavailableError()
        if what is What.DELETION and status == HTTPStatus.FORBIDDEN:
            return ArchiveProtocolError("the archive does not let us delete, or not before a retention period is over")
        return await super()._meaning(status, body, what)


def _reason(reason: int) -> int:
    return _REASONS.get(reason, PROCESSING_FAILURE if reason in _OWN_REASONS else reason)
