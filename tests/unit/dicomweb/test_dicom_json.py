"""Elements of our own, and metadata rewritten."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kheops.dicomweb.dicom_json import InstanceUIDs, data_set, element, encode, rewrite_metadata, sequence
from kheops.errors import ArchiveProtocolError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

UIDS = InstanceUIDs(StudyInstanceUID("1.2"), SeriesInstanceUID("1.3"), SopInstanceUID("1.4"))
IDENTITY = {
    "00080018": {"vr": "UI", "Value": ["1.4"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "0020000E": {"vr": "UI", "Value": ["1.3"]},
}


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("StudyDate", "20200101", {"vr": "DA", "Value": ["20200101"]}),
        ("StudyDate", "", {"vr": "DA"}),
        ("SeriesNumber", "7", {"vr": "IS", "Value": [7]}),
        ("SeriesNumber", "seven", {"vr": "IS"}),
        ("Rows", "512", {"vr": "US", "Value": [512]}),
        ("NumberOfStudyRelatedSeries", 3, {"vr": "IS", "Value": [3]}),
        ("ModalitiesInStudy", ["CT", "MR"], {"vr": "CS", "Value": ["CT", "MR"]}),
        ("ModalitiesInStudy", [], {"vr": "CS"}),
        (
            "PatientName",
            "A^B=山^田=や^た",
            {"vr": "PN", "Value": [{"Alphabetic": "A^B", "Ideographic": "山^田", "Phonetic": "や^た"}]},
        ),
        ("PatientName", "=山", {"vr": "PN", "Value": [{"Ideographic": "山"}]}),
    ],
)
def test_an_element_has_the_form_of_its_value_representation(
    keyword: str, value: str, expected: dict[str, object]
) -> None:
    assert element(keyword, value) == expected


def test_a_data_set_is_in_order_of_its_tags() -> None:
    answer = data_set(
        {
            "PatientID": element("PatientID", "x"),
            "StudyDate": element("StudyDate", "20200101"),
            "ReferencedSOPSequence": sequence(
                "ReferencedSOPSequence",
                [data_set({"ReferencedSOPInstanceUID": element("ReferencedSOPInstanceUID", "1")})],
            ),
        }
    )
    assert list(answer) == ["00080020", "00081199", "00100020"]
    assert json.loads(encode([answer]))[0]["00081199"]["Value"] == [{"00081155": {"vr": "UI", "Value": ["1"]}}]
    assert sequence("FailedSOPSequence", []) == {"vr": "SQ"}


def rewrite(metadata: object) -> object:
    raw = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    rewritten = rewrite_metadata(raw, keep=lambda uid: uid == "1.4", public_uri=public_uri)
    return None if rewritten is None else json.loads(rewritten)


def public_uri(uids: InstanceUIDs, uri: str) -> str | None:
    assert uids == UIDS
    return "https://public/" + uri.removeprefix("http://store/") if uri.startswith("http://store/") else None


def test_metadata_without_addresses_is_passed_on_as_it_is() -> None:
    raw = (
        b'{"00080018":{"vr":"UI","Value":["1.4"]},  "0020000D":{"vr":"UI","Value":["1.2"]},'
        b'"0020000E":{"vr":"UI","Value":["1.3"]},"00280030":{"vr":"DS","Value":[0.50, 1e-7]}}'
    )
    assert rewrite_metadata(raw, keep=lambda _: True, public_uri=public_uri) is raw


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        [],
        {**IDENTITY, "00080018": {"vr": "UI", "Value": ["1.5"]}},
        {**IDENTITY, "00080018": {"vr": "UI", "Value": ["1.4", "1.5"]}},
        {**IDENTITY, "00080018": {"vr": "UI", "Value": [None]}},
        {**IDENTITY, "00080018": {"vr": "UI"}},
        {**IDENTITY, "0020000D": {"vr": "UI", "Value": ["x"]}},
        {key: value for key, value in IDENTITY.items() if key != "0020000E"},
    ],
)
def test_what_is_hidden_or_does_not_identify_itself_is_dropped(metadata: object) -> None:
    assert rewrite(metadata) is None


def test_addresses_are_replaced_at_any_depth() -> None:
    def bulk(uri: str) -> dict[str, object]:
        return {"vr": "OW", "BulkDataURI": uri}

    metadata = {
        **IDENTITY,
        "7FE00010": bulk("http://store/pixels"),
        "00091010": {"BulkDataURI": "http://elsewhere/x", "vr": "UN"},
        "00091011": {"BulkDataURI": "http://elsewhere/x"},
        "00091012": {"vr": "OB", "BulkDataURI": "file:///etc", "x": 1},
        "00400275": {"vr": "SQ", "Value": [{"00420011": bulk('http://store/a"b\\ü'), "00091010": bulk("")}]},
        "00081190": {"vr": "UR", "Value": ["http://store/inner"]},
        # Text that only looks like one.
        "00104000": {
            "vr": "LT",
            "Value": ['"BulkDataURI": "http://elsewhere"', "BulkDataURI", '"BulkDataURI'],
            "y": 0,
        },
    }
    assert rewrite(metadata) == {
        **IDENTITY,
        "7FE00010": bulk("https://public/pixels"),
        "00091010": {"vr": "UN"},
        "00091011": {},
        "00091012": {"vr": "OB", "x": 1},
        "00400275": {"vr": "SQ", "Value": [{"00420011": bulk('https://public/a"b\\ü'), "00091010": {"vr": "OW"}}]},
        "00104000": metadata["00104000"],
    }


def test_no_spelling_of_white_space_hides_an_address() -> None:
    raw = json.dumps({**IDENTITY, "7FE00010": {"vr": "OW", "BulkDataURI": "http://inner/x"}}, indent=2)
    for spelled in (raw, raw.replace('"BulkDataURI": ', '"BulkDataURI"\r\n\t : \n')):
        rewritten = rewrite_metadata(spelled.encode(), keep=lambda _: True, public_uri=lambda _uids, _uri: None)
        assert rewritten is not None
        assert b"inner" not in rewritten
        assert json.loads(rewritten)["7FE00010"] == {"vr": "OW"}


def test_an_address_given_twice_is_dropped_twice() -> None:
    raw = json.dumps(IDENTITY).encode()[:-1] + b',"7FE00010":{"vr":"OW" , "BulkDataURI":"a" , "BulkDataURI":"b"}}'
    assert rewrite(raw) == {**IDENTITY, "7FE00010": {"vr": "OW"}}


@pytest.mark.parametrize("value", [b"null", b"7", b'["http://inner/x"]', b'{"a":1}'])
def test_an_address_that_is_no_string_is_an_error(value: bytes) -> None:
    raw = json.dumps(IDENTITY).encode()[:-1] + b',"7FE00010":{"vr":"OW","BulkDataURI":' + value + b"}}"
    with pytest.raises(ArchiveProtocolError):
        rewrite(raw)


@pytest.mark.parametrize("raw", [b"", b"{", b"{'a'}", b'{"00080018":{"vr":"UI"', b"\xff"])
def test_what_is_no_json_is_an_error(raw: bytes) -> None:
    with pytest.raises(ArchiveProtocolError):
        rewrite(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12) | st.just('"BulkDataURI":"x",'),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6).filter(lambda key: key != "BulkDataURI"), inner, max_size=3)
        | inner.map(lambda value: {"a": value, "BulkDataURI": "http://inner/", "z": value})
        | st.just({"BulkDataURI": "http://inner/"})
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(json_values, st.booleans(), st.sampled_from([None, 1]))
def test_rewriting_equals_replacing_in_the_parsed_tree(value: object, replace: bool, indent: int | None) -> None:
    def walk(node: object) -> object:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if isinstance(node, dict):
            return {
                key: ("new" if key == "BulkDataURI" else walk(item))
                for key, item in node.items()
                if key != "BulkDataURI" or replace
            }
        return node

    metadata = {**IDENTITY, "00091010": value}
    rewritten = rewrite_metadata(
        json.dumps(metadata, indent=indent).encode(),
        keep=lambda _: True,
        public_uri=lambda _uids, _uri: "new" if replace else None,
    )
    assert rewritten is not None
    assert json.loads(rewritten) == walk(metadata)
