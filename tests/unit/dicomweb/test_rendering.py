import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from kheops.dicomweb.data_set import UnreadableDicomError
from kheops.dicomweb.renderable import CLASSES, Renderable, renderable
from kheops.dicomweb.rendering import (
    Annotation,
    IccProfile,
    Region,
    RenderingName,
    RenderingParameters,
    Viewport,
    Window,
    WindowFunction,
    read_rendering,
    rendering_query,
)
from kheops.dicomweb.value_reader import ValueReader
from kheops.errors import BadQueryParameterError

# Parameters -------------------------------------------------------------------------------------------------------

_sides = st.integers(1, 10_000)
_regions = st.builds(Region, st.integers(0, 99_999), st.integers(0, 99_999), _sides, _sides)
_numbers = st.integers(-(10**9), 10**9).map(float)
_parameters = st.builds(
    RenderingParameters,
    viewport=st.none() | st.builds(Viewport, _sides, _sides, st.none() | _regions),
    window=st.none() | st.builds(Window, _numbers, st.integers(1, 10**9).map(float), st.sampled_from(WindowFunction)),
    quality=st.none() | st.integers(1, 100),
    annotation=st.sampled_from([(), (Annotation.PATIENT,), (Annotation.TECHNIQUE, Annotation.PATIENT)]),
    icc_profile=st.none() | st.sampled_from(IccProfile),
)


@given(_parameters)
def test_what_is_written_for_a_store_reads_as_what_it_was_made_of(parameters: RenderingParameters) -> None:
    query = rendering_query(parameters, frozenset(RenderingName)).removeprefix("?")
    pairs = [(name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)]
    assert read_rendering(pairs) == parameters
    assert {name for name, _ in pairs} == parameters.named()


def test_a_store_is_sent_only_what_it_knows() -> None:
    parameters = RenderingParameters(viewport=Viewport(1, 2), window=Window(0.5, 1e9), quality=3)
    assert rendering_query(parameters, frozenset()) == ""
    assert rendering_query(parameters, frozenset({RenderingName.QUALITY})) == "?quality=3"
    known = frozenset({RenderingName.VIEWPORT, RenderingName.WINDOW})
    assert rendering_query(parameters, known) == "?viewport=1,2&window=0.5,1000000000,linear"
    assert rendering_query(RenderingParameters(window=Window(1e13, 1)), known) == "?window=1e%2B13,1,linear"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("viewport", value)
            for value in ("", "1", "0,1", "1,10001", "1,1,1", "1,1,,,,", "1,1,0,0,-1,1", "1,1,a,0,1,1")
        ),
        *(
            ("window", value)
            for value in ("", "1", "1,0.5,linear", "1,0,sigmoid", "1,x,linear", "1,2,3", "inf,1,linear")
        ),
        *(("quality", value) for value in ("", "0", "101", "1.5", "٣")),
        *(("annotation", value) for value in ("", "all", "patient,")),
        *(("iccprofile", value) for value in ("", "SRGB")),
    ],
)
def test_malformed_parameters_are_refused(name: str, value: str) -> None:
    with pytest.raises(BadQueryParameterError):
        read_rendering([(name, value)])


def test_a_viewport_takes_the_proportions_of_what_it_shows() -> None:
    assert Viewport(100, 100).fitted(columns=400, rows=200, enlarging=True) == Viewport(100, 50)
    assert Viewport(1000, 1000).fitted(columns=400, rows=200, enlarging=True) == Viewport(1000, 500)
    assert Viewport(1000, 1000).fitted(columns=400, rows=200, enlarging=False) == Viewport(400, 200)
    assert Viewport(10_000, 10_000).fitted(columns=400, rows=200, enlarging=True) == Viewport(4096, 2048)
    assert Viewport(10, 10).fitted(columns=9000, rows=1, enlarging=True) == Viewport(10, 1)
    region = Region(0, 0, 10, 40)
    assert Viewport(20, 20, region).fitted(columns=400, rows=200, enlarging=True) == Viewport(5, 20, region)


# What is rendered --------------------------------------------------------------------------------------------------

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NAMES = {uid: entry[0] for uid, entry in UID_dictionary.items() if uid.startswith(_STORAGE)}


