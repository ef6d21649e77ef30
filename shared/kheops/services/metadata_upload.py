"""STOW-RS of metadata with bulk data: read whole, made into PS3.10 files, and stored as any other files.

What decides about an instance are the bytes of the file that was made, as for a file that was sent. Bulk data comes
from the request alone: an address in metadata is compared and never fetched.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from kheops.dicomweb.data_set import UnreadableDicomError
from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_media_type
from kheops.dicomweb.metadata_file import Bulk, Piece, identifiers_of, metadata_file
from kheops.dicomweb.multipart import (
    PART_TAIL,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    closing,
    new_boundary,
    part_head,
)
from kheops.dicomweb.native_xml_reader import read_native_model
from kheops.dicomweb.store_body import BodyForm
from kheops.errors import BadMultipartError, BadRequestError, PayloadTooLargeError
from kheops.ids import sop_instance_uid
from kheops.services.store_report import Failed, FailureReason, OtherFailure, StoreReport

__all__ = ["METADATA_BYTES", "METADATA_UPLOAD_BYTES", "MetadataUpload"]

METADATA_UPLOAD_BYTES: Final = 16 * 1024 * 1024
"""What a request of metadata and bulk data may hold; half of what an upload holds, the files being the other half."""
METADATA_BYTES: Final = 1024 * 1024
"""What of it may be metadata, which takes up to fifty times its size while a file is made of it."""
_MOST_PARTS: Final = 10_000
_CHUNK: Final = 64 * 1024
_METADATA_TYPES: Final = {
    BodyForm.JSON: frozenset({"application/dicom+json", "application/json"}),
    BodyForm.XML: frozenset({"application/dicom+xml"}),
}

DataSet = Mapping[str, object]


class MetadataUpload:
    """One request of metadata with bulk data.

    Parameters
    ----------
    form
        Of the metadata: ``JSON`` or ``XML``.
    report
        Where instances go that no file can be made of.
    making
        Lets one file be made at a time in the whole process, for the memory that it takes.
    """

    def __init__(self, form: BodyForm, report: StoreReport, making: asyncio.Semaphore) -> None:
        self._making = making
        self._form = form
        self._report = report
        self._metadata: list[bytearray] = []
        self._bulk: dict[str, Bulk] = {}
        self._size = 0
        self._metadata_size = 0
        self._parts = 0
        self._instances = 0

    async def read(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        """Read the whole request.

        Raises
        ------
        BadMultipartError
            If it is no multipart body, breaks off, has no metadata, or two parts of one Content-Location.
        PayloadTooLargeError
            If it is larger than the limits.
        ClientGoneError
            If the client left; nothing is stored.
        """
        reader = MultipartReader(boundary)
        part: bytearray | None = None
        is_metadata = False
        async for chunk in body:
            for event in reader.feed(chunk):
                match event:
                    case PartBegin(headers):
                        part, is_metadata = self._begin(headers)
                    case PartData(data) if part is not None:
                        part += data
                        self._count(len(data), is_metadata=is_metadata)
                    case PartEnd():
                        part = None
                    case _:
                        pass
        reader.close()
        if not self._metadata:
            raise BadMultipartError("The body has no part with metadata.")

    async def files(self) -> tuple[AsyncIterator[bytes], bytes]:
        """Return the files as a multipart body, made one after the other, and its boundary.

        Raises
        ------
        BadRequestError
            If the metadata is no list of data sets.
        """
        raw = await asyncio.to_thread(self._instances_of_json) if self._form is BodyForm.JSON else self._metadata
        boundary = new_boundary()
        return self._multipart(raw, boundary), boundary

    async def _multipart(self, instances: Sequence[object], boundary: bytes) -> AsyncIterator[bytes]:
        for instance in instances:
            async with self._making:
                pieces = await asyncio.to_thread(partial(self._file, instance))
            if pieces is not None:
                yield part_head(boundary, part_type="application/dicom")
                for chunk in _chunks(pieces):
                    yield chunk
                yield PART_TAIL
        yield closing(boundary)

    def _begin(self, headers: Mapping[str, str]) -> tuple[bytearray | None, bool]:
        """Return where the data of a part goes, if it goes anywhere, and whether it is metadata."""
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise PayloadTooLargeError(f"A request with metadata may have {_MOST_PARTS:,} parts at most.")
        try:
            media_type = parse_media_type(headers.get("content-type", "application/octet-stream"))
        except MalformedMediaTypeError:
            raise BadMultipartError("A part has a malformed Content-Type.") from None
        data = bytearray()
        if media_type.essence in _METADATA_TYPES[self._form]:
            self._metadata.append(data)
            return data, True
        location = headers.get("content-location")
        if location is None:
            # Nothing can refer to it.
            return None, False
        if location in self._bulk:
            raise BadMultipartError("Two parts have the same Content-Location.")
        self._bulk[location] = Bulk(media_type.essence, media_type.parameters.get("transfer-syntax"), data)
        return data, False

    def _count(self, more: int, *, is_metadata: bool) -> None:
        self._size += more
        self._metadata_size += more if is_metadata else 0
        if self._size > METADATA_UPLOAD_BYTES or self._metadata_size > METADATA_BYTES:
            raise PayloadTooLargeError(
                f"Metadata and bulk data may have {METADATA_UPLOAD_BYTES // 1024**2} MiB in one request, of which "
                f"{METADATA_BYTES // 1024**2} MiB may be metadata. PS3.10 files have no such limit: send those."
            )

    def _instances_of_json(self) -> Sequence[object]:
        instances: list[object] = []
        for part in self._metadata:
            try:
                text = bytes(part).removeprefix(b"\xef\xbb\xbf").lstrip()
                # One data set without the list around it is what some clients send of a single instance.
                if text.startswith(b"{"):
                    text = b"[" + text + b"]"
                instances += msgspec.json.decode(text, type=list[msgspec.Raw])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                raise BadRequestError("The metadata is no JSON list of data sets.") from None
        self._metadata.clear()
        return instances

    def _file(self, instance: object) -> Sequence[Piece] | None:
        """Return the file of an instance; ``None`` if none can be made, which the report then says."""
        self._instances += 1
        data_set: DataSet = {}
        try:
            data_set = self._data_set(instance)
            return metadata_file(data_set, self._bulk.get)
        except UnreadableDicomError:
            self._report.add(self._failure(data_set))
            return None

    def _data_set(self, instance: object) -> DataSet:
        if isinstance(instance, bytearray):
            return read_native_model(bytes(instance))
        assert isinstance(instance, msgspec.Raw)
        try:
            return msgspec.json.decode(instance, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UnreadableDicomError("A data set of the metadata is no JSON object.") from None

    def _failure(self, data_set: DataSet) -> Failed | OtherFailure:
        try:
            sop_class, instance = identifiers_of(data_set)
        except UnreadableDicomError:
            return OtherFailure(self._instances, FailureReason.CANNOT_UNDERSTAND)
        return Failed(sop_instance_uid(instance), sop_class, FailureReason.CANNOT_UNDERSTAND)


def _chunks(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """Join small pieces and cut large ones, so that neither costs."""
    held = bytearray()
    for piece in pieces:
        if len(held) + len(piece) <= _CHUNK:
            held += piece
            continue
        yield bytes(held)
        held.clear()
        for start in range(0, len(piece), _CHUNK):
            yield bytes(memoryview(piece)[start : start + _CHUNK])
    yield bytes(held)
