"""Retrieving: instances, frames, metadata and bulk data, streamed from their files as stored, or transcoded."""

import asyncio
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
    """Answer with whole files: of a study, a series or one instance."""
    available = [f'multipart/related; type="{_DICOM}"; transfer-syntax=*']
    for wish in _wishes(call, available):
        if not wish.any and wish.essence != _DICOM:
            continue
        if not wish.multipart and not wish.any and not single_allowed:
            continue
        syntax = wish.syntax or (_ANY if wish.any else _EXPLICIT_LITTLE_ENDIAN)
        if not await asyncio.to_thread(_can_give, rows, syntax):
            continue
        if single_allowed and not wish.multipart and not wish.any:
            (row,) = rows
            piece = await asyncio.to_thread(_file, row, syntax)
            await call.stream(_DICOM, file_pieces(row.path, [piece]), length=piece.length)
            return
        boundary = new_boundary()
        await call.stream(content_type(boundary, part_type=_DICOM), _files(boundary, rows, syntax))
        return
    raise _not_acceptable(available)


def _can_give(rows: Sequence[Row], syntax: str) -> bool:
    others = [row for row in rows if syntax not in {_ANY, row.transfer_syntax}]
    if not others:
        return True
    from local.healthcare_emulator.transcoding import can_transcode  # brings numpy and Pillow along

    return all(can_transcode(row, syntax) for row in others)


def _file(row: Row, syntax: str) -> Piece:
    if syntax in {_ANY, row.transfer_syntax}:
        return Piece(0, row.size)
    from local.healthcare_emulator.transcoding import file_as

    made = file_as(row, syntax)
    return Piece(0, len(made), made)


def _files(boundary: bytes, rows: Sequence[Row], syntax: str) -> Iterator[bytes]:
    for row in rows:
        given = row.transfer_syntax if syntax == _ANY else syntax
        yield part_head(boundary, part_type=f"{_DICOM}; transfer-syntax={given}")
        yield from file_pieces(row.path, [_file(row, syntax)])
        yield PART_TAIL
    yield closing(boundary)


async def frames(call: Call, row: Row, numbers: Sequence[int]) -> None:
    """Answer ``.../frames/1,2``, one part each."""
    image_type = _FRAME_TYPES.get(row.transfer_syntax, _OCTETS)
    available = [f'multipart/related; type="{_OCTETS}"; transfer-syntax=*']
    found = DicomFile(row.path).frames()
    for wish in _wishes(call, available):
        if found and _frame_fits(wish, row, image_type):
            part_type = _OCTETS if wish.any else wish.essence
            syntax = row.transfer_syntax
            wanted = [found[number - 1] for number in _checked(numbers, len(found))]
        elif (made := await asyncio.to_thread(_made_of, wish, row)) is not None:
            part_type = wish.essence
            syntax = _EXPLICIT_LITTLE_ENDIAN if made == part_type else made
            wanted = await asyncio.to_thread(_made_frames, row, numbers, made)
        else:
            continue
        boundary = new_boundary()
        await call.stream(
            content_type(boundary, part_type=part_type),
            _frame_parts(boundary, row, wanted, f"{part_type}; transfer-syntax={syntax}"),
        )
        return
    raise _not_acceptable(available)


def _checked(numbers: Sequence[int], count: int) -> Sequence[int]:
    if any(not 1 <= number <= count for number in numbers):
        raise GoogleError.bad_request("frame number out of range")
    return numbers


def _made_of(wish: "_Wish", row: Row) -> str | None:
    """Return what frames can be made of that are not stored as they are wished, ``None`` if of nothing."""
    if not wish.multipart or wish.any:
        return None
    from local.healthcare_emulator.transcoding import ENCODED_FRAMES, can_transcode  # as above

    target = ENCODED_FRAMES.get((wish.essence, wish.syntax))
    return target if target is not None and can_transcode(row, target) else None


def _made_frames(row: Row, numbers: Sequence[int], target: str) -> list[list[Piece]]:
    from local.healthcare_emulator.transcoding import frame_as

    count = DicomFile(row.path).number_of_frames()
    made = [frame_as(row, number, target) for number in _checked(numbers, count)]
    return [[Piece(0, len(frame), frame)] for frame in made]


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
