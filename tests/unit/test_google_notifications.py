"""What messages of a Healthcare API store say, and which are none."""

import base64

import pytest

from kheops.archive.google_notifications import Change, parse_notification
from kheops.errors import BadRequestError
from tests.dicom_files import ref_of

STORE = "locations/europe-west6/datasets/imaging/dicomStores/dicom"
NAME = f"projects/p-1/{STORE}/dicomWeb/studies/1.2.1/series/1.2.2/instances/1.2.3"


def _encoded(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


@pytest.mark.parametrize(
    ("attributes", "change"),
    [
        ({}, Change.STORED),
        ({"action": "StoreInstances", "modality": "CT"}, Change.STORED),
        ({"action": "ImportDicomData"}, Change.STORED),
        ({"action": "DeleteInstances"}, Change.DELETED),
        ({"action": "SetBlobSettings"}, Change.NONE),
        ({"action": "UpdateInstances"}, Change.UNKNOWN),
    ],
)
def test_both_forms_say_which_instance_and_what_was_done(attributes: dict[str, str], change: Change) -> None:
    notification = parse_notification(_encoded(NAME), attributes)
    assert (notification.ref, notification.change) == (ref_of("1.2.1", "1.2.2", "1.2.3"), change)


@pytest.mark.parametrize(
    ("url", "is_ours"),
    [
        (f"https://healthcare.example/v1/projects/12345/{STORE}", True),
        (f"https://healthcare.example/v1/projects/p-1/{STORE}2", False),
        (f"https://healthcare.example/v1/projects/p-1/x{STORE}", False),
        ("https://healthcare.example/v1/projects/p-1/locations/l/datasets/imaging/dicomStores/dicom", False),
    ],
)
def test_store_is_told_by_all_but_the_project(url: str, is_ours: bool) -> None:
    assert parse_notification(_encoded(NAME), {}).is_of(url) is is_ours


@pytest.mark.parametrize(
    "data",
    [
        "",
        "no base64!",
        _encoded(""),
        _encoded(NAME) + "=",
        _encoded(NAME + "\n"),
        _encoded(NAME + "/frames/1"),
        _encoded(NAME.replace("1.2.3", "1.2.3a")),
        _encoded(NAME.replace("1.2.3", "1..3")),
        _encoded(NAME.replace("1.2.2", "*")),
        _encoded(NAME.replace("1.2.1", "1." * 40 + "1")),
        _encoded(NAME.rpartition("/instances")[0]),
        _encoded("x" * 100_000),
        base64.b64encode(b"\xff\xfe").decode(),
    ],
)
def test_what_names_no_instance_is_refused_without_its_words(data: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        parse_notification(data, {})
    assert refused.value.detail == "The message's data must be the name of a DICOM instance."
