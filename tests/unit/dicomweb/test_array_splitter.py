"""ArraySplitter on arrays whose elements are known, cut in every way."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kheops.dicomweb.array_splitter import ArraySplitter
from kheops.errors import ArchiveProtocolError

texts = st.text(st.sampled_from('{}[]",\\:aé\n'), max_size=8)
values = st.recursive(
    st.none() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
arrays = st.lists(st.dictionaries(texts, values, max_size=3), max_size=4)


def split(chunks: list[bytes]) -> list[bytes]:
    splitter = ArraySplitter()
    elements = [element for chunk in chunks for element in splitter.feed(chunk)]
    splitter.close()
    return elements


@settings(max_examples=300, deadline=None)
@given(arrays, st.lists(st.integers(0, 400), max_size=12), st.sampled_from([None, 2]), st.booleans())
def test_any_split_gives_the_same_elements(
    array: list[object], cuts: list[int], indent: int | None, escaped: bool
) -> None:
    text = json.dumps(array, indent=indent, ensure_ascii=escaped).encode() + b"\r\n"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[start:stop] for start, stop in pairwise(edges)]
    assert list(map(json.loads, split(chunks))) == array
    assert list(map(json.loads, split([text[i : i + 1] for i in range(len(text))]))) == array


@settings(max_examples=100, deadline=None)
@given(arrays, st.integers(0, 400))
def test_a_cut_array_is_never_complete(array: list[object], cut: int) -> None:
    text = json.dumps(array).encode()
    splitter = ArraySplitter()
    splitter.feed(text[: cut % len(text)])
    with pytest.raises(ArchiveProtocolError):
        splitter.close()


@pytest.mark.parametrize(
    "text", [b"{}", b"[1]", b'["a"]', b"[{},]", b"[,{}]", b"[{}{}]", b"[{}]x", b"[[{}]]", b"null", b"[{}}]", b"x[{}]"]
)
def test_what_is_no_array_of_objects_is_refused(text: bytes) -> None:
    with pytest.raises(ArchiveProtocolError):
        split([text])


def test_an_element_beyond_the_limit_is_refused_before_it_is_held() -> None:
    splitter = ArraySplitter(max_element_bytes=1000)
    assert splitter.feed(b'[{"a":"' + b"x" * 900 + b'"},') == [b'{"a":"' + b"x" * 900 + b'"}']
    with pytest.raises(ArchiveProtocolError, match="too large"):
        splitter.feed(b'{"a":"' + b"x" * 2000)


def test_a_long_string_in_many_chunks_costs_linear_time() -> None:
    small, large = (_seconds(count) for count in (200, 2000))
    assert large < 60 * max(small, 0.0005)


def _seconds(count: int) -> float:
    chunks = [b'[{"a":"', *[b"\\\\\\" + b'"' * 1 + b"x" * 4000] * count, b'"}]']
    started = time.process_time()
    assert len(split(chunks)) == 1
    return time.process_time() - started
