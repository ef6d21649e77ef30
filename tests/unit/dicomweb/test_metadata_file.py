"""PS3.10 files made of metadata and bulk data, as pydicom and our own scanner read them."""

import io
from collections.abc import Mapping

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from kheops.dicomweb.data_set import UnreadableDicomError
from kheops.dicomweb.metadata_file import Bulk, metadata_file
from kheops.dicomweb.part10 import read_head
from tests.dicom_files import a_file, bundled

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff%c\x00\x08xxxxxx\xff\xd9"


def an_instance(**elements: dict[str, object]) -> dict[str, object]:
    data_set: dict[str, object] = {
        "00080016": {"vr": "UI", "Value": [SECONDARY_CAPTURE]},
        "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
    }
    return data_set | {key.removeprefix("x"): element for key, element in elements.items()}


def made(data_set: Mapping[str, object], **bulk: Bulk) -> bytes:
    return b"".join(bytes(piece) for piece in metadata_file(data_set, bulk.get))


def read(file: bytes) -> pydicom.Dataset:
    read_head(file, complete=True)
    return pydicom.dcmread(io.BytesIO(file))


def octets(data: bytes, syntax: str | None = None) -> Bulk:
    return Bulk("application/octet-stream", syntax, bytearray(data))


@pytest.mark.parametrize("name", ["CT_small.dcm", "reportsi.dcm", "ExplVR_LitEndNoMeta.dcm", "liver_1frame.dcm"])
def test_the_metadata_of_a_real_file_makes_the_same_data_set(name: str) -> None:
    source = pydicom.dcmread(io.BytesIO(bundled(name)), force=True)
    source.pop("PixelData", None)
    source.pop("DataSetTrailingPadding", None)
    back = read(made(source.to_json_dict()))
    kept = {element.tag: element for element in source if element.tag.element != 0}
    for tag, element in kept.items():
        if tag != 0x00080005:
            assert back[tag].VR == element.VR
            if element.VR not in {"DS", "SQ"}:
                assert back[tag].value == element.value, tag
    assert back.SpecificCharacterSet == "ISO_IR 192"


def test_every_kind_of_value_is_encoded() -> None:
    back = read(
        made(
            an_instance(
                x00080061={"vr": "CS", "Value": ["CT", None, "SR"]},
                x00081140={"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.9"]}}, {}]},
                x00100010={"vr": "PN", "Value": [{"Alphabetic": "Müller^Ä", "Phonetic": "m"}]},
                x00186020={"vr": "SL", "Value": [-2]},
                x00181310={"vr": "US", "Value": [1, "65535"]},
                x00189073={"vr": "FD", "Value": [0.1]},
                x00200032={"vr": "DS", "Value": [0.123456789012345678, -1e-20, "3"]},
                x00200013={"vr": "IS", "Value": [7]},
                x00209165={"vr": "AT", "Value": ["0020000D"]},
                x00420011={"vr": "OB", "InlineBinary": "AAEC"},
                x00431010={"vr": "UN", "InlineBinary": "AAE="},
            )
        )
    )
    assert list(back.ModalitiesInStudy) == ["CT", "", "SR"]
    assert [item.get("ReferencedSOPInstanceUID") for item in back.ReferencedImageSequence] == ["1.9", None]
    assert str(back.PatientName) == "Müller^Ä==m"
    assert (back[0x00186020].value, back[0x00181310].value, back[0x00189073].value) == (-2, [1, 65535], 0.1)
    assert [float(each) for each in back.ImagePositionPatient] == [0.12345678901235, -1e-20, 3]
    assert back.InstanceNumber == 7
    assert back[0x00209165].value == 0x0020000D
    assert back.EncapsulatedDocument == b"\0\1\2\0"


def test_bulk_data_is_referred_to_and_never_copied() -> None:
    data = octets(b"\1\2\3")
    pieces = metadata_file(an_instance(x00420011={"vr": "OB", "BulkDataURI": "a"}), {"a": data}.get)
    assert any(piece is data.data for piece in pieces)
    assert read(b"".join(map(bytes, pieces))).EncapsulatedDocument == b"\1\2\3\0"


@pytest.mark.parametrize(
    ("bulk", "syntax"),
    [
        (octets(b"\1\2\3\4"), "1.2.840.10008.1.2.1"),
        (octets(b"\1\2\3\4", "1.2.840.10008.1.2"), "1.2.840.10008.1.2.1"),
        (octets(JPEG % 0xC0, "1.2.840.10008.1.2.4.50"), "1.2.840.10008.1.2.4.50"),
        (Bulk("image/jpeg", None, bytearray(JPEG % 0xC0)), "1.2.840.10008.1.2.4.50"),
        (Bulk("image/jpeg", None, bytearray(JPEG % 0xC3)), "1.2.840.10008.1.2.4.70"),
        (Bulk("image/jp2", None, bytearray(b"abc")), "1.2.840.10008.1.2.4.90"),
        (Bulk("image/jp2", "1.2.840.10008.1.2.4.91", bytearray(b"abcd")), "1.2.840.10008.1.2.4.91"),
        (Bulk("video/mp4", None, bytearray(b"abc")), "1.2.840.10008.1.2.4.102"),
    ],
)
def test_pixels_have_the_transfer_syntax_of_their_part(bulk: Bulk, syntax: str) -> None:
    back = read(made(an_instance(x7fe00010={"vr": "OW", "BulkDataURI": "p"}), p=bulk))
    assert back.file_meta.TransferSyntaxUID == syntax
    if syntax == "1.2.840.10008.1.2.1":
        assert back.PixelData == bulk.data
    else:
        (frame,) = generate_frames(back.PixelData, number_of_frames=1)
        assert frame == bytes(bulk.data) + b"\0" * (len(bulk.data) % 2)


