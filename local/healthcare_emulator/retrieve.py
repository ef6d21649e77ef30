"""Retrieving: instances, frames, metadata and bulk data, streamed from their files as they were stored."""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, MediaType, parse_accept, parse_media_type
from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head
from local.healthcare_emulator.calls import Call, file_pieces
from local.healthcare_emulator.dicom_file import BASE, DicomFile, Piece
from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.shelf import Row

__all__ = ["bulkdata", "frames", "instances", "metadata"]

_DICOM: Final = "application/dicom"
_OCTETS: Final = "application/octet-stream"
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_ANY: Final = "*"
_NATIVE: Final = frozenset({"1.2.840.10008.1.2", _EXPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.1.99"})
_FRAME_TYPES: Final = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}


class _Wish:
    """One element of an Accept header: a media type of the object, alone or in multipart."""

    def __init__(self, media_type: MediaType) -> None:
        self.multipart = media_type.type == "multipart"
        self.any = media_type.essence in {"*/*", "multipart/*"}
        syntax = media_type.parameters.get("transfer-syntax")
        essence = media_type.essence
        if self.multipart:
            # A type that swallowed the transfer syntax is not understood here, as it is not by the API.
            essence = media_type.parameters.get("type", _ANY)
            self.any = self.any or essence in {_ANY, "*/*"}
            if ";" in essence:
                parse_media_type(essence)
        self.essence = essence
        self.syntax = syntax


def _wishes(call: Call, available: Sequence[str]) -> list[_Wish]:
    try:
        ranges = sorted(parse_accept([call.headers.get("accept", "*/*")]), key=lambda item: -item.quality)
        return [_Wish(item.media_type) for item in ranges if item.quality > 0]
    except MalformedMediaTypeError:
        raise _not_acceptable(available) from None


def _not_acceptable(available: Sequence[str]) -> GoogleError:
    return GoogleError(HTTPStatus.NOT_ACCEPTABLE, "not acceptable, allowed: " + ", ".join(available))


async def instances(call: Call, rows: Sequence[Row], *, single_allowed: bool) -> None:
    """Answer with whole files: of a study, a series or one instance.

    Files are never transcoded: who asks for another transfer syntax than the stored one gets 406.
    """
    available = [f'multipart/related; type="{_DICOM}"; transfer-syntax=*']
    for wish in _wishes(call, available):
        if not wish.any and wish.essence != _DICOM:
            continue
        if not wish.multipart and not wish.any and not single_allowed:
            continue
        if not all(_syntax_fits(wish, row) for row in rows):
            continue
        if single_allowed and not wish.multipart and not wish.any:
            row = rows[0]
            await call.stream(_DICOM, file_pieces(row.path, [Piece(0, row.size)]), length=row.size)
            return
        boundary = new_boundary()
        await call.stream(content_type(boundary, part_type=_DICOM), _files(boundary, rows))
        return
    raise _not_acceptable(available)


def _syntax_fits(wish: _Wish, row: Row) -> bool:
    if wish.any and wish.syntax is None:
        return True
    return wish.syntax == _ANY or (wish.syntax or _EXPLICIT_LITTLE_ENDIAN) == row.transfer_syntax


def _files(boundary: bytes, rows: Sequence[Row]) -> Iterator[bytes]:
    for row in rows:
        yield part_head(boundary, part_type=f"{_DICOM}; transfer-syntax={row.transfer_syntax}")
        yield from file_pieces(row.path, [Piece(0, row.size)])
        yield PART_TAIL
    yield closing(boundary)


async def frames(call: Call, row: Row, numbers: Sequence[int]) -> None:
    """Answer ``.../frames/1,2``, one part each; only in the stored encoding."""
    image_type = _FRAME_TYPES.get(row.transfer_syntax, _OCTETS)
    available = [f'multipart/related; type="{_OCTETS}"; transfer-syntax=*']
    chosen = next((wish for wish in _wishes(call, available) if _frame_fits(wish, row, image_type)), None)
    if chosen is None:
        raise _not_acceptable(available)
    found = DicomFile(row.path).frames()
    if not found:
        raise _not_acceptable(available)
    if any(not 1 <= number <= len(found) for number in numbers):
        raise GoogleError.bad_request("frame number out of range")
    part_type = _OCTETS if chosen.any else chosen.essence
    boundary = new_boundary()
    wanted = [found[number - 1] for number in numbers]
    await call.stream(
        content_type(boundary, part_type=part_type),
        _frame_parts(boundary, row, wanted, f"{part_type}; transfer-syntax={row.transfer_syntax}"),
    )


def _frame_fits(wish: _Wish, row: Row, image_type: str) -> bool:
    if wish.any:
        return wish.syntax in {None, _ANY, row.transfer_syntax}
    if not wish.multipart:
        return False
    if wish.essence == _OCTETS:
        native = row.transfer_syntax in _NATIVE
        return wish.syntax == _ANY or (native and wish.syntax in {None, _EXPLICIT_LITTLE_ENDIAN})
    return wish.essence == image_type and wish.syntax in {None, _ANY, row.transfer_syntax}


def _frame_parts(boundary: bytes, row: Row, wanted: Sequence[Sequence[Piece]], part_type: str) -> Iterator[bytes]:
    for frame in wanted:
        yield part_head(boundary, part_type=part_type)
        yield from file_pieces(row.path, frame)
        yield PART_TAIL
    yield closing(boundary)


async def bulkdata(call: Call, row: Row, path: str) -> None:
    """Answer ``.../bulkdata/{path}``: as the body itself, or as the one part of a multipart body."""
    available = [f"{_OCTETS}; transfer-syntax=*", f'multipart/related; type="{_OCTETS}"; transfer-syntax=*']
    fitting = [
        wish
        for wish in _wishes(call, available)
        if (wish.any or wish.essence == _OCTETS) and wish.syntax in {None, _ANY}
    ]
    if not fitting:
        raise _not_acceptable(available)
    piece = DicomFile(row.path).bulkdata(path)
    if piece is None:
        raise GoogleError.absent()
    if not fitting[0].multipart:
        await call.stream(_OCTETS, file_pieces(row.path, [piece]), length=piece.length)
        return
    boundary = new_boundary()
    await call.stream(content_type(boundary, part_type=_OCTETS), _frame_parts(boundary, row, [[piece]], f"{_OCTETS}"))


async def metadata(call: Call, rows: Sequence[Row], *, base: str) -> None:
    """Answer ``.../metadata`` as DICOM JSON, bulk data by absolute URI at ``base``."""
    accept = call.headers.get("accept", "*/*")
    if not any(part in accept for part in ("application/dicom+json", "application/json", "*/*")):
        raise _not_acceptable(["application/dicom+json"])
    await call.stream("application/dicom+json; charset=utf-8", _models(rows, json.dumps(base).encode()[1:-1]))


def _models(rows: Sequence[Row], base: bytes) -> Iterator[bytes]:
    mark = BASE.encode()
    for number, row in enumerate(rows):
        yield (b"," if number else b"[") + row.metadata_path.read_bytes().replace(mark, base)
    yield b"]"
