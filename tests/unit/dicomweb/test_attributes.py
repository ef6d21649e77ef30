"""The attribute table and its normal forms."""

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from kheops.dicomweb.attributes import ATTRIBUTES, BY_KEYWORD, BY_TAG, comparable_time, normalise


def test_the_table_agrees_with_the_dicom_dictionary() -> None:
    for attribute in ATTRIBUTES:
        assert keyword_for_tag(attribute.tag) == attribute.keyword
        assert dictionary_VR(attribute.tag) == attribute.vr
        assert attribute.key == f"{attribute.tag:08X}"
    assert len(BY_KEYWORD) == len(BY_TAG) == len(ATTRIBUTES)


@pytest.mark.parametrize(
    ("keyword", "text", "value"),
    [
        ("StudyDate", "20200229", "20200229"),
        ("StudyDate", " 1994.11.05 ", "19941105"),
        ("StudyDate", "1994-11-05", "19941105"),
        ("StudyDate", "20210229", None),
        ("StudyDate", "1994.1105", None),
        ("StudyDate", "\u0661\u0669\u0669\u0664\u0661\u0661\u0660\u0665", None),
        ("StudyDate", "20200101\\20200102", "20200101"),
        ("StudyTime", "10:20:30.5", "102030.5"),
        ("StudyTime", "10", "10"),
        ("StudyTime", "102030.1234567", "102030.123456"),
        ("StudyTime", "2500", None),
        ("SeriesNumber", "+007", "7"),
        ("SeriesNumber", "-0", "0"),
        ("SeriesNumber", "1.5", None),
        ("SeriesNumber", "99999999999", None),
        ("SeriesNumber", "2147483648", None),
        ("PatientName", "A^B^^=Ä^ =  ", "A^B=Ä"),
        ("PatientName", "=Ä", "=Ä"),
        ("PatientName", "^^=", None),
        ("PatientID", " a\x00b\x1bc ", "abc"),
        ("PatientID", "   ", None),
        ("PatientID", "ab\\cd", "ab"),
        ("Modality", "CT\\MR", "CT"),
        ("Modality", "\\MR", None),
        ("Modality", "ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP"),
        ("Modality", "ABCDEFGHIJKLMNOPQ", None),
        ("SeriesDescription", "x" * 256, "x" * 256),
        ("SeriesDescription", "x" * 257, None),
        ("PatientName", "x" * 256, "x" * 256),
        ("PatientName", "x" * 128 + "=" + "y" * 128, None),
        ("TimezoneOffsetFromUTC", "+0130", "+0130"),
        ("TimezoneOffsetFromUTC", "+9999", None),
    ],
)
def test_values_are_kept_in_one_form(keyword: str, text: str, value: str | None) -> None:
    assert normalise(BY_KEYWORD[keyword], text) == value


def test_times_compare_as_strings() -> None:
    texts = ["10", "0902", "090100.12", "090100.1", "0901"]
    assert sorted(texts, key=comparable_time) == texts[::-1]
    assert comparable_time("0901") == "090100.000000"
