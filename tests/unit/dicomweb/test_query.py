"""Search parameters to queries."""

import re
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kheops.dicomweb.attributes import BY_KEYWORD, Level
from kheops.dicomweb.matches import DateRange, Exact, Match, Modalities, PersonName, TimeRange, Uids, Wildcard
from kheops.dicomweb.query import (
    AlbumSource,
    AnySource,
    InboxSource,
    Query,
    Sort,
    parse_query,
)
from kheops.errors import AlbumNotFoundError, BadQueryParameterError
from kheops.ids import AlbumId


def query(text: str, level: Level = Level.STUDY) -> Query:
    return parse_query(level, parse_qsl(text, keep_blank_values=True))


def by(keyword: str) -> object:
    return BY_KEYWORD[keyword]


def only_match(text: str, level: Level = Level.INSTANCE) -> Match:
    (match,) = query(text, level).matches
    return match


def test_nothing_asked_is_everything_in_the_order_of_kheops() -> None:
    assert query("") == Query(
        level=Level.STUDY,
        matches=(),
        limit=None,
        offset=0,
        fuzzymatching=False,
        includefield=(),
        include_all=False,
        sort=Sort(BY_KEYWORD["StudyDate"], descending=True),
        unknown_keys=(),
        source=AnySource(),
    )
    assert query("", Level.SERIES).sort == Sort(BY_KEYWORD["SeriesNumber"], descending=False)
    assert query("", Level.INSTANCE).sort == Sort(BY_KEYWORD["InstanceNumber"], descending=False)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("PatientID=a%20b", Exact(BY_KEYWORD["PatientID"], "a b")),
        ("00100020=a+b", Exact(BY_KEYWORD["PatientID"], "a b")),
        ("0008103e=T1*", Wildcard(BY_KEYWORD["SeriesDescription"], "T1*")),
        ("AccessionNumber=1?3", Wildcard(BY_KEYWORD["AccessionNumber"], "1?3")),
        ("PatientName=*doe*", PersonName(BY_KEYWORD["PatientName"], "*doe*")),
        ("PatientName=Doe^J,+Jr", PersonName(BY_KEYWORD["PatientName"], "Doe^J, Jr")),
        ("StudyDate=20200131", DateRange(BY_KEYWORD["StudyDate"], "20200131", "20200131", is_range=False)),
        ("StudyDate=20200131-", DateRange(BY_KEYWORD["StudyDate"], "20200131", None)),
        ("StudyDate=-20200131", DateRange(BY_KEYWORD["StudyDate"], None, "20200131")),
        ("StudyDate=20200101+-+20200131", DateRange(BY_KEYWORD["StudyDate"], "20200101", "20200131")),
        ("StudyTime=10", TimeRange(BY_KEYWORD["StudyTime"], "100000.000000", "105959.999999", is_range=False)),
        ("StudyTime=1015-102030.5", TimeRange(BY_KEYWORD["StudyTime"], "101500.000000", "102030.599999")),
        ("SeriesNumber=007", Exact(BY_KEYWORD["SeriesNumber"], "7")),
        ("StudyInstanceUID=1.2", Uids(BY_KEYWORD["StudyInstanceUID"], frozenset({"1.2"}))),
        (
            "StudyInstanceUID=1.2,1.3&0020000D=1.4%5C1.5&StudyInstanceUID=",
            Uids(BY_KEYWORD["StudyInstanceUID"], frozenset({"1.2", "1.3", "1.4", "1.5"})),
        ),
        ("Modality=ct", Modalities(BY_KEYWORD["Modality"], frozenset({"CT"}))),
        ("ModalitiesInStudy=CT,mr", Modalities(BY_KEYWORD["ModalitiesInStudy"], frozenset({"CT", "MR"}))),
        (
            "ModalitiesInStudy=CT&ModalitiesInStudy=MR",
            Modalities(BY_KEYWORD["ModalitiesInStudy"], frozenset({"CT", "MR"})),
        ),
        ("Modality=c*", Wildcard(BY_KEYWORD["Modality"], "C*")),
        ("SOPClassUID=1.2", Uids(BY_KEYWORD["SOPClassUID"], frozenset({"1.2"}))),
    ],
)
def test_each_kind_of_key_has_its_kind_of_match(text: str, match: Match) -> None:
    assert only_match(text) == match


@pytest.mark.parametrize("value", ["", "*", "**", "%20"])
@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyDate", "StudyTime", "SeriesNumber", "Modality"])
def test_an_empty_value_matches_everything(keyword: str, value: str) -> None:
    assert query(f"{keyword}={value}", Level.INSTANCE).matches == ()


def test_uids_match_everything_when_empty() -> None:
    assert query("StudyInstanceUID=&SeriesInstanceUID=*", Level.SERIES).matches == ()


