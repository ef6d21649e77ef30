"""Files that are not as the standard wants them: with which reason they fail, and what the catalog makes of them."""

import logging
import struct

import pytest
from pydicom.uid import generate_uid

from kheops.services.store_report import FailureReason
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, reasons, stored

LARGE = 5 * 1024 * 1024
UNDEFINED = 0xFFFFFFFF
CT, MR = b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.4\0"
OF_DOUBT = struct.pack("<HH2sH", 2, 3, b"UI", 4) + b"9.9\0"


def nested(depth: int) -> bytes:
    """Return sequences of undefined length inside each other, as one element that may stand last."""
    begin = struct.pack("<HH2sHL", 0xFFFC, 1, b"SQ", 0, UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
    end = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return begin * depth + end * depth


@pytest.mark.parametrize("size", [4, LARGE], ids=["held", "streamed"])
@pytest.mark.parametrize("kind", ["nested", "other instance in the meta", "other class in the meta", "broken off"])
def test_a_file_that_cannot_be_stored_fails_under_its_own_uid(world: StoreWorld, kind: str, size: int) -> None:
    alice = world.person("alice")
    study, series = new_uid(), new_uid()
    # Of one length, so that one stands where the other did.
    uid, other = (str(generate_uid())[:40].rstrip(".") for _ in range(2))
    other = uid[:-1] + ("1" if uid[-1] != "1" else "2")
    file = a_file(study=study, series=series, instance=uid, pixels=b"\1" * size)
    bad, reason = {
        "nested": (file + nested(100), FailureReason.CANNOT_UNDERSTAND),
        "other instance in the meta": (file.replace(uid.encode(), other.encode(), 1), FailureReason.CANNOT_UNDERSTAND),
        "other class in the meta": (file.replace(CT, MR, 1), FailureReason.OTHER_CLASS),
        "broken off": (file[:-2], FailureReason.CANNOT_UNDERSTAND),
    }[kind]
    assert bad != file
    report = world.store(alice, bad)
    assert reasons(report) == {uid: reason}
    assert report.other == []
    assert world.archive.files == {}
    assert world.instance_states() == {}
    assert stored(world.store(alice, file)) == {uid}


@pytest.mark.parametrize("size", [4, LARGE], ids=["held", "streamed"])
def test_a_file_of_which_readers_see_different_objects_is_reported_without_uid(world: StoreWorld, size: int) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=new_uid(), pixels=b"\1" * size)
    at = 144 + struct.unpack_from("<L", file, 140)[0]
    report = world.store(alice, file[:at] + OF_DOUBT + file[at:], b"no DICOM at all")
    assert reasons(report) == {}
    assert [(each.part, each.reason) for each in report.other] == [
        (1, FailureReason.CANNOT_UNDERSTAND),
        (2, FailureReason.PROCESSING_FAILURE),
    ]
    assert world.archive.files == {}


def test_sequences_64_deep_are_stored(world: StoreWorld) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid())) + nested(64)
    assert stored(world.store(alice, file)) == {uid}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_the_catalog_does_not_take_as_it_is_is_told_once_and_without_its_value(
    world: StoreWorld, caplog: pytest.LogCaptureFixture
) -> None:
    alice = world.person("alice")
    study, series, odd = new_uid(), new_uid(), new_uid()
    files = [
        a_file(
            study=study,
            series=series,
            instance=new_uid(),
            number=number,
            patient_name="Nemo" * 15_000,
            modality="CT\\MR",
            BodyPartExamined="A" * 17,
        )
        for number in (1, 2)
    ]
    files.append(a_file(study=study, series=odd, instance=new_uid(), modality="ABCDEFGHIJKLMNOPQ"))
    with caplog.at_level(logging.WARNING):
        assert world.store(alice, *files).is_whole
    rows = world.rows("SELECT series_instance_uid, patient_name, modality, body_part_examined FROM series")
    assert set(rows) == {(series, None, "CT", None), (odd, "Doe^Jane", None, None)}
    told = [record.__dict__["keywords"] for record in caplog.records if record.message == "catalog.attributes_altered"]
    assert told == [["BodyPartExamined", "Modality", "PatientName"]]
    assert "Nemo" not in caplog.text
    assert b"Nemo" in b"".join(world.archive.files.values()), "the store has the file as it came"
