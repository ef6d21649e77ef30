"""Part10Scanner and read_head against files that were made to deceive."""

import io
import struct
import tracemalloc
import zlib

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from kheops.dicomweb.part10 import (
    DoubtfulIdentityError,
    OtherClassError,
    Part10Scanner,
    TruncatedFileError,
    UnreadableDicomError,
    identify,
    read_head,
)
from tests.unit.dicomweb.part10_bytes import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    SERIES,
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY,
    UIDS,
    UNDEFINED,
    bare,
    file_of,
    long,
    scan,
    short,
)


def test_an_equals_sign_inside_a_japanese_character_is_no_delimiter() -> None:
    # The second byte pair of ISO-IR 87 for this character begins with 0x3D.
    name = b"Haru=\x1b$B=U\x1b(B^\x1b$BB@O:\x1b(B"
    data = file_of(
        short(8, 5, b"CS", b"\\ISO 2022 IR 87")
        + SOP_CLASS
        + SOP_INSTANCE
        + short(0x10, 0x10, b"PN", name)
        + STUDY
        + SERIES
    )
    assert read_head(data, complete=True).patient_study["PatientName"] == "Haru=春^太郎"


@pytest.mark.parametrize("character_set", [b"unicode_escape", b"ISO_IR 999", b"\xff", b"", b"idna"])
def test_an_unknown_character_set_is_read_as_latin_1_in_silence(character_set: bytes) -> None:
    data = file_of(
        short(8, 5, b"CS", character_set)
        + SOP_CLASS
        + SOP_INSTANCE
        + short(0x10, 0x10, b"PN", b"M\xfcller")
        + STUDY
        + SERIES
    )
    assert read_head(data, complete=True).patient_study["PatientName"] == "Müller"


def test_a_bad_optional_value_is_dropped_and_costs_nothing_else() -> None:
    data = file_of(
        SOP_CLASS
        + SOP_INSTANCE
        + short(8, 0x20, b"DA", b"1994.11.05")
        + short(8, 0x21, b"DA", b"20211399")
        + short(8, 0x30, b"TM", b"10:20:30")
        + short(8, 0x60, b"CS", b"M\xfc")
        + short(8, 0x201, b"SH", b"+99999")
        + short(8, 0x1030, b"LO", b"x" * 5000)
        + short(0x10, 0x10, b"PN", b"A^B^^^ ")
        + STUDY
        + SERIES
        + short(0x20, 0x11, b"IS", b"seven")
        + short(0x20, 0x13, b"IS", b" +007 ")
        + short(0x28, 0x10, b"US", b"\x01")
    )
    head = read_head(data, complete=True)
    assert head.patient_study == {"StudyDate": "19941105", "StudyTime": "102030", "PatientName": "A^B"}
    assert head.series == {}
    assert set(head.altered) == {
        "TimezoneOffsetFromUTC",
        "StudyDescription",
        "SeriesDate",
        "Modality",
        "SeriesNumber",
        "Rows",
    }
    assert head.instance == {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "InstanceNumber": "7",
        "AvailableTransferSyntaxUID": EXPLICIT,
    }


@pytest.mark.parametrize(
    "data_set",
    [
        SOP_CLASS + SOP_INSTANCE + SERIES,
        SOP_CLASS + SOP_INSTANCE + short(0x20, 0x0D, b"UI", b"") + SERIES,
        SOP_CLASS + SOP_INSTANCE + short(0x20, 0x0D, b"UI", b"1..2") + SERIES,
        SOP_CLASS + SOP_INSTANCE + short(0x20, 0x0D, b"UI", b"1.2\\1.3\0") + SERIES,
        SOP_CLASS + SOP_INSTANCE + short(0x20, 0x0D, b"UI", b"1" * 65 + b"\0") + SERIES,
        SOP_CLASS + SOP_INSTANCE + short(0x20, 0x0D, b"UI", b" 1.2") + SERIES,
        SOP_INSTANCE + STUDY + SERIES,
    ],
)
def test_identifiers_must_be_there_and_well_formed(data_set: bytes) -> None:
    with pytest.raises(UnreadableDicomError, match="absent, empty or ill-formed"):
        read_head(file_of(data_set), complete=True)


