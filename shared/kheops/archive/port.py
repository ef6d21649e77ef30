"""What we ask of a DICOM store, whichever stands behind us, and what an adapter owes.

Obligations of every adapter, checked by ``tests/contract/archive``:

- The upstream request is built from the typed arguments and the store's configured address alone. Nothing of a
  caller's path, query or headers reaches it but an ``Accept`` value that `kheops.dicomweb.media_types` composed.
- Reading takes `ReadableSeries` or `ReadableInstance`, which only the policy makes. The ``inspect`` calls take plain
  references and serve the catalog's own work (storing, reconciling); what they return never goes to a caller.
- An absent object is `ArchiveAbsentError`, whatever status the store uses for it. 429, 503, a refused or reset
  connection and a time-out are `ArchiveUnavailableError`. Anything else unexpected is `ArchiveProtocolError`, its
  cause logged without patient data; an error body of the store is never relayed.
- Bytes are never decompressed, transcoded or held: `ArchiveStream.chunks` gives them as they arrive.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kheops.dicomweb.rendering import RenderingName, RenderingParameters
from kheops.domain.policy import AdmittedInstance, ReadableInstance, ReadableSeries
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.errors import NotFoundError
from kheops.ids import SopInstanceUID

__all__ = ["Archive", "ArchiveAbsentError", "ArchiveStream", "HeldInstance", "StoreOutcome"]


class ArchiveAbsentError(NotFoundError):
    """The store does not have the object."""


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """A complete PS3.10 file in memory, admitted, on its way to the store."""

    ref: AdmittedInstance
    body: bytes


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What the store said it did with what *we* sent; instances that we did not send are left out.

    An instance in neither field was not mentioned by the store, and is looked up before anything is claimed.
    """

    stored: frozenset[SopInstanceUID]
    failed: dict[SopInstanceUID, int] = field(default_factory=dict)
    """Failure reason (PS3.18 table I.2-2) by instance; a store's vendor reason that has no such number is 0x0110."""


class ArchiveStream(Protocol):
    """An answer of the store whose body has not been read."""

    @property
    def status(self) -> int:
        """200 or 206."""

    @property
    def content_type(self) -> str:
        """The store's Content-Type, with its boundary."""

    @property
    def content_length(self) -> int | None:
        """Bytes of the body as sent, where the store said so."""

    @property
    def content_range(self) -> str | None:
        """The store's Content-Range of a 206."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once, in pieces as they arrive.

        Raises
        ------
        ArchiveUnavailableError
            If the store's answer ends before it is complete.
        """

    def abort(self) -> None:
        """Close the connection, so that the store stops sending. Harmless after the end and when repeated."""


