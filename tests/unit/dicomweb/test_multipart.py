"""MultipartReader against bodies whose parts are known, cut in every way."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kheops.dicomweb.multipart import (
    PART_TAIL,
    End,
    MultipartReader,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
    closing,
    content_type,
    new_boundary,
    part_head,
)
from kheops.errors import BadMultipartError

BOUNDARY = b"b0undary"


def body_of(parts: list[bytes], *, boundary: bytes = BOUNDARY) -> bytes:
    pieces = [part_head(boundary, part_type="application/dicom") + data + PART_TAIL for data in parts]
    return b"".join(pieces) + closing(boundary)


def chunks_of(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[start:stop] for start, stop in pairwise(edges)]


def read(chunks: list[bytes], *, boundary: bytes = BOUNDARY) -> list[tuple[dict[str, str], bytes]]:
    """Return the complete parts."""
    reader = MultipartReader(boundary)
    parts: list[tuple[dict[str, str], bytes]] = []
    headers: dict[str, str] = {}
    data = bytearray()
    ended = 0
    for chunk in chunks:
        for event in reader.feed(chunk):
            match event:
                case PartBegin():
                    headers, data = dict(event.headers), bytearray()
                case PartData():
                    data += event.data
                case PartEnd():
                    parts.append((headers, bytes(data)))
                case End():
                    ended += 1
    reader.close()
    assert ended == 1
    assert reader.finished
    return parts


# Pieces that look like delimiters, so that random data meets them often.
tricky = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"\r\n",
            b"--",
            b"-",
            b"\r\n--",
            b"\r\n--b0undar",
            b"--b0undary",
            b"\r\n\r\n",
            b"\r\n--b0undaryX",
        ]
    )
    | st.sampled_from([b"\r\n--b0undary \t.", b"\r\n--b0undary-", b"\r\n--b0undary\r", b" ", b"\x00"])
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)


def is_data(data: bytes) -> bool:
    """Whether joining pieces did not make a real delimiter, also with what stands around the data."""
    return re.search(rb"\r\n--b0undary(?:--|[ \t]*\r\n)", b"\r\n" + data + b"\r\n") is None


@settings(max_examples=400, deadline=None)
@given(st.lists(tricky.filter(is_data), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_gives_the_same_parts(parts: list[bytes], cuts: list[int]) -> None:
    body = body_of(parts)
    expected = [({"content-type": "application/dicom"}, data) for data in parts]
    assert read(chunks_of(body, cuts)) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(tricky.filter(is_data), min_size=1, max_size=3))
def test_one_byte_at_a_time_gives_the_same_parts(parts: list[bytes]) -> None:
    body = body_of(parts)
    assert [data for _, data in read([body[i : i + 1] for i in range(len(body))])] == parts


@settings(max_examples=100, deadline=None)
@given(st.lists(tricky.filter(is_data), min_size=1, max_size=3), st.integers(1, 10_000))
def test_a_cut_body_ends_exactly_the_parts_whose_delimiter_it_holds(parts: list[bytes], cut: int) -> None:
    body = body_of(parts)
    shortened = body[: len(body) - 4 - cut % (len(body) - 4)]
    reader = MultipartReader(BOUNDARY)
    ends = sum(isinstance(event, PartEnd) for event in reader.feed(shortened))
    # Two bytes behind the boundary tell a delimiter; a body of these parts alone has four there.
    assert ends == sum(len(shortened) >= len(body_of(parts[: count + 1])) - 2 for count in range(len(parts)))
    with pytest.raises(BadMultipartError):
        reader.close()


def test_part_end_waits_for_the_whole_delimiter() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--b0undary\r\n\r\ndata\r\n--b0undary")
    assert not any(isinstance(event, PartEnd) for event in reader.feed(b"-"))
    assert [type(event) for event in reader.feed(b"-")] == [PartEnd, End]


def test_preamble_and_epilogue_are_skipped() -> None:
    body = b"preamble --b0undary\r\n" + body_of([b"one"]) + b"epilogue\r\n--b0undary\r\n\r\nno part"
    assert [data for _, data in read([body])] == [b"one"]


def test_padding_behind_the_boundary_is_borne() -> None:
    body = b"--b0undary  \t\r\nA: b\r\n\r\none\r\n--b0undary \r\n\r\ntwo\r\n--b0undary--"
    assert read([body]) == [({"a": "b"}, b"one"), ({}, b"two")]


@pytest.mark.parametrize(
    "body",
    [
        b"--b0undary\r\n\r\n--b0undary--",
        b"--b0undary\r\n\r\n\r\n--b0undary--",
        b"--b0undary\r\nA: b\r\n\r\n--b0undary--",
    ],
)
def test_an_empty_part_is_empty(body: bytes) -> None:
    assert [data for _, data in read([body])] == [b""]
    assert [data for _, data in read([body[i : i + 1] for i in range(len(body))])] == [b""]


def test_a_body_without_parts_is_complete() -> None:
    assert read([b"--b0undary--\r\n"]) == []


def test_header_fields_are_lower_cased_unfolded_and_trimmed() -> None:
    head = b"Content-Type:  application/dicom;\r\n transfer-syntax=1.2 \r\nX-A: \xc3\xa4\r\n"
    assert read([b"--b0undary\r\n" + head + b"\r\n.\r\n--b0undary--"])[0][0] == {
        "content-type": "application/dicom; transfer-syntax=1.2",
        "x-a": "ä",
    }


@pytest.mark.parametrize("line", [b"no colon", b"A: b\r\nA: c", b"A b: c", b": c", b"A: b\x00c", b"A: b\nC: d"])
def test_a_malformed_header_is_refused(line: bytes) -> None:
    with pytest.raises(BadMultipartError):
        read([b"--b0undary\r\n" + line + b"\r\n\r\n.\r\n--b0undary--"])


def test_parts_before_a_malformed_header_are_not_lost() -> None:
    reader = MultipartReader(BOUNDARY)
    events = reader.feed(b"--b0undary\r\n\r\ngood\r\n--b0undary\r\nbad line\r\n\r\n")
    assert [type(event) for event in events] == [PartBegin, PartData, PartEnd]
    with pytest.raises(BadMultipartError, match="header"):
        reader.feed(b"more")
    with pytest.raises(BadMultipartError, match="header"):
        reader.close()


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_header_without_end_is_refused_in_bounded_memory(size: int) -> None:
    reader = MultipartReader(BOUNDARY, max_header_bytes=1024)

    def feed_for_ever() -> None:
        for _ in range(3000):
            reader.feed(b"--b0undary\r\nA: ")
            reader.feed(b"x" * size)
            assert len(reader._held) <= 1024 + 4

    with pytest.raises(BadMultipartError):
        feed_for_ever()


def test_what_is_held_stays_below_a_delimiter() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--b0undary\r\n\r\n")
    for chunk in (b"\r" * 70_000, b"\r\n-" * 30_000, b"\r\n--b0undar" * 9000, b"\r\n--b0undary" + b" " * 500):
        reader.feed(chunk)
        assert len(reader._held) < len(BOUNDARY) + 4 + 130


def test_an_end_that_is_missing_is_an_error() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--b0undary\r\n\r\nhalf a part")
    with pytest.raises(BadMultipartError, match="closing boundary"):
        reader.close()


def test_chunks_inside_a_part_are_given_on_without_a_copy() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"--b0undary\r\n\r\nx")
    chunk = b"y" * 65536
    (event,) = reader.feed(chunk)
    assert isinstance(event, PartData)
    assert event.data is chunk


def test_hostile_data_costs_no_more_than_linear_time() -> None:
    small, large = (_seconds(b"\r\n--b0undar\r\n--b0undaryX\r" * count) for count in (4_000, 40_000))
    assert large < 60 * max(small, 0.0005)


def _seconds(data: bytes) -> float:
    body = body_of([data])
    started = time.process_time()
    assert [part for _, part in read([body[i : i + 4096] for i in range(0, len(body), 4096)])] == [data]
    return time.process_time() - started


@pytest.mark.parametrize(
    ("text", "boundary"),
    [
        ("multipart/related; type=application/dicom; boundary=abc", b"abc"),
        ('multipart/related;type="application/dicom";boundary="a b:c?=(d)"', b"a b:c?=(d)"),
        ('Multipart/Form-Data ; BOUNDARY = "abc" ; x=y', b"abc"),
        ("multipart/related; boundary=----=_Part_1.2", b"----=_Part_1.2"),
        ("multipart/related; boundary=" + "a" * 70, b"a" * 70),
        (r'multipart/related; boundary="a\bc"', b"abc"),
    ],
)
def test_boundary_is_read_in_every_spelling(text: str, boundary: bytes) -> None:
    assert boundary_of(text) == boundary


@pytest.mark.parametrize(
    "text",
    [
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary=""',
        'multipart/related; boundary="ends with a space "',
        "multipart/related; boundary=" + "a" * 71,
        'multipart/related; boundary="a\u00e4"',
        'multipart/related; boundary="a{b"',
        "multipart/related; boundary=a; boundary=b",
        "application/dicom; boundary=a",
        "nonsense",
        "",
        'multipart/related; boundary="a\r\nX: y"',
    ],
)
def test_a_boundary_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadMultipartError):
        boundary_of(text)


_PIECES = (
    "application/dicom",
    "image/jpeg",
    "a/b;c",
    "A/b",
    "abc",
    "a b",
    "a" * 70,
    "a" * 71,
    "a=b",
    "a;b",
    'a"',
    "\u0661",
)


@settings(max_examples=300)
@example(kind="multipart/related", part="application/dicom", boundary="a" * 70, tail="")
@example(kind="multipart/related", part="application/dicom", boundary="a" * 71, tail="")
@given(
    kind=st.sampled_from(("multipart/related", "multipart/mixed", "multipart", "Multipart/Related")),
    part=st.sampled_from(_PIECES),
    boundary=st.sampled_from(_PIECES) | st.text(st.sampled_from("a1'+_.-(,;\\= "), max_size=8),
    tail=st.sampled_from(("", ";", "; x=y", "; boundary=b", " ", "\n", "x")),
)
def test_the_usual_spelling_means_what_every_other_means(kind: str, part: str, boundary: str, tail: str) -> None:
    def outcome(space: str) -> bytes | None:
        try:
            return boundary_of(f'{kind};{space}type="{part}";{space}boundary={boundary}{tail}')
        except BadMultipartError:
            return None

    # Two spaces are read by the grammar alone.
    assert outcome(" ") == outcome("") == outcome("  ")


def test_what_is_written_is_read_back() -> None:
    boundary = new_boundary()
    assert boundary_of(content_type(boundary, part_type="application/dicom")) == boundary
    assert 'type="application/dicom"' in content_type(boundary, part_type="application/dicom")
    head = part_head(boundary, part_type="image/jp2; transfer-syntax=1.2", headers=[("Content-Location", "/a")])
    parts = read([head + b"data" + PART_TAIL + closing(boundary)], boundary=boundary)
    assert parts == [({"content-type": "image/jp2; transfer-syntax=1.2", "content-location": "/a"}, b"data")]
    assert new_boundary() != boundary


def test_a_header_value_cannot_break_out_of_its_line() -> None:
    with pytest.raises(ValueError, match="header"):
        part_head(b"b", part_type="a/b\r\nX: y")