@pytest.mark.parametrize(
    "data_set",
    [
        SOP_CLASS + SOP_INSTANCE + STUDY + STUDY + SERIES,
        UIDS + short(0x28, 0x10, b"US", b"\1\0") + short(0x20, 0x0D, b"UI", b"6.6\0"),
        SOP_CLASS + SOP_INSTANCE + SERIES + STUDY,
    ],
)
def test_an_identifier_that_another_reader_may_see_differently_is_refused(data_set: bytes) -> None:
    with pytest.raises(DoubtfulIdentityError, match="repeated or out of order"):
        scan(file_of(data_set))
    with pytest.raises(DoubtfulIdentityError):
        identify(file_of(data_set))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize("element", [0x00020003, 0x00020010, 0x00000002])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_elements_of_the_file_meta_information_inside_the_data_set_are_refused(
    syntax: str, element: int, first: bool
) -> None:
    # pydicom, for one, goes on with them as file meta information, whatever its length says.
    order = ">" if syntax == BIG_ENDIAN else "<"

    def encoded(tag: int, value: bytes) -> bytes:
        if syntax == IMPLICIT:
            return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
        return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value

    uids = [(0x00080016, b"1.2\0"), (0x00080018, b"1.2.3.4\0"), (0x0020000D, b"1.3\0"), (0x0020000E, b"1.4\0")]
    good = [encoded(tag, value) for tag, value in uids]
    extra = encoded(element, b"1.2.3.5\0")
    for data_set, refused in ((good, False), ([extra, *good] if first else [*good, extra], True)):
        body = b"".join(data_set)
        data = file_of(deflated(body) if syntax == DEFLATED else body, syntax=syntax)
        if not refused:
            assert scan(data).head().sop_instance_uid == "1.2.3.4"
            continue
        with pytest.raises(DoubtfulIdentityError, match="file meta information"):
            scan(data)
        with pytest.raises(DoubtfulIdentityError):
            identify(data)


def test_they_are_nothing_inside_a_sequence() -> None:
    inner = ITEM + short(2, 3, b"UI", b"9.9\0") + ITEM_END
    nested = long(8, 0x1115, b"SQ", UNDEFINED) + inner + SEQUENCE_END
    assert scan(file_of(SOP_CLASS + SOP_INSTANCE + nested + STUDY + SERIES)).head().sop_instance_uid == "1.2.3.4"


def sequences(depth: int, *, defined: bool) -> bytes:
    nested = b""
    for _ in range(depth):
        if defined:
            nested = bare(0xE000, len(nested)) + nested
            nested = long(0x40, 0xA730, b"SQ", len(nested)) + nested
        else:
            nested = long(0x40, 0xA730, b"SQ", UNDEFINED) + ITEM + nested + ITEM_END + SEQUENCE_END
    return nested


def test_sequences_are_followed_64_deep_and_their_length_is_enough_where_it_is_known() -> None:
    scan(file_of(UIDS + sequences(64, defined=False)))
    scan(file_of(UIDS + sequences(100, defined=True)))
    for depth in (65, 100):
        data = file_of(UIDS + sequences(depth, defined=False))
        with pytest.raises(UnreadableDicomError, match="deeply"):
            scan(data)
        assert identify(data).sop_instance_uid == "1.2.3.4"
    with pytest.raises(UnreadableDicomError, match="absent"):
        identify(file_of(SOP_CLASS + SOP_INSTANCE + sequences(100, defined=False).replace(b"\x40\0", b"\x08\0")))


def test_of_a_repeated_attribute_that_identifies_nothing_the_first_counts() -> None:
    twice = short(0x10, 0x20, b"LO", b"first ") + short(0x10, 0x20, b"LO", b"second")
    data = file_of(SOP_CLASS + SOP_INSTANCE + twice + STUDY + SERIES)
    assert read_head(data, complete=True).patient_study == {"PatientID": "first"}


def test_a_repeated_transfer_syntax_is_refused() -> None:
    with pytest.raises(UnreadableDicomError, match="repeats"):
        scan(file_of(UIDS, meta=short(2, 0x10, b"UI", IMPLICIT.encode() + b"\0")))


def test_a_uid_inside_a_sequence_identifies_nothing() -> None:
    nested = long(8, 0x1115, b"SQ", UNDEFINED) + ITEM + short(0x20, 0x0D, b"UI", b"6.6\0") + ITEM_END + SEQUENCE_END
    data = file_of(SOP_CLASS + SOP_INSTANCE + nested + STUDY + SERIES + nested.replace(b"\x15\x11", b"\x00\x00", 1))
    assert read_head(data, complete=True).study_instance_uid == "1.2"


@pytest.mark.parametrize(("element", "value"), [(2, b"1.2.3\0"), (3, b"1.2.3.5\0")])
def test_file_meta_information_that_names_another_object_is_refused(element: int, value: bytes) -> None:
    data = file_of(UIDS, meta=short(2, element, b"UI", value))
    with pytest.raises(OtherClassError if element == 2 else UnreadableDicomError, match="another object") as caught:
        read_head(data, complete=True)
    assert isinstance(caught.value, OtherClassError) == (element == 2)
    assert identify(data).sop_instance_uid == "1.2.3.4"


def test_file_meta_information_of_a_wrong_length_is_refused() -> None:
    data = bytearray(file_of(UIDS))
    for wrong in (-2, 2, 8, 5000):
        (length,) = struct.unpack_from("<L", data, 140)
        changed = bytes(data[:140]) + struct.pack("<L", length + wrong) + bytes(data[144:])
        with pytest.raises(UnreadableDicomError):
            scan(changed)


