"""``docs/dicomweb-conformance.md`` says what the code's own tables say."""

from collections.abc import Callable

import pytest

from kheops.dicomweb.attributes import ATTRIBUTES, Level
from kheops.dicomweb.media_types import (
    Accept,
    negotiate_bulkdata,
    negotiate_dicom,
    negotiate_frames,
    negotiate_instance,
    negotiate_rendered,
    negotiate_search,
    negotiate_store,
)
from kheops.dicomweb.query import parse_query
from kheops.dicomweb.renderable import IMAGE_TYPES, Renderable
from kheops.errors import BadQueryParameterError, NotAcceptableError
from kheops.services.search_answers import returned
from kheops.services.store_report import FailureReason
from tests.unit.docs.routes import data_routes
from tests.unit.docs.tables import column, constant, rows

_PAGE = "docs/dicomweb-conformance.md"
_LEVELS = tuple(Level)
_ABOVE = (None, Level.STUDY, Level.SERIES)


def test_every_resource_and_method_is_listed_once() -> None:
    documented = [(row[0], row[1]) for heading in ("Resources", "Sharing verbs") for row in rows(_PAGE, heading)]
    assert sorted(documented) == sorted(data_routes())


def test_attributes_with_tag_and_vr_are_those_that_are_matched_on_or_answered() -> None:
    answered = [
        set(returned(parse_query(level, []), below=above).keywords)
        for level, above in zip(_LEVELS, _ABOVE, strict=True)
    ]
    expected = {
        (
            each.keyword,
            f"({each.key[:4]},{each.key[4:]})",
            each.vr,
            each.level.value,
            _yes(each.matchable),
            *(_yes(each.keyword in keywords) for keywords in answered),
        )
        for each in ATTRIBUTES
        if each.matchable or any(each.keyword in keywords for keywords in answered)
    }
    assert {tuple(row) for row in rows(_PAGE, "Attributes")} == expected


def test_keys_of_order_are_taken_and_the_first_is_the_default() -> None:
    for level, keys in rows(_PAGE, "Order"):
        documented = keys.split(", ")
        assert parse_query(Level(level), []).sort.attribute.keyword == documented[0]
        with pytest.raises(BadQueryParameterError) as caught:
            parse_query(Level(level), [("sort", "NoSuchKey")])
        assert caught.value.detail == f"sort is one of: {', '.join(documented)}."


def test_media_types_are_those_that_a_refusal_lists() -> None:
    negotiations: dict[str, Callable[[Accept], object]] = {
        "search, metadata": negotiate_search,
        "store": negotiate_store,
        "study, series": negotiate_dicom,
        "instance": negotiate_instance,
        "bulk data": negotiate_bulkdata,
        "rendered, of an image": lambda accept: negotiate_rendered(accept, IMAGE_TYPES),
        "thumbnail": lambda accept: negotiate_rendered(accept, ["image/jpeg"]),
        "capabilities": lambda accept: negotiate_rendered(
            accept, ["application/vnd.sun.wadl+xml", "application/json"]
        ),
    }
    documented = {row[0]: row[1].replace("`", "").split(", ") for row in rows(_PAGE, "Media types")}
    assert documented == {name: _available(negotiate) for name, negotiate in negotiations.items()}


def test_what_is_rendered_is_what_the_code_renders() -> None:
    documented = [row[1].replace("`", "").split(", ") for row in rows(_PAGE, "Rendered resources and thumbnails")]
    assert documented == [list(each.media_types) for each in Renderable]


def test_frame_types_are_those_that_a_refusal_lists() -> None:
    types = column(rows(_PAGE, "Frame types"), 0)
    multipart = [f'multipart/related; type="{each}"' for each in types]
    assert _available(lambda accept: negotiate_frames(accept, count=2)) == multipart
    assert _available(lambda accept: negotiate_frames(accept, count=1)) == [*multipart, *types]


def test_failure_reasons_are_those_that_a_store_response_can_have() -> None:
    documented = {(row[0], row[1]) for row in rows(_PAGE, "Failure reasons")}
    assert documented == {(f"0x{reason:04X}", reason.name) for reason in FailureReason}


@pytest.mark.parametrize("row", rows(_PAGE, "Limits"), ids=lambda row: str(row[0]))
def test_limits_are_the_constants_of_the_code(row: list[str]) -> None:
    _, documented, reference = row
    value = constant(reference)
    assert isinstance(value, int)
    assert documented == _in_units(value, documented)


def _available(negotiate: Callable[[Accept], object]) -> list[str]:
    with pytest.raises(NotAcceptableError) as caught:
        negotiate(Accept(["text/html"]))
    return caught.value.available


def _in_units(value: int, documented: str) -> str:
    number, _, unit = documented.partition(" ")
    del number
    size = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "s": 1, "": 1}[unit]
    assert value % size == 0
    return f"{value // size:,} {unit}".strip()


def _yes(truth: object) -> str:
    return "yes" if truth else "no"
