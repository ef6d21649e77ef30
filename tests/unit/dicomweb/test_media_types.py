"""Accept headers and what they get."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kheops.dicomweb.media_ranges import MalformedMediaTypeError, parse_accept, parse_media_type
from kheops.dicomweb.media_types import (
    ZIP,
    Accept,
    Choice,
    Framing,
    negotiate_bulkdata,
    negotiate_dicom,
    negotiate_frames,
    negotiate_instance,
    negotiate_search,
    negotiate_store,
    prefers_zip,
)
from kheops.errors import NotAcceptableError

DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
XML = 'multipart/related; type="application/dicom+xml"'
SEARCH = ["application/dicom+json", "application/json", XML, "application/dicom+xml"]
J2K = "1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize(
    ("header", "content_type"),
    [
        ([], "application/dicom+json"),
        ([""], "application/dicom+json"),
        (["*/*"], "application/dicom+json"),
        (["application/*"], "application/dicom+json"),
        (["application/json"], "application/json"),
        (["APPLICATION/JSON;q=0.5, application/dicom+json;q=0.4"], "application/json"),
        (["text/html, */*;q=0.1"], "application/dicom+json"),
        (["application/json;q=0, */*"], "application/dicom+json"),
        (["application/dicom+json;q=0, */*"], "application/json"),
        (["text/html", "application/dicom+json ; charset=utf-8"], "application/dicom+json"),
        # What OHIF and the npm dicomweb-client send for searches.
        (
            ["application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*"],
            "application/dicom+json",
        ),
        (["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"], "application/dicom+json"),
    ],
)
def test_searches_answer_json(header: list[str], content_type: str) -> None:
    assert negotiate_search(Accept(header)).media_type == content_type


@pytest.mark.parametrize(
    "header",
    [
        "text/html",
        'multipart/related; type="application/dicom"',
        "*/*;q=0",
        "*/json",
        "application",
        "application/json;q=2",
        "application/json q=1",
        "application/json;q=1;q=0",
        "application/json, \x00",
        "a/b," * 5000,
    ],
)
def test_what_cannot_be_had_is_not_acceptable_and_the_answer_lists_what_can(header: str) -> None:
    with pytest.raises(NotAcceptableError) as refused:
        negotiate_search(Accept([header]))
    assert refused.value.available == SEARCH


@pytest.mark.parametrize(
    "header",
    [
        XML,
        "multipart/related; type=application/dicom+xml",
        "application/dicom+xml",
        "application/dicom+xml, application/dicom+json;q=0.5",
        "application/json;q=0, application/dicom+json;q=0, */*",
    ],
)
def test_who_prefers_xml_gets_a_part_for_each_object(header: str) -> None:
    assert negotiate_search(Accept([header])).media_type == "application/dicom+xml"


@pytest.mark.parametrize(
    ("header", "content_type"),
    [
        ([], "application/dicom+json"),
        (["*/*"], "application/dicom+json"),
        (["application/json"], "application/json"),
        (["application/dicom+xml"], "application/dicom+xml"),
        (["application/dicom+xml;q=0.1, application/dicom+json"], "application/dicom+json"),
    ],
)
def test_a_store_request_is_answered_in_json_or_xml(header: list[str], content_type: str) -> None:
    assert negotiate_store(Accept(header)) == content_type
    with pytest.raises(NotAcceptableError):
        negotiate_store(Accept(["multipart/related; type=application/dicom+xml, text/html"]))


def test_the_accept_parameter_takes_the_place_of_the_header() -> None:
    assert negotiate_search(Accept(["text/html"], ["application/json"])).media_type == "application/json"
    with pytest.raises(NotAcceptableError):
        negotiate_search(Accept(["application/json"], ["text/html"]))


def test_a_plus_sign_lost_in_the_query_string_is_found_again() -> None:
    assert negotiate_search(Accept((), ["application/dicom json"])).media_type == "application/dicom+json"


@pytest.mark.parametrize(
    ("header", "framing", "store_accept"),
    [
        ([], Framing.MULTIPART, DICOM),
        (["*/*"], Framing.MULTIPART, DICOM),
        (["multipart/related"], Framing.MULTIPART, DICOM),
        (["multipart/*"], Framing.MULTIPART, DICOM),
        (["multipart/related; type=application/dicom"], Framing.MULTIPART, DICOM),
        (['multipart/related; type="application/*"'], Framing.MULTIPART, DICOM),
        (['multipart/related; type="*/*"'], Framing.MULTIPART, DICOM),
        (["application/dicom"], Framing.SINGLE_PART, DICOM),
        (["application/dicom; transfer-syntax=*"], Framing.SINGLE_PART, DICOM),
        (["application/dicom;q=0.5, multipart/related;q=0.4"], Framing.SINGLE_PART, DICOM),
        (
            ['multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'],
            Framing.MULTIPART,
            'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1',
        ),
        # The transfer syntax swallowed by the quotes of the type.
        (
            [f'multipart/related; type="application/dicom; transfer-syntax={J2K}"'],
            Framing.MULTIPART,
            f'multipart/related; type="application/dicom"; transfer-syntax={J2K}',
        ),
        (
            [
                f"multipart/related; type=application/dicom; transfer-syntax={J2K}",
                "multipart/related; type=application/dicom; transfer-syntax=*; q=0.5",
            ],
            Framing.MULTIPART,
            f'multipart/related; type="application/dicom"; transfer-syntax={J2K}, {DICOM}; q=0.5',
        ),
    ],
)
def test_an_instance_comes_as_asked(header: list[str], framing: Framing, store_accept: str) -> None:
    assert negotiate_instance(Accept(header)) == Choice("application/dicom", framing, store_accept)


@pytest.mark.parametrize(
    "header",
    [
        "application/octet-stream",
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="application/dicom"; transfer-syntax=JPEG',
        'multipart/related; type="application/dicom"; transfer-syntax="1.2, */*"',
        'multipart/related; type="application/dicom";q=0, multipart/related;q=1',
        'multipart/form-data; type="application/dicom"',
    ],
)
def test_an_instance_comes_in_no_other_form(header: str) -> None:
    with pytest.raises(NotAcceptableError, match="multipart/related"):
        negotiate_instance(Accept([header]))


def test_a_series_never_comes_as_a_single_part() -> None:
    with pytest.raises(NotAcceptableError) as refused:
        negotiate_dicom(Accept(["application/dicom"]))
    assert refused.value.available == ['multipart/related; type="application/dicom"', "application/zip"]
    assert negotiate_dicom(Accept()).store_accept == DICOM


@pytest.mark.parametrize(
    ("header", "media_type", "framing", "store_accept"),
    [
        ([], "application/octet-stream", Framing.MULTIPART, OCTETS),
        (['multipart/related; type="*/*"'], "application/octet-stream", Framing.MULTIPART, OCTETS),
        (
            ["multipart/related; type=application/octet-stream; transfer-syntax=*"],
            "application/octet-stream",
            Framing.MULTIPART,
            OCTETS,
        ),
        (["application/octet-stream"], "application/octet-stream", Framing.SINGLE_PART, OCTETS),
        (
            [f'multipart/related; type="image/jp2"; transfer-syntax={J2K}'],
            "image/jp2",
            Framing.MULTIPART,
            f'multipart/related; type="image/jp2"; transfer-syntax={J2K}',
        ),
        (
            ['multipart/related; type="image/jpeg"'],
            "image/jpeg",
            Framing.MULTIPART,
            'multipart/related; type="image/jpeg"',
        ),
        (["image/jpeg"], "image/jpeg", Framing.SINGLE_PART, 'multipart/related; type="image/jpeg"'),
    ],
)
def test_a_frame_comes_as_asked(header: list[str], media_type: str, framing: Framing, store_accept: str) -> None:
    assert negotiate_frames(Accept(header), count=1) == Choice(media_type, framing, store_accept)


def test_several_frames_never_come_as_a_single_part() -> None:
    with pytest.raises(NotAcceptableError):
        negotiate_frames(Accept(["application/octet-stream"]), count=2)
    assert negotiate_frames(Accept(["application/octet-stream, */*;q=0.1"]), count=2).framing is Framing.MULTIPART


def test_bulk_data_is_the_body_unless_multipart_is_asked_for() -> None:
    assert negotiate_bulkdata(Accept(["*/*"])).framing is Framing.SINGLE_PART
    multipart = negotiate_bulkdata(Accept(["multipart/related; type=application/octet-stream"]))
    assert multipart == Choice("application/octet-stream", Framing.MULTIPART, OCTETS)
    with pytest.raises(NotAcceptableError):
        negotiate_bulkdata(Accept(["image/jpeg"]))


accept_pieces = st.lists(
    st.sampled_from(
        [*'*/;,="\\ \tq.01', "multipart/related", "application/dicom", "type=", "transfer-syntax=", "q=0.5", "q=", J2K]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=500, deadline=None)
@example('multipart/related; type="a\\"b"')
@given(accept_pieces | st.text(max_size=60))
def test_any_text_gets_a_choice_of_ours_or_is_not_acceptable(text: str) -> None:
    try:
        choice = negotiate_instance(Accept([text]))
    except NotAcceptableError:
        return
    # Nothing of the caller's but validated transfer syntaxes and qualities reaches the store.
    for candidate in parse_accept([choice.store_accept]):
        assert candidate.media_type.essence == "multipart/related"
        assert candidate.media_type.parameters["type"] == "application/dicom"
        assert set(candidate.media_type.parameters["transfer-syntax"]) <= set("*.0123456789")


def test_a_media_type_with_something_behind_it_is_malformed() -> None:
    with pytest.raises(MalformedMediaTypeError):
        parse_media_type("application/dicom, application/json")
    assert parse_media_type(' Application/DICOM ;A="b\\"c";; d=e ').parameters == {"a": 'b"c', "d": "e"}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/zip", True),
        ("application/zip, application/dicom+json;q=0.5", True),
        ("application/dicom+json, application/zip", False),
        ("application/dicom+json, application/zip;q=0.9", False),
        ("*/*", False),
        ("application/*", False),
        ("", False),
    ],
)
def test_a_search_is_a_download_only_for_who_prefers_one(header: str, expected: bool) -> None:
    assert prefers_zip(Accept([header])) is expected


def test_a_search_that_takes_neither_is_told_of_both() -> None:
    with pytest.raises(NotAcceptableError) as refused:
        prefers_zip(Accept(["text/html"]))
    assert refused.value.available == [*SEARCH, "application/zip"]


def test_a_study_is_a_download_only_for_who_prefers_one() -> None:
    assert negotiate_dicom(Accept(["application/zip"])).media_type == ZIP
    assert negotiate_dicom(Accept(parameter=["application/zip"])).media_type == ZIP
    for header in ("*/*", "application/*, multipart/related", "multipart/related, application/zip"):
        assert negotiate_dicom(Accept([header])).media_type == "application/dicom", header