@pytest.mark.parametrize(
    ("data_set", "detail"),
    [
        (UIDS + short(0x28, 0x10, b"ZZ", b"\1\0"), "value representation"),
        (UIDS + struct.pack("<HHL", 0x28, 0x10, 2) + b"\1\0", "value representation"),
        (UIDS + long(0x40, 0x275, b"SQ", UNDEFINED) + UIDS, "no item"),
        (UIDS + long(0x40, 0x275, b"SQ", UNDEFINED) + bare(0xE0DD, 4) + b"1234", "delimiter"),
        (UIDS + ITEM_END, "where none may"),
        (UIDS + long(0x40, 0x275, b"UT", UNDEFINED) + SEQUENCE_END, "neither a sequence"),
        (UIDS + long(0x7FE0, 0x10, b"OB", UNDEFINED) + ITEM + SEQUENCE_END, "fragment"),
        (UIDS + (long(0x40, 0x275, b"SQ", UNDEFINED) + ITEM) * 100, "deeply"),
    ],
)
def test_broken_structure_is_refused_in_plain_words(data_set: bytes, detail: str) -> None:
    with pytest.raises(UnreadableDicomError, match=detail):
        scan(file_of(data_set))


@pytest.mark.parametrize("opened", [b"", ITEM, ITEM + ITEM_END])
def test_a_file_that_ends_in_an_open_sequence_is_truncated(opened: bytes) -> None:
    with pytest.raises(TruncatedFileError):
        scan(file_of(UIDS + long(0x40, 0x275, b"SQ", UNDEFINED) + opened))


def test_an_unknown_sequence_is_read_as_implicit_little_endian() -> None:
    inner = struct.pack("<HHL", 0x20, 0x0D, 4) + b"6.6\0" + struct.pack("<HHL", 8, 0x1115, UNDEFINED) + SEQUENCE_END
    data = file_of(UIDS + long(0x21, 0x1010, b"UN", UNDEFINED) + ITEM + inner + ITEM_END + SEQUENCE_END)
    assert scan(data).head().study_instance_uid == "1.2"


def test_trailing_padding_is_an_element_like_any_other() -> None:
    scan(file_of(UIDS + long(0xFFFC, 0xFFFC, b"OB", 4) + bytes(4)))
    with pytest.raises(TruncatedFileError):
        scan(file_of(UIDS + long(0xFFFC, 0xFFFC, b"OB", 4) + bytes(3)))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_every_uncompressed_encoding_is_read(syntax: str) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    dataset.Rows, dataset.PatientID = 258, "ÄB"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PixelData = bytes(300)
    dataset["PixelData"].VR = "OW"
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    head = read_head(file.getvalue(), complete=True)
    assert head.instance["Rows"] == "258"
    assert head.patient_study["PatientID"] == "ÄB"
    with pytest.raises(TruncatedFileError):
        scan(file.getvalue()[:-3])


def test_a_beginning_is_enough_for_the_head() -> None:
    pixels = long(0x7FE0, 0x10, b"OW", 1 << 30)
    data = file_of(UIDS + short(0x28, 0x10, b"US", b"\1\0") + pixels + bytes(1000))
    assert read_head(data, complete=False).instance["Rows"] == "1"
    with pytest.raises(TruncatedFileError):
        read_head(data, complete=True)
    with pytest.raises(UnreadableDicomError, match="absent"):
        read_head(data[:200], complete=False)
    scanner = Part10Scanner()
    scanner.feed(data[: -1000 - len(pixels)])
    assert not scanner.head_complete
    scanner.feed(pixels)
    assert scanner.head_complete


def deflated(data_set: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data_set) + deflater.flush()


def test_a_deflation_bomb_takes_neither_memory_nor_the_limit() -> None:
    size = 200 << 20
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = deflater.compress(UIDS + long(0x7FE0, 0x10, b"OW", size))
    for _ in range(size >> 20):
        stream += deflater.compress(bytes(1 << 20))
    data = file_of(stream + deflater.flush(), syntax=DEFLATED)
    tracemalloc.start()
    try:
        scan(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    scanner = Part10Scanner(max_inflated_bytes=100 << 20)
    with pytest.raises(UnreadableDicomError, match="limit"):
        scanner.feed(data)


def test_a_deflated_file_ends_with_its_stream() -> None:
    stream = deflated(UIDS)
    for trailer in (b"\0", b"crc3size\0"):
        scan(file_of(stream + trailer, syntax=DEFLATED), chunk=7)
    for bad, error in (
        (stream[:-1], TruncatedFileError),
        (stream + b"another ten", UnreadableDicomError),
        (b"\xff" + stream, UnreadableDicomError),
        (deflated(UIDS[:-1]), TruncatedFileError),
    ):
        with pytest.raises(error):
            scan(file_of(bad, syntax=DEFLATED), chunk=7)


def test_a_large_file_is_walked_in_constant_memory() -> None:
    head = file_of(UIDS + long(0x7FE0, 0x10, b"OW", 512 << 20))
    chunk = bytes(1 << 16)
    tracemalloc.start()
    try:
        scanner = Part10Scanner()
        scanner.feed(head)
        for _ in range((512 << 20) >> 16):
            scanner.feed(chunk)
        scanner.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
