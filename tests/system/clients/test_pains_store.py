"""What clients suffered from other servers while they stored, over both stores.

Numbers are those of the rows of ``pains.md``. Row 80, big files in constant memory, is in
``tests/system/test_streams.py``.
"""

from typing import Any

import httpx
import pytest

from local.smoke.dicom_files import new_uid
from tests.dicom_files import a_file
from tests.system.clients.scene import Scene

NOT_AUTHORIZED = 0x0124


def failures(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the items of FailedSOPSequence and of OtherFailuresSequence."""
    body = answer.json()
    return [item for tag in ("00081198", "0008119A") if tag in body for item in body[tag]["Value"]]


def references(answer: httpx.Response) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])]


def test_pain_76_all_stored_is_200_and_lists_no_failure(scene: Scene) -> None:
    study, series = new_uid(), new_uid()
    uids = [new_uid(), new_uid()]
    answer = scene.system.store_files("erin", *(a_file(study=study, series=series, instance=uid) for uid in uids))
    assert answer.status_code == 200
    assert sorted(references(answer)) == sorted(uids)
    assert not {"00081198", "0008119A"} & answer.json().keys(), "a sequence of failures without any"
    assert answer.json()["00081190"]["Value"] == [f"{scene.api}/studies/{study}"]


@pytest.mark.parametrize("kind", ["junk", "cut", "foreign"])
def test_pain_76_some_stored_is_202_and_lists_the_others(scene: Scene, kind: str) -> None:
    study, series, uid = new_uid(), new_uid(), new_uid()
    good = a_file(study=study, series=series, instance=uid)
    hidden = scene.hidden[0]
    bad = {
        "junk": b"This is no DICOM file.",
        "cut": a_file(study=study, series=series, instance=new_uid(), pixels=bytes(4096))[:-1000],
        "foreign": a_file(study=hidden.study, series=hidden.series, instance=new_uid()),
    }[kind]
    answer = scene.system.store_files("erin", good, bad)
    assert answer.status_code == 202
    assert references(answer) == [uid]
    assert len(failures(answer)) == 1


@pytest.mark.parametrize("bad", [b"", b"This is no DICOM file.", bytes(128) + b"DICM"])
def test_pain_76_none_stored_is_409_with_a_reason(scene: Scene, bad: bytes) -> None:
    answer = scene.system.store_files("erin", bad)
    assert answer.status_code == 409
    (failure,) = failures(answer)
    assert failure["00081197"]["Value"][0] > 0
    assert references(answer) == []


def test_pain_78_uploading_with_somebodys_uids_yields_nothing(scene: Scene) -> None:
    hidden = scene.hidden[0]
    stranger = f"stranger-{new_uid()}"
    attempts = {
        "a new series of the study": a_file(study=hidden.study, series=new_uid(), instance=new_uid()),
        "a new instance of the series": a_file(study=hidden.study, series=hidden.series, instance=new_uid()),
        "the very instance": hidden.body,
    }
    for attempt, file in attempts.items():
        answer = scene.system.store_files(stranger, file)
        assert answer.status_code == 409, attempt
        assert [item["00081197"]["Value"] for item in failures(answer)] == [[NOT_AUTHORIZED]], attempt
    with scene.system.client(stranger) as client:
        for path in ("/studies", "/series", "/instances", f"/studies/{hidden.study}/series"):
            assert client.get(path).json() == [], path
        for path in (f"/studies/{hidden.study}", hidden.series_path, hidden.path, f"{hidden.path}/metadata"):
            assert client.get(path).status_code == 404, path