def test_a_hint_of_the_metadata_counts_where_the_part_says_nothing() -> None:
    data_set = an_instance(
        x7FE00010={"vr": "OB", "BulkDataURI": "p"}, x00083002={"vr": "UI", "Value": ["1.2.840.10008.1.2.4.103"]}
    )
    back = read(made(data_set, p=Bulk("video/mp4", None, bytearray(b"ab"))))
    assert back.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.103"
    assert "AvailableTransferSyntaxUID" not in back


@pytest.mark.parametrize(
    "element",
    [
        {"vr": "OB", "BulkDataURI": "absent"},
        {"vr": "OB", "BulkDataURI": "http://127.0.0.1/never-fetched"},
        {"vr": "OB", "BulkDataURI": 7},
        {"vr": "XX", "Value": ["a"]},
        {"Value": ["a"]},
        {"vr": "LO", "Value": ["a"], "InlineBinary": "AAA="},
        {"vr": "LO", "Value": "a"},
        {"vr": "LO", "Value": ["a\\b"]},
        {"vr": "LO", "Value": [1]},
        {"vr": "LO", "Value": ["a" * 70_000]},
        {"vr": "LT", "Value": ["a", "b"]},
        {"vr": "US", "Value": [70_000]},
        {"vr": "US", "Value": [True]},
        {"vr": "US", "Value": ["1" * 5000]},
        {"vr": "FL", "Value": [1e300]},
        {"vr": "OB", "InlineBinary": "?"},
        {"vr": "OB", "Value": [1]},
        {"vr": "SQ", "Value": ["a"]},
        {"vr": "SQ", "BulkDataURI": "p"},
        {"vr": "AT", "Value": ["xyz"]},
        "text",
    ],
)
def test_what_does_not_fit_is_refused(element: object) -> None:
    with pytest.raises(UnreadableDicomError):
        made(an_instance() | {"00420011": element}, p=octets(b""))


@pytest.mark.parametrize("key", ["0042001", "0042001G", "FFFEE000", "00000002", "0020000d"])
def test_a_tag_that_is_none_or_twice_there_is_refused(key: str) -> None:
    with pytest.raises(UnreadableDicomError):
        made(an_instance() | {key: {"vr": "UI", "Value": ["1.2"]}})


def test_frames_that_cannot_be_told_apart_are_refused() -> None:
    data_set = an_instance(x7FE00010={"vr": "OB", "BulkDataURI": "p"}, x00280008={"vr": "IS", "Value": ["2"]})
    with pytest.raises(UnreadableDicomError):
        made(data_set, p=Bulk("image/jpeg", None, bytearray(JPEG % 0xC0)))


def test_a_jpeg_without_a_frame_is_refused() -> None:
    for data in (b"", b"\xff\xd8", b"\xff\xd8" + b"\xff" * 100_000, b"\xff\xd8\xff\xe0\x00\x00" * 10):
        with pytest.raises(UnreadableDicomError):
            made(
                an_instance(x7FE00010={"vr": "OB", "BulkDataURI": "p"}),
                p=Bulk("image/jpeg", None, bytearray(data)),
            )


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary", "Alphabetic"]), inner),
        st.dictionaries(st.sampled_from(["00080018", "00100010", "7FE00010", "00081140", "zz"]), inner, max_size=3),
    ),
    max_leaves=10,
)
_VRS = st.sampled_from(["SQ", "PN", "US", "DS", "IS", "FD", "AT", "UI", "LO", "OB", "UN", "SV"])
_ELEMENTS = st.fixed_dictionaries({"vr": _VRS}, optional={"Value": st.lists(_JSON, max_size=3), "BulkDataURI": _JSON})


def _try(elements: dict[str, object]) -> None:
    try:
        file = made(an_instance() | elements, a=octets(b"abc"))
    except UnreadableDicomError:
        return
    # What is made is always a whole file, of the object that the metadata names.
    assert read_head(file, complete=True).sop_instance_uid == "1.2.3.4"


_ANY = st.dictionaries(st.integers(0x00100000, 0x7FFFFFFF).map(lambda tag: f"{tag:08X}"), st.one_of(_ELEMENTS, _JSON))
_ANY = _ANY.filter(lambda elements: not elements.keys() & an_instance().keys())


@settings(max_examples=300, deadline=None)
@given(_ANY)
def test_any_metadata_makes_a_whole_file_or_none(elements: dict[str, object]) -> None:
    _try(elements)


@pytest.mark.long
@settings(max_examples=100_000, deadline=None)
@given(_ANY)
def test_any_metadata_makes_a_whole_file_or_none_however_long_one_tries(elements: dict[str, object]) -> None:
    _try(elements)


def test_files_of_the_tests_are_made_again_from_their_metadata() -> None:
    source = pydicom.dcmread(io.BytesIO(a_file(study="1.2", series="1.2.3", instance="1.2.3.4", pixels=b"\5\6")))
    data_set = source.to_json_dict()
    data_set["7FE00010"] = {"vr": "OB", "BulkDataURI": "p"}
    back = read(made(data_set, p=octets(b"\5\6")))
    assert back.PixelData == b"\5\6"
    assert back.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