def test_what_is_listed_holds_its_own_pixels_or_document() -> None:
    images, others = CLASSES
    endings = ("Image Storage", "- For Presentation", "- For Processing", "Volume Storage", "Volume Analysis Storage")
    unusual = {_NAMES[uid] for uid in images if not _NAMES[uid].endswith(endings)}
    assert unusual == {"RT Dose Storage", "Parametric Map Storage"}
    assert {_NAMES[uid] for uid in others} == {
        "Encapsulated PDF Storage",
        "Video Endoscopic Image Storage",
        "Video Microscopic Image Storage",
        "Video Photographic Image Storage",
    }


def test_no_class_that_refers_to_what_it_shows_is_rendered() -> None:
    telling = (
        "Presentation State",
        "SR",
        "Report",
        "Key Object",
        "Structured Display",
        "Hanging",
        "Segmentation",
        "RT Plan",
    )
    refused = [uid for uid, name in _NAMES.items() if any(word in name for word in telling)]
    assert len(refused) > 40
    assert {renderable(sop_class_uid=uid, transfer_syntax_uid="1.2.840.10008.1.2.1") for uid in refused} == {None}
    assert renderable(sop_class_uid=None, transfer_syntax_uid=None) is None
    assert renderable(sop_class_uid="1.2.3", transfer_syntax_uid="1.2.840.10008.1.2.4.102") is None


def test_the_transfer_syntax_makes_a_video() -> None:
    video = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
    found = {
        number: renderable(sop_class_uid=video, transfer_syntax_uid=f"1.2.840.10008.1.2.4.{number}")
        for number in (50, 100, 102, 106, 107)
    }
    assert found == {
        50: Renderable.IMAGE,
        100: Renderable.MPEG2_VIDEO,
        102: Renderable.MPEG4_VIDEO,
        106: Renderable.MPEG4_VIDEO,
        107: Renderable.HEVC_VIDEO,
    }


# Values ------------------------------------------------------------------------------------------------------------

_DOCUMENT = 0x00420011
_PIXELS = 0x7FE00010
_VALUE = bytes(range(256)) * 40


def _file(syntax: str = "1.2.840.10008.1.2.1", *, fragments: list[bytes] | None = None, bot: bool = True) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID("1.2.3"), UID("1.2.4")
    meta.TransferSyntaxUID = UID(syntax)
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID, data.PatientID = "1.2.3", "1.2.4", "P"
    inner = Dataset()
    inner.EncapsulatedDocument = b"not this one"
    data.ConceptNameCodeSequence = [inner]
    data["ConceptNameCodeSequence"].is_undefined_length = True
    data.EncapsulatedDocument = _VALUE
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    if fragments is not None:
        data.PixelData = encapsulate(fragments, has_bot=bot)
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.DataSetTrailingPadding = b"\0" * 10
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _read(tag: int, body: bytes, *, size: int) -> tuple[bytes, ValueReader]:
    reader = ValueReader(tag)
    return b"".join(reader.feed(body[start : start + size]) for start in range(0, len(body), size)), reader


@pytest.mark.parametrize("size", [1, 7, 131, 132, 1000, 10**6])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_a_value_comes_out_however_the_file_arrives(syntax: str, size: int) -> None:
    found, reader = _read(_DOCUMENT, _file(syntax), size=size)
    assert (found, reader.ended, reader.length) == (_VALUE, True, len(_VALUE))


@pytest.mark.parametrize("size", [1, 13, 10**6])
@pytest.mark.parametrize("bot", [True, False])
def test_fragments_are_put_together_without_their_offset_table(size: int, bot: bool) -> None:
    body = _file("1.2.840.10008.1.2.4.102", fragments=[_VALUE, b"\1\2", _VALUE], bot=bot)
    found, reader = _read(_PIXELS, body, size=size)
    assert (found, reader.ended, reader.length) == (_VALUE + b"\1\2" + _VALUE, True, None)


def test_a_value_that_is_cut_off_is_not_complete() -> None:
    body = _file()
    cut = body.index(_VALUE) + 100
    found, reader = _read(_DOCUMENT, body[:cut], size=50)
    assert (found, reader.begun, reader.ended) == (_VALUE[:100], True, False)
    _, without = _read(_PIXELS, body, size=50)
    assert not without.begun


def test_what_is_no_file_or_encoded_otherwise_is_refused() -> None:
    for body in (b"x" * 200, _file().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")):
        with pytest.raises(UnreadableDicomError):
            _read(_DOCUMENT, body, size=64)
    with pytest.raises(UnreadableDicomError):
        _read(_DOCUMENT, _file()[:132] + b"\2\0\x10\0UN\0\0\xff\xff\xff\x7f" + b"x" * 300_000, size=4096)
