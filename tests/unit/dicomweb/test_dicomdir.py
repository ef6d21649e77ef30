"""The DICOMDIR says what is in the file-set, and pydicom and DCMTK read it."""

import subprocess
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet

from kheops.dicomweb.dicomdir import Dicomdir, DirectoryInstance, DirectoryPatient, DirectorySeries, DirectoryStudy
from kheops.ids import SopInstanceUID
from tests.dicom_files import a_file

CT = "1.2.840.10008.5.1.4.1.1.2"
LITTLE = "1.2.840.10008.1.2.1"


def instance(uid: str, *file_id: str, sop_class: str = CT, number: str | None = "1") -> DirectoryInstance:
    return DirectoryInstance(sop_class, uid, LITTLE, number, file_id)


def directory() -> Dicomdir:
    """Two patients; the first has two studies, of which the first has two series."""
    made = Dicomdir(SopInstanceUID("2.25.1"))
    made.add_patient(DirectoryPatient("P1", "山田^太郎"))
    made.add_study(DirectoryStudy("1.1", "20260101", "101010", "Head", "S1", "A1"))
    made.add_series(DirectorySeries("1.1.1", "CT", "1"))
    made.add_instance(instance("1.1.1.1", "DICOM", "SE000001", "IM000001"))
    made.add_instance(instance("1.1.1.2", "DICOM", "SE000001", "IM000002", number=None))
    made.add_series(DirectorySeries("1.1.2", "SR", None))
    made.add_instance(instance("1.1.2.1", "DICOM", "SE000002", "IM000001", sop_class="1.2.840.10008.5.1.4.1.1.88.11"))
    made.add_study(DirectoryStudy("1.2", None, None, None, None, None))
    made.add_series(DirectorySeries("1.2.1", "MR", "7"))
    made.add_instance(instance("1.2.1.1", "DICOM", "SE000003", "IM000001"))
    made.add_patient(DirectoryPatient(None, None))
    made.add_study(DirectoryStudy("1.3", None, None, None, None, None))
    made.add_series(DirectorySeries("1.3.1", None, None))
    made.add_instance(instance("1.3.1.1", "DICOM", "SE000004", "IM000001"))
    return made


def by_offset(read: pydicom.Dataset) -> dict[int, pydicom.Dataset]:
    return {item.seq_item_tell: item for item in read.DirectoryRecordSequence}


def tree(read: pydicom.Dataset, offset: int) -> list[object]:
    """Follow the offsets from one record through its sisters and what lies below."""
    found: list[object] = []
    records = by_offset(read)
    while offset:
        record = records[offset]
        value = record.get("StudyInstanceUID") or record.get("SeriesInstanceUID")
        value = value or record.get("ReferencedSOPInstanceUIDInFile") or record.get("PatientID")
        below = tree(read, record.OffsetOfReferencedLowerLevelDirectoryEntity)
        found.append((record.DirectoryRecordType, str(value), below))
        offset = record.OffsetOfTheNextDirectoryRecord
    return found


def test_the_offsets_lead_through_the_whole_tree() -> None:
    read = pydicom.dcmread(BytesIO(directory().finish()))
    first = read.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity
    assert tree(read, first) == [
        (
            "PATIENT",
            "P1",
            [
                (
                    "STUDY",
                    "1.1",
                    [
                        ("SERIES", "1.1.1", [("IMAGE", "1.1.1.1", []), ("IMAGE", "1.1.1.2", [])]),
                        ("SERIES", "1.1.2", [("SR DOCUMENT", "1.1.2.1", [])]),
                    ],
                ),
                ("STUDY", "1.2", [("SERIES", "1.2.1", [("IMAGE", "1.2.1.1", [])])]),
            ],
        ),
        ("PATIENT", "UNKNOWN", [("STUDY", "1.3", [("SERIES", "1.3.1", [("IMAGE", "1.3.1.1", [])])])]),
    ]
    last = by_offset(read)[read.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity]
    assert last.PatientID == "UNKNOWN"


def test_the_values_are_the_catalogs() -> None:
    read = pydicom.dcmread(BytesIO(directory().finish()))
    patient, study = read.DirectoryRecordSequence[0], read.DirectoryRecordSequence[1]
    assert str(patient.PatientName) == "山田^太郎"
    assert (study.StudyDate, study.StudyTime, study.StudyDescription) == ("20260101", "101010", "Head")
    assert (study.StudyID, study.AccessionNumber) == ("S1", "A1")
    assert list(read.DirectoryRecordSequence[3].ReferencedFileID) == ["DICOM", "SE000001", "IM000001"]
    assert read.DirectoryRecordSequence[3].ReferencedTransferSyntaxUIDInFile == LITTLE


def test_pydicom_opens_the_file_set_with_the_files(tmp_path: Path) -> None:
    made = Dicomdir(SopInstanceUID("2.25.1"))
    made.add_patient(DirectoryPatient("P1", "A^B"))
    made.add_study(DirectoryStudy("1.1", "20260101", "101010", "Head", "S1", "A1"))
    made.add_series(DirectorySeries("1.1.1", "CT", "1"))
    for number in (1, 2):
        path = tmp_path / "DICOM" / "SE000001" / f"IM00000{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(a_file(study="1.1", series="1.1.1", instance=f"1.1.1.{number}"))
        made.add_instance(instance(f"1.1.1.{number}", "DICOM", "SE000001", f"IM00000{number}"))
    (tmp_path / "DICOMDIR").write_bytes(made.finish())
    opened = FileSet()
    # Opening makes it forget the folder that it began with, and leave it to the garbage collector with a warning.
    opened._stage["t"].cleanup()
    opened.load(tmp_path / "DICOMDIR")
    assert opened.find_values("SOPInstanceUID") == ["1.1.1.1", "1.1.1.2"]
    assert [each.load().SOPInstanceUID for each in opened] == ["1.1.1.1", "1.1.1.2"]
    opened._stage["t"].cleanup()


def test_dcmtk_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "DICOMDIR"
    path.write_bytes(directory().finish())
    done = subprocess.run(["dcmdump", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "W:" not in done.stderr
    assert "E:" not in done.stderr
    assert done.stdout.count("DirectoryRecordType") == 14


def test_a_record_needs_what_it_belongs_to() -> None:
    made = Dicomdir(SopInstanceUID("2.25.1"))
    with pytest.raises(ValueError, match="belongs"):
        made.add_series(DirectorySeries("1.1.1", "CT", "1"))


def test_an_instance_takes_less_than_a_kibibyte() -> None:
    made = Dicomdir(SopInstanceUID("2.25.1"))
    made.add_patient(DirectoryPatient("P1", "A^B"))
    made.add_study(DirectoryStudy("1.1", None, None, None, None, None))
    made.add_series(DirectorySeries("1.1.1", "CT", "1"))
    before = len(made.finish())
    for number in range(1000):
        uid = f"2.25.{10**37 + number}"
        made.add_instance(instance(uid, "DICOM", "SE000001", f"IM{number:06}", number=str(number)))
    assert (len(made.finish()) - before) / 1000 < 512
