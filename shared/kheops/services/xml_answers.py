"""Lists of data sets as XML: ``multipart/related`` with a document for each (PS3.18 section 8.7.3.2)."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from kheops.archive.port import ArchiveStream
from kheops.dicomweb.array_splitter import ArraySplitter
from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head
from kheops.dicomweb.native_xml import XML, native_model
from kheops.errors import ArchiveProtocolError

__all__ = ["LARGEST_IN_XML", "InXml", "xml_content_type", "xml_parts"]

LARGEST_IN_XML: Final = 4 * 1024 * 1024
"""Bytes of one data set as JSON: to write it otherwise, it must be read whole, which takes many times its size."""

_DataSet = dict[str, dict[str, object]]
_DECODER: Final = msgspec.json.Decoder(_DataSet)


def xml_content_type(boundary: bytes) -> str:
    """Return the Content-Type of a body of `xml_parts`."""
    return content_type(boundary, part_type=XML)


async def xml_parts(array: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Give the data sets of a DICOM JSON array as the parts of a multipart body, one after the other.

    Parameters
    ----------
    array
        The array as it arrives; its failures go through.
    boundary
        Between the parts.

    Raises
    ------
    ArchiveProtocolError
        If it is no array of data sets, breaks off, or one of them is larger than `LARGEST_IN_XML`.
    """
    splitter = ArraySplitter(max_element_bytes=LARGEST_IN_XML)
    async for chunk in array:
        for element in splitter.feed(chunk):
            # Off the event loop, whatever its size: some have thousands of elements.
            document = await to_thread(_document, element)
            yield part_head(boundary, part_type=XML) + document + PART_TAIL
    splitter.close()
    yield closing(boundary)


def _document(element: bytes) -> bytes:
    try:
        return native_model(_DECODER.decode(element))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ArchiveProtocolError("A data set is not in the DICOM JSON Model.") from None


class InXml:
    """A store's metadata, on its way to the caller as XML."""

    __slots__ = ("_boundary", "_inner", "content_length", "content_range", "content_type", "status")

    def __init__(self, inner: ArchiveStream) -> None:
        self._inner = inner
        self._boundary = new_boundary()
        self.status = inner.status
        self.content_type: str = xml_content_type(self._boundary)
        self.content_length: int | None = None
        self.content_range: str | None = None

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body once; raises as the store's own stream does, and as `xml_parts`."""
        return xml_parts(self._inner.chunks(), self._boundary)

    def abort(self) -> None:
        """Close the connection to the store."""
        self._inner.abort()
