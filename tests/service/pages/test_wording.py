"""DICOM's values as people write them."""

import pytest

from kheops.web.pages.wording import iso_date, person_name
from kheops.web.sessions import public_origin


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^M^Dr^PhD", "Doe, Dr Jane M, PhD"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou (山田, 太郎, やまだ, たろう)"),
        ("=山田^太郎", "山田, 太郎"),
        ("MR BRAIN", "MR BRAIN"),
        ("^Jane", "Jane"),
        ("^^^^", ""),
        ("", ""),
        ("a^b^c^d^e^f", "a, d b c, e"),
    ],
)
def test_persons_name_is_in_reading_order(value: str, shown: str) -> None:
    assert person_name(value) == shown


@pytest.mark.parametrize(("value", "shown"), [("20240131", "2024-01-31"), ("2024", "2024"), ("", ""), ("x", "x")])
def test_date_is_iso(value: str, shown: str) -> None:
    assert iso_date(value) == shown


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://K.Example:443", "https://k.example"),
        ("https://k.example:8443", "https://k.example:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8042", "http://[::1]:8042"),
    ],
)
def test_origin_is_as_browsers_write_it(url: str, origin: str) -> None:
    assert public_origin(url) == origin