@pytest.mark.parametrize(
    "text",
    [
        "StudyDate=2020",
        "StudyDate=20200230",
        "StudyDate=2020.01.01",
        "StudyDate=-",
        "StudyDate=20200101-20200102-20200103",
        "StudyDate=2020*",
        "StudyTime=25",
        "StudyTime=10:20",
        "StudyTime=10a",
        "StudyInstanceUID=x",
        "StudyInstanceUID=1.2*",
        "StudyInstanceUID=" + "1" * 65,
        "PatientID=a&PatientID=b",
        "PatientID=a&00100020=a",
        "PatientID=" + "a" * 1025,
        "ModalitiesInStudy=C*,MR",
        "limit=0",
        "limit=-1",
        "limit=a",
        "limit=",
        "limit=1.0",
        "limit=%D9%A1",
        "limit=1&limit=1",
        "limit=1000000000",
        "offset=-1",
        "offset=",
        "fuzzymatching=yes",
        "sort=Modality",
        "sort=",
        "sort=--StudyDate",
        "inbox=yes",
        "inbox=true&album=abcdefghij",
        "inbox&album=abcdefghij",
        "favorite=true",
        "a%0db=1",
        "%3Cscript%3E=1",
        "=1",
        "includefield=" + "a," * 600,
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadQueryParameterError) as refused:
        query(text)
    assert refused.value.detail


def test_limit_and_offset() -> None:
    page = query("limit=1&offset=0")
    assert (page.limit, page.offset) == (1, 0)
    assert query("offset=25&limit=101").offset == 25


def test_keys_of_lower_levels_and_unknown_keys_are_named_and_not_matched_on() -> None:
    searched = query(
        "Modality=CT&SOPInstanceUID=1.2&InstitutionName=x&00080080=y&Rows=5&foo-bar=1&PatientID=a&foo-bar=2"
    )
    assert searched.unknown_keys == ("Modality", "SOPInstanceUID", "InstitutionName", "00080080", "Rows", "foo-bar")
    assert searched.matches == (Exact(BY_KEYWORD["PatientID"], "a"),)
    assert query("Modality=CT&PatientID=a&SOPInstanceUID=1", Level.SERIES).unknown_keys == ("SOPInstanceUID",)


def test_parameters_of_the_negotiation_are_no_keys() -> None:
    assert query("accept=application/dicom%2Bjson&charset=utf-8").unknown_keys == ()


@pytest.mark.parametrize(
    "text",
    [
        "includefield=00081030&includefield=00080060",
        "includefield=00081030,00080060",
        "includefield=StudyDescription,Modality",
        "includefield=StudyDescription&includefield=Modality,00081030",
        "includefield=%20StudyDescription%20,Nonsense,0008006,,Modality",
    ],
)
def test_included_fields_are_the_same_in_every_form(text: str) -> None:
    searched = query(text)
    assert searched.includefield == ("00081030", "00080060")
    assert not searched.include_all


def test_included_fields_may_be_all_or_anything_of_the_dictionary_or_within_sequences() -> None:
    searched = query("includefield=all,InstitutionName,RequestAttributesSequence.0040100a,x.StudyDate")
    assert searched.include_all
    assert searched.includefield == ("00080080", "00400275.0040100A")


def test_included_fields_that_name_no_attribute_are_told() -> None:
    misspelt = "StudyDescripton,Modality,%20Nonsense.StudyDate%20,,all,0008"
    searched = query(f"includefield={misspelt}&includefield=%22x%22,%22")
    assert searched.unknown_fields == ("StudyDescripton", "Nonsense.StudyDate", "0008", "(malformed)")
    assert query("includefield=favorite,00012346,all&inbox=true").unknown_fields == ()


def test_sort_is_by_keyword_and_direction() -> None:
    assert query("sort=-PatientName").sort == Sort(BY_KEYWORD["PatientName"], descending=True)
    assert query("sort=Modality", Level.SERIES).sort == Sort(BY_KEYWORD["Modality"], descending=False)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("inbox=true", InboxSource()),
        ("inbox", InboxSource()),
        ("inbox=", InboxSource()),
        ("inbox=TRUE", InboxSource()),
        ("inbox=false", AnySource()),
        ("album=abcdefghij", AlbumSource(AlbumId("abcdefghij"))),
        ("inbox=false&album=abcdefghij", AlbumSource(AlbumId("abcdefghij"))),
    ],
)
def test_the_source_is_what_the_parameters_say(text: str, source: object) -> None:
    assert query(text).source == source


@pytest.mark.parametrize("text", ["album=", "album=short", "album=abcdefghi%20", "album=..%2F......."])
def test_an_album_id_that_is_none_is_an_album_that_is_not_there(text: str) -> None:
    with pytest.raises(AlbumNotFoundError):
        query(text)


def test_fuzzymatching_is_always_understood() -> None:
    assert query("fuzzymatching=true&limit=25&offset=0&includefield=all").fuzzymatching
    assert not query("fuzzymatching=false").fuzzymatching


names = st.sampled_from([*BY_KEYWORD, "limit", "offset", "sort", "inbox", "album", "includefield", "00080020", "zzz"])


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(Level),
    st.lists(
        st.tuples(names | st.text(max_size=5), st.text(max_size=8) | st.text("-*?.,\\0123456789:", max_size=12)),
        max_size=5,
    ),
)
def test_any_parameters_give_a_query_or_one_of_two_errors(level: Level, pairs: list[tuple[str, str]]) -> None:
    try:
        searched = parse_query(level, pairs)
    except (BadQueryParameterError, AlbumNotFoundError):
        return
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in searched.unknown_keys)
