"""What strangers send, damaged at random: every reader answers or refuses in its own words, soon, and holds nothing.

One set of seeds and one way of damaging them, for some hundred rounds in `make test`, for ten minutes in `make long`.
A failure names the round, by which the input can be made again.
"""

import random
import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from urllib.parse import parse_qsl

import pytest
from pydicom.data import get_testdata_file

from kheops.dicomweb import media_types
from kheops.dicomweb.attributes import Level
from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_accept
from kheops.dicomweb.media_types import Accept
from kheops.dicomweb.multipart import MultipartReader, PartData, boundary_of
from kheops.dicomweb.part10 import Part10Scanner
from kheops.dicomweb.query import parse_query
from kheops.dicomweb.resources import parse
from kheops.errors import KheopsError
from tests.dicom_files import a_file, multipart

Target = Callable[[bytes], object]

_BOUNDARY = "b0undary"


def _multipart(data: bytes) -> None:
    reader = MultipartReader(_BOUNDARY.encode())
    sizes = random.Random(len(data))
    rest, passed = data, 0
    while rest:
        size = sizes.choice((1, 2, 3, 7, 64, 1000, 100_000))
        chunk, rest = rest[:size], rest[size:]
        passed += sum(len(event.data) for event in reader.feed(chunk) if isinstance(event, PartData))
    reader.close()
    assert passed <= len(data)


def _boundary(data: bytes) -> None:
    boundary_of(data.decode("latin-1"))


def _search(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    pairs = parse_qsl(text, keep_blank_values=True)
    for level in Level:
        parse_query(level, pairs)


def _accept(data: bytes) -> None:
    text = data.decode("latin-1")
    parse_accept([text])
    for accept in (Accept([text]), Accept([], [text])):
        for negotiate in (
            media_types.negotiate_search,
            media_types.negotiate_dicom,
            media_types.negotiate_instance,
            media_types.negotiate_bulkdata,
        ):
            try:
                negotiate(accept)
            except KheopsError:
                continue


def _path(data: bytes) -> None:
    parse(b"/studies" + data)


def _file(data: bytes) -> None:
    scanner = Part10Scanner()
    source = BytesIO(data)
    while chunk := source.read(10_000):
        scanner.feed(chunk)
    scanner.close()


def _dicom(name: str) -> bytes:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with open(path, "rb") as file:  # noqa: PTH123 - a path of pydicom's
        return file.read()[:60_000]


_FILES = [
    a_file(study="1.2", series="1.2.3", instance="1.2.3.4"),
    _dicom("CT_small.dcm"),
    _dicom("reportsi.dcm"),
    _dicom("image_dfl.dcm"),
    _dicom("JPEG2000.dcm"),
]
_TARGETS: dict[str, tuple[Target, list[bytes]]] = {
    "multipart": (_multipart, [multipart(*_FILES[:2]), multipart(_FILES[0], b"junk", close=False), multipart()]),
    "boundary": (
        _boundary,
        [
            b'multipart/related; type="application/dicom"; boundary=b0undary',
            b'multipart/related;boundary="a b\'()+_,-./:=?";type=application/dicom;start=<x>',
            b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ],
    ),
    "search": (
        _search,
        [
            b"PatientName=Doe^J*&StudyDate=20200101-20201231&StudyTime=10-&ModalitiesInStudy=CT,MR&limit=10&offset=5",
            b"0020000D=1.2,1.3\\1.4&includefield=all,00081030&includefield=00400275.00400007&fuzzymatching=true",
            b"album=0123456789&inbox=true&favorite=true&sort=-PatientName&00100010=%E5%B1%B1*=&SeriesNumber=007",
        ],
    ),
    "accept": (
        _accept,
        [
            b'multipart/related; type="application/octet-stream"; transfer-syntax=*; q=0.5, application/dicom+json',
            b"multipart/related;type=application/dicom;transfer-syntax=1.2.840.10008.1.2.4.50, */*;q=0.1, image/*",
            b'multipart/related; type="application/dicom; transfer-syntax=\\"1.2.840.10008.1.2.1\\""',
        ],
    ),
    "path": (_path, [b"/1.2/series/1.3/instances/1.4/frames/1,2", b"/1.2/users/a%40b.c", b"/1.2/series/1.3/metadata"]),
    "file": (_file, _FILES),
}
_SPLICES = (
    b"\r\n--b0undary",
    b"--",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"\xfe\xff\x00\xe0",
    b"%",
    b"\\",
    b'"',
    b";",
    b",",
    b"1" * 70,
)


def _damaged(seeds: list[bytes], round_: int) -> bytes:
    chance = random.Random(round_)
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 1, 4, 32, 1000)))
        match chance.randrange(6):
            case 0:
                data[at:to] = chance.randbytes(to - at)
            case 1:
                del data[at:to]
            case 2:
                data[at:at] = chance.choice(_SPLICES)
            case 3:
                data[at:at] = data[at:to] * chance.choice((1, 2, 50))
            case 4:
                del data[at:]
            case _:
                other = chance.choice(seeds)
                data[at:at] = other[: chance.randrange(len(other) + 1)][:2000]
    return bytes(data)


def _fuzz(name: str, *, rounds: int | None = None, seconds: float | None = None) -> int:
    target, seeds = _TARGETS[name]
    started, round_ = time.monotonic(), 0
    slowest = 0.0
    while (rounds is None or round_ < rounds) and (seconds is None or time.monotonic() - started < seconds):
        data = _damaged(seeds, round_)
        begun = time.process_time()
        try:
            target(data)
        except (KheopsError, MalformedMediaTypeError):
            pass
        except Exception as error:
            raise AssertionError(f"{name}, round {round_}: {type(error).__name__}: {error}") from error
        slowest = max(slowest, time.process_time() - begun)
        assert slowest < 2, f"{name}, round {round_}: {slowest:.1f} s of CPU for {len(data)} bytes"
        round_ += 1
    return round_


@pytest.mark.parametrize("name", _TARGETS)
def test_seeds_are_read_and_damage_is_refused(name: str) -> None:
    assert _fuzz(name, rounds=300) == 300


@pytest.mark.parametrize("name", _TARGETS)
def test_damage_is_not_always_refused_nor_always_read(name: str) -> None:
    # Otherwise the seeds or the damage would be worth nothing.
    target, seeds = _TARGETS[name]
    outcomes = set()
    for round_ in range(300):
        try:
            outcomes.add(target(_damaged(seeds, round_)) is None)
        except (KheopsError, MalformedMediaTypeError):
            outcomes.add(False)
    assert outcomes == {True, False} or name == "path"


@pytest.mark.long
@pytest.mark.parametrize("name", _TARGETS)
def test_ten_minutes_of_damage_leave_nothing_behind(name: str) -> None:
    _fuzz(name, rounds=200)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        rounds = _fuzz(name, seconds=600 / len(_TARGETS))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rounds > 1000
    # Caches of bounded size may fill.
    assert after - before < 2 * 1024 * 1024
