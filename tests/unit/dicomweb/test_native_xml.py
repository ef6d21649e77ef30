"""The Native DICOM Model, written and read."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kheops.dicomweb.data_set import UnreadableDicomError
from kheops.dicomweb.native_xml import native_model
from kheops.dicomweb.native_xml_reader import read_native_model

_NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
DATA_SET: dict[str, dict[str, object]] = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080061": {"vr": "CS", "Value": ["CT", None, "SR"]},
    "00081140": {
        "vr": "SQ",
        "Value": [{"00081155": {"vr": "UI", "Value": ["1.2.3"]}}, {}, {"00081155": {"vr": "UI", "Value": ["1.2.4"]}}],
    },
    "00090010": {"vr": "LO", "Value": ['Somebody\'s <own> & "more"']},
    "00091001": {"vr": "LT", "Value": ["line\r\none\ttwo"]},
    "00100010": {
        "vr": "PN",
        "Value": [{"Alphabetic": "Yamada^Tarou^^Dr.^Jr.", "Ideographic": "山田^太郎"}, {"Phonetic": "や^た"}],
    },
    "00100020": {"vr": "LO"},
    "00420011": {"vr": "OB", "InlineBinary": "AAEC"},
    "7FE00010": {"vr": "OW", "BulkDataURI": "https://a.example/b?c=1&d='"},
}


def test_what_is_written_is_read_again() -> None:
    assert read_native_model(native_model(DATA_SET)) == DATA_SET


def test_a_document_has_tags_keywords_and_private_creators_as_the_standard_says() -> None:
    root = ET.fromstring(native_model(DATA_SET))
    assert root.tag == f"{_NAMESPACE}NativeDicomModel"
    attributes = {each.get("tag"): dict(each.attrib) for each in root}
    assert attributes["00100010"] == {"tag": "00100010", "vr": "PN", "keyword": "PatientName"}
    assert attributes["00090001"] == {"tag": "00090001", "vr": "LT", "privateCreator": 'Somebody\'s <own> & "more"'}
    family = root.find(f".//{_NAMESPACE}Ideographic/{_NAMESPACE}FamilyName")
    assert family is not None
    assert family.text == "山田"


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    written = native_model({"00081030": {"vr": "LO", "Value": ["a\x00b\x1b\ud800c\ufffe"]}})
    assert read_native_model(written)["00081030"]["Value"] == ["a\ufffdb\ufffd\ufffdc\ufffd"]


def test_a_private_creator_gets_a_free_block() -> None:
    document = b"""<NativeDicomModel>
        <DicomAttribute tag="00090010" vr="LO"><Value number="1">First</Value></DicomAttribute>
        <DicomAttribute tag="00090001" vr="LO" privateCreator="Second"><Value number="1">x</Value></DicomAttribute>
        <DicomAttribute tag="00090002" vr="LO" privateCreator="First"><Value number="1">y</Value></DicomAttribute>
    </NativeDicomModel>"""
    assert read_native_model(document) == {
        "00090010": {"vr": "LO", "Value": ["First"]},
        "00090011": {"vr": "LO", "Value": ["Second"]},
        "00091101": {"vr": "LO", "Value": ["x"]},
        "00091002": {"vr": "LO", "Value": ["y"]},
    }


_ENTITY = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<NativeDicomModel>",
        b"<Other/>",
        _ENTITY + b'<NativeDicomModel><DicomAttribute tag="00081030" vr="LO"><Value number="1">&b;</Value>'
        b"</DicomAttribute></NativeDicomModel>",
        b"<!DOCTYPE NativeDicomModel><NativeDicomModel/>",
        b'<NativeDicomModel><DicomAttribute tag="0008" vr="LO"/></NativeDicomModel>',
        b'<NativeDicomModel><DicomAttribute tag="00081030"/></NativeDicomModel>',
        (
            b'<NativeDicomModel><DicomAttribute tag="00081030" vr="LO"/><DicomAttribute tag="00081030" vr="LO"/>'
            b"</NativeDicomModel>"
        ),
        (
            b'<NativeDicomModel><DicomAttribute tag="00081030" vr="LO"><Value number="0">a</Value></DicomAttribute>'
            b"</NativeDicomModel>"
        ),
        (
            b'<NativeDicomModel><DicomAttribute tag="00081030" vr="LO"><Value number="999999">a</Value>'
            b"</DicomAttribute></NativeDicomModel>"
        ),
        (
            b'<NativeDicomModel><DicomAttribute tag="00081030" vr="LO"><Value number="1">a</Value><Value number="1">b'
            b"</Value></DicomAttribute></NativeDicomModel>"
        ),
        b"<NativeDicomModel><script/></NativeDicomModel>",
        b'<?xml version="1.0" encoding="no-such"?><NativeDicomModel/>',
        b'<NativeDicomModel><DicomAttribute tag="00081140" vr="SQ"><Item number="1">' * 200,
    ],
)
def test_what_is_no_native_model_is_refused_and_no_entity_is_read(document: bytes) -> None:
    with pytest.raises(UnreadableDicomError):
        read_native_model(document)


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff^"), max_size=8)
_KEYS = st.integers(0x00080000, 0x00FFFFFF).filter(lambda tag: tag >> 16 & 1 == 0).map(lambda tag: f"{tag:08X}")
_DATA_SETS: st.SearchStrategy[Mapping[str, object]] = st.recursive(
    st.dictionaries(
        _KEYS,
        st.one_of(
            st.builds(lambda values: {"vr": "LO", "Value": values}, st.lists(_TEXT, min_size=1, max_size=3)),
            st.builds(lambda text: {"vr": "OB", "BulkDataURI": "x" + text}, _TEXT),
            st.just({"vr": "DA"}),
        ),
        max_size=4,
    ),
    lambda inner: st.dictionaries(
        _KEYS,
        st.builds(lambda items: {"vr": "SQ", "Value": items}, st.lists(inner, min_size=1, max_size=3)),
        max_size=2,
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(_DATA_SETS)
def test_any_data_set_is_read_as_it_was_written(data_set: Mapping[str, object]) -> None:
    assert read_native_model(native_model(data_set)) == data_set


_SOUP = st.lists(
    st.sampled_from(
        [
            b"<NativeDicomModel>",
            b"</NativeDicomModel>",
            b'<DicomAttribute tag="00081140" vr="SQ">',
            b'<DicomAttribute tag="00090001" vr="LO" privateCreator="A">',
            b"</DicomAttribute>",
            b'<Item number="1">',
            b"</Item>",
            b'<Value number="2">',
            b"</Value>",
            b'<PersonName number="1">',
            b"<Alphabetic><FamilyName>",
            b"</FamilyName></Alphabetic>",
            b"</PersonName>",
            b"text",
            b"<!DOCTYPE a>",
            b"&lt;",
            b"\x00",
        ]
    ),
    max_size=30,
).map(b"".join)


def _try(document: bytes) -> None:
    try:
        read_native_model(document)
    except UnreadableDicomError:
        return


@settings(max_examples=300, deadline=None)
@given(st.one_of(_SOUP, st.binary(max_size=200)))
def test_any_document_is_read_or_refused(document: bytes) -> None:
    _try(document)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None)
@given(st.one_of(_SOUP, st.binary(max_size=200)))
def test_any_document_is_read_or_refused_however_long_one_tries(document: bytes) -> None:
    _try(document)