class Archive(Protocol):
    """A DICOM store."""

    async def store(self, instances: Sequence[HeldInstance]) -> StoreOutcome:
        """Send a batch in one request, again as a whole on 429, 503 or a reset, at most four times in all.

        Raises
        ------
        ArchiveUnavailableError
            If the last try failed as well: nothing is known of any instance.
        """

    async def store_stream(self, ref: AdmittedInstance, chunks: AsyncIterator[bytes]) -> StoreOutcome:
        """Send one instance as it arrives, once.

        If ``chunks`` raises, the request is aborted, so that the store keeps nothing, and the same error is raised.

        Raises
        ------
        ArchiveUnavailableError
            If the store failed: nothing is known of the instance.
        """

    async def open_instance(self, ref: ReadableInstance, *, accept: str) -> ArchiveStream:
        """Open ``/studies/S/series/R/instances/I``. Raises as the module says; 406 is `NotAcceptableError`."""

    async def open_series(self, ref: ReadableSeries, *, accept: str) -> ArchiveStream:
        """Open ``/studies/S/series/R``. Raises as the module says; 406 is `NotAcceptableError`."""

    async def open_frames(self, ref: ReadableInstance, frames: Sequence[int], *, accept: str) -> ArchiveStream:
        """Open ``.../frames/1,2``; frame numbers start at 1. A frame that does not exist is `ArchiveAbsentError`."""

    async def open_bulkdata(
        self, ref: ReadableInstance, path: str, *, accept: str, byte_range: str | None
    ) -> ArchiveStream:
        """Open ``.../bulkdata/{path}``.

        Parameters
        ----------
        ref
            The instance.
        path
            The rest of a BulkDataURI as `public_bulkdata_path` gave it out. Anything outside
            ``[0-9A-Za-z._/-]+``, or with an empty, ``.`` or ``..`` segment, is `ArchiveAbsentError` without a
            request.
        accept
            The Accept to send.
        byte_range
            A validated ``bytes=a-b``, or ``None``. A store that ignores it answers 200.
        """

    @property
    def renders(self) -> frozenset[RenderingName]:
        """The parameters of rendering that the store knows; others are not sent to it."""

    async def open_rendered(
        self,
        ref: ReadableInstance,
        frame: int | None,
        *,
        media_type: str,
        parameters: RenderingParameters,
    ) -> ArchiveStream:
        """Open ``.../rendered`` of an instance or of one of its frames, as a picture of ``media_type``.

        Only objects that show nothing of other objects are asked for (`kheops.dicomweb.renderable`), and never a
        series or a study.

        Parameters
        ----------
        ref
            The instance.
        frame
            A frame number from 1 on; ``None`` for an instance of one frame. One that does not exist is
            `ArchiveAbsentError`, or `NotAcceptableError` where the store does not tell the two apart.
        media_type
            ``image/jpeg`` or ``image/png``.
        parameters
            What is wanted of it. Those that the store does not know are left out.

        Raises
        ------
        NotAcceptableError
            If the store cannot render it so.
        """

    async def open_instance_metadata(self, ref: ReadableInstance) -> ArchiveStream:
        """Open ``.../instances/I/metadata`` as ``application/dicom+json`` (a JSON array of one)."""

    async def open_series_metadata(self, ref: ReadableSeries) -> ArchiveStream:
        """Open ``.../series/R/metadata`` as ``application/dicom+json`` (a JSON array)."""

    def public_bulkdata_path(self, ref: InstanceRef, uri: str) -> str | None:
        """Return the part of a store's BulkDataURI below the instance, or ``None`` where it must be dropped.

        It is passed on only if it parses, is on the store's own origin and under the same study, series and
        instance, and its rest matches ``[0-9A-Za-z._/-]+`` without ``..`` (design 5.10). ``open_bulkdata`` takes
        what this returns.
        """

    async def inspect_series(self, ref: SeriesRef) -> frozenset[SopInstanceUID]:
        """Return the SOP Instance UIDs that a *search* finds in the series; empty if none. Searches may lag."""

    def list_series(self) -> AsyncIterator[SeriesRef]:
        """Give every series that searches of the whole store find; one may come twice where pages overlap.

        Raises
        ------
        ArchiveProtocolError
            If it holds more studies than its searches can reach: a million at the Healthcare API.
        """

    async def count_series(self) -> int | None:
        """Return how many series the whole store has, where it counts them by itself: for telling how far one is."""

    async def inspect_instance(self, ref: InstanceRef) -> bool:
        """Return whether a *direct read* finds the instance."""

    async def inspect_bytes(self, ref: InstanceRef) -> ArchiveStream:
        """Open the stored PS3.10 file as a single body, in the stored transfer syntax.

        The stream's chunks are the file alone, whether the store frames it as multipart or not.
        """

    async def delete_instance(self, ref: InstanceRef) -> None:
        """Delete one instance for good. Absent already is success."""

    async def delete_series(self, ref: SeriesRef) -> None:
        """Delete a series for good and wait for the end of it. Absent already is success."""

    async def ready(self) -> bool:
        """Return whether the store answers a harmless request now; never raises."""

    async def aclose(self) -> None:
        """Close connections. The archive is not usable afterwards."""
