import asyncio
import json
from typing import Any

import pytest

from kheops.archive.joined_metadata import JoinedMetadata
from kheops.archive.port import ArchiveAbsentError, ArchiveStream
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.contract.archive.objects import read


def _numbered(number: int) -> InstanceRef:
    return InstanceRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"), SopInstanceUID(f"1.2.3.{number}"))


class _Pieces:
    status, content_type, content_length, content_range = 200, "application/dicom+json", None, None

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.aborted = False

    async def chunks(self) -> Any:
        for piece in self._pieces:
            yield piece

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(
    "pieces",
    [(b'[{"a":[1]}]',), (b" ", b"\n[", b'{"a"', b":[1]", b"}", b"]", b" \r\n"), (b'[{"a":[1]} ] ',)],
)
def test_joined_metadata_is_one_array_however_it_arrives(pieces: tuple[bytes, ...]) -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        return _Pieces(*pieces)

    joined = JoinedMetadata([_numbered(1), _numbered(2)], open_one)
    assert json.loads(asyncio.run(read(joined))) == [{"a": [1]}, {"a": [1]}]


@pytest.mark.parametrize("pieces", [(b'{"a":1}',), (b'[{"a":1}',), (b"",)])
def test_joined_metadata_takes_nothing_but_arrays(pieces: tuple[bytes, ...]) -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        return _Pieces(*pieces)

    with pytest.raises(ArchiveProtocolError):
        asyncio.run(read(JoinedMetadata([_numbered(1)], open_one)))


def test_joined_metadata_is_cut_where_an_instance_has_gone() -> None:
    async def open_one(_: InstanceRef) -> ArchiveStream:
        raise ArchiveAbsentError

    with pytest.raises(ArchiveUnavailableError):
        asyncio.run(read(JoinedMetadata([_numbered(1)], open_one)))


def test_aborted_joined_metadata_asks_for_nothing_further() -> None:
    opened: list[_Pieces] = []

    async def open_one(_: InstanceRef) -> ArchiveStream:
        opened.append(_Pieces(b'[{"a":1},', b'{"b":2}]'))
        return opened[-1]

    async def use() -> None:
        joined = JoinedMetadata([_numbered(1), _numbered(2)], open_one)
        async for chunk in joined.chunks():
            if b"a" in chunk:
                joined.abort()

    with pytest.raises(ArchiveUnavailableError):
        asyncio.run(use())
    assert [each.aborted for each in opened] == [True]
