"""Part10Scanner and read_head against the files that pydicom ships, whole, cut and damaged."""

import contextlib
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.errors import InvalidDicomError

from kheops.dicomweb.part10 import (
    NotDicomError,
    Part10Scanner,
    TruncatedFileError,
    UnreadableDicomError,
    read_head,
)
from tests.unit.dicomweb.part10_bytes import (
    scan,
)

DATA = Path(pydicom.__file__).parent / "data"
NO_FILES = {".py", ".json", ".dump", ".icc", ".txt", ".md", ".pyc"}
REFUSED = {
    # pydicom's reader takes them; why we do not:
    "MR_truncated.dcm": TruncatedFileError,
    "rtplan_truncated.dcm": TruncatedFileError,
    # Implicit VR behind a transfer syntax that says explicit; pydicom warns and guesses.
    "SC_rgb_jpeg.dcm": UnreadableDicomError,
    # The SOP Instance UID stands there twice.
    "winter.dcm": UnreadableDicomError,
    # No transfer syntax.
    "meta_missing_tsyntax.dcm": UnreadableDicomError,
}


def shipped() -> Iterator[Path]:
    for path in sorted(DATA.rglob("*")):
        if path.is_file() and path.suffix not in NO_FILES:
            yield path


def file_named(name: str) -> bytes:
    (path,) = (path for path in shipped() if path.name == name)
    return path.read_bytes()


def is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


READABLE = [path for path in shipped() if is_part10(path) and path.name not in REFUSED]


def test_the_shipped_files_are_many_and_various() -> None:
    assert len(READABLE) > 150


@pytest.mark.parametrize("path", READABLE, ids=lambda path: str(path.relative_to(DATA)))
def test_what_pydicom_reads_to_its_end_is_accepted(path: Path) -> None:
    data = path.read_bytes()
    scan(data)
    scan(data, chunk=997)


@pytest.mark.parametrize("name", REFUSED)
def test_what_must_not_be_stored_is_refused(name: str) -> None:
    with pytest.raises(REFUSED[name]):
        scan(file_named(name))


@pytest.mark.parametrize(
    "path", [path for path in shipped() if not is_part10(path)], ids=lambda path: str(path.relative_to(DATA))
)
def test_what_is_no_part10_file_is_refused(path: Path) -> None:
    with pytest.raises(InvalidDicomError):
        pydicom.dcmread(path)
    with pytest.raises(NotDicomError):
        scan(path.read_bytes())


def top_level_ends(data: bytes) -> set[int]:
    """Where a cut is a complete file: between elements of the top level, found by pydicom and not by us."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    starts = set()
    for element in map(dataset.get_item, list(dataset.keys())):
        tell: int = getattr(element, "value_tell", 0) or getattr(element, "file_tell", 0)
        long_head = (element.VR or "") in {"OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UC", "UN", "UR", "UT"}
        implicit = dataset.original_encoding[0]
        starts.add(tell - (12 if long_head and not implicit else 8))
    return starts


CUTTABLE = [
    "CT_small.dcm",
    "JPEG2000.dcm",
    "test-SR.dcm",
    "reportsi.dcm",
    "MR_small_bigendian.dcm",
    "rtplan.dcm",
    "SC_rgb_rle_2frame.dcm",
    "UN_sequence.dcm",
    "image_dfl.dcm",
    "nested_priv_SQ.dcm",
]
ENDS: dict[str, tuple[bytes, set[int]]] = {}


def cuttable(name: str) -> tuple[bytes, set[int]]:
    if name not in ENDS:
        data = file_named(name)
        ENDS[name] = (data, set() if name == "image_dfl.dcm" else top_level_ends(data))
    return ENDS[name]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CUTTABLE), st.floats(0, 1, exclude_max=True), st.integers(1, 70_000))
def test_a_file_cut_inside_an_element_is_refused(name: str, where: float, chunk: int) -> None:
    data, ends = cuttable(name)
    cut = int(where * len(data))
    if name == "image_dfl.dcm" and cut >= len(data) - 8:
        # The file ends with a gzip trailer, which belongs to no element.
        return
    if cut in ends and cut > min(ends):
        scan(data[:cut], chunk=chunk)
        return
    with pytest.raises(NotDicomError if cut < 132 else TruncatedFileError):
        scan(data[:cut], chunk=chunk)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CUTTABLE), st.data())
def test_damaged_bytes_never_raise_anything_else(name: str, draw: st.DataObject) -> None:
    damaged = bytearray(cuttable(name)[0][:20_000])
    for _ in range(draw.draw(st.integers(1, 8))):
        damaged[draw.draw(st.integers(132, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableDicomError):
        scan(bytes(damaged)).head()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CUTTABLE[:4]), st.lists(st.integers(0, 3000), max_size=20))
def test_any_split_gives_the_same_head(name: str, cuts: list[int]) -> None:
    data, _ = cuttable(name)
    scanner = Part10Scanner()
    edges = [0, *sorted(cuts), len(data)]
    for start, stop in pairwise(edges):
        scanner.feed(data[start:stop])
    scanner.close()
    assert scanner.head() == read_head(data, complete=True)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: str(path.relative_to(DATA)))
def test_head_agrees_with_pydicom(path: Path) -> None:
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    try:
        head = read_head(path.read_bytes(), complete=True)
    except UnreadableDicomError:
        named = dataset.file_meta.get("MediaStorageSOPInstanceUID")
        contradicts = named is not None and named != dataset.get("SOPInstanceUID")
        missing = not all(
            dataset.get(keyword)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
        )
        assert contradicts or missing
        return
    assert head.study_instance_uid == dataset.StudyInstanceUID
    assert head.series_instance_uid == dataset.SeriesInstanceUID
    assert head.sop_instance_uid == dataset.SOPInstanceUID
    assert head.sop_class_uid == dataset.SOPClassUID
    assert str(head.transfer_syntax_uid) == str(dataset.file_meta.TransferSyntaxUID)
    assert head.instance["AvailableTransferSyntaxUID"] == head.transfer_syntax_uid
    name = str(dataset.get("PatientName", ""))
    assert head.patient_study.get("PatientName", "").replace("=", "") == name.rstrip("^ ").replace("=", "")
    for keyword in ("Rows", "Columns", "BitsAllocated"):
        expected = dataset.get(keyword)
        assert head.instance.get(keyword) == (None if expected is None else str(expected))
    if dataset.get("Modality"):
        assert head.series["Modality"] == dataset.Modality


@pytest.mark.parametrize(
    ("name", "patient_name"),
    [
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32.dcm", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1.dcm", "Wang^XiaoDong=王^小東"),
        ("chrX2.dcm", "Wang^XiaoDong=王^小东"),
        ("chrRuss.dcm", "Люкceмбypг"),  # noqa: RUF001 - as the file has it
        ("chrArab.dcm", "قباني^لنزار"),
        ("chrFrenMulti.dcm", "Buc^Jérôme"),
    ],
)
def test_names_are_decoded_by_their_character_set(name: str, patient_name: str) -> None:
    head = read_head(file_named(name), complete=True)
    assert head.patient_study["PatientName"] == patient_name
