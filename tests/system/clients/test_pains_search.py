"""What clients suffered from other servers while they searched, over both stores.

Numbers are those of the rows of ``pains.md``. Rows 55, 56 and 58, the large results, are in
``tests/service/read/test_pains_of_large_results.py``.
"""

import re
from typing import Any

import httpx
import pytest

from local.smoke.dicom_files import new_uid
from tests.dicom_files import a_file
from tests.system.clients.scene import Scene

WARNING = re.compile(r'299 \S+: ?\S.*|299 \S+ ".+"')


def find(scene: Scene, path: str, *, who: str = "bob", **parameters: str | int) -> list[dict[str, Any]]:
    with scene.system.client(who) as client:
        answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()
    return rows


def uids(rows: list[dict[str, Any]], tag: str = "0020000D") -> set[str]:
    return {row[tag]["Value"][0] for row in rows}


def test_pain_47_and_48_nothing_found_is_200_and_an_empty_list(scene: Scene) -> None:
    study = scene.shared[0].study
    with scene.system.client("bob") as client:
        for path in (
            "/studies?PatientID=nobody",
            "/series?Modality=XX",
            f"/instances?SOPInstanceUID={new_uid()}",
            f"/studies/{study}/series?Modality=XX",
            f"/studies/{new_uid()}/series",
            f"/studies/{new_uid()}/instances",
            f"/studies/{new_uid()}/series/{new_uid()}/instances",
        ):
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["content-type"] == "application/dicom+json", path
            assert answer.content == b"[]", path


def test_pain_49_hidden_and_unknown_answer_the_same(scene: Scene) -> None:
    hidden = scene.hidden[0]
    unknown = hidden.with_uids(series=new_uid(), instance=new_uid())
    with scene.system.client("bob") as client:
        for rest in ("", "/metadata", "/instances", "/rendered"):
            answers = [client.get(file.series_path + rest) for file in (hidden, unknown)]
            assert len({(a.status_code, a.content, a.headers.get("content-type")) for a in answers}) == 1, rest
    stranger = f"stranger-{new_uid()}"
    with scene.system.client(stranger) as client:
        for rest in ("", "/metadata", "/series", "/instances"):
            answers = [client.get(f"/studies/{study}{rest}") for study in (hidden.study, new_uid())]
            assert len({(a.status_code, a.content, a.headers.get("content-type")) for a in answers}) == 1, rest


@pytest.mark.parametrize("pattern", ["*{}*", "{}*", "*{}", "?{}*", "{}"])
def test_pain_50_wildcards_are_understood(scene: Scene, pattern: str) -> None:
    study = new_uid()
    name = f"Q{new_uid()[-10:]}"
    assert scene.system.store_files(
        "erin", a_file(study=study, series=new_uid(), instance=new_uid(), patient_name=f"{name}^Jane")
    ).is_success
    part = {
        "*{}*": name[2:6].lower(),
        "{}*": name.lower(),
        "*{}": f"{name[4:]}^jane",
        "?{}*": name[1:],
        "{}": f"{name}^Jane",
    }
    assert uids(find(scene, "/studies", who="erin", PatientName=pattern.format(part[pattern]))) == {study}


def test_pain_51_keys_and_fields_of_the_standard_are_never_refused(scene: Scene) -> None:
    slide = scene.slide[0]
    rows = find(
        scene,
        "/instances",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6",
        SeriesInstanceUID=slide.series,
        Modality="SM",
        includefield="AvailableTransferSyntaxUID",
    )
    assert uids(rows, "00080018") == {file.instance for file in scene.slide}
    assert {row["00083002"]["Value"][0] for row in rows} == {"1.2.840.10008.1.2.4.50"}


def test_pain_52_included_fields_may_be_written_in_any_form(scene: Scene) -> None:
    study = scene.shared[0].study
    forms: list[list[tuple[str, str]]] = [
        [("includefield", "PatientBirthDate,StudyDescription")],
        [("includefield", "00100030,00081030")],
        [("includefield", "PatientBirthDate"), ("includefield", "StudyDescription")],
        [("includefield", "00100030"), ("includefield", "StudyDescription")],
        [("PatientBirthDate", ""), ("StudyDescription", "*")],
        [("includefield", "all")],
    ]
    wanted = {"00100030", "00081030"}
    with scene.system.client("bob") as client:
        answers = [client.get("/studies", params=[("StudyInstanceUID", study), *form]) for form in forms]
    assert {answer.status_code for answer in answers} == {200}
    shown = [wanted & answer.json()[0].keys() for answer in answers]
    assert shown[0]
    assert all(each == shown[0] for each in shown)


def test_pain_52_sequences_may_be_named_among_the_fields(scene: Scene) -> None:
    for field in ("RequestAttributesSequence", "00400275", "RequestAttributesSequence.ScheduledProcedureStepID"):
        assert find(scene, "/series", includefield=field)


@pytest.fixture(scope="module")
def granted(scene: Scene) -> set[str]:
    """Give the ten studies of thirty that Evan reads."""
    studies = [new_uid() for _ in range(30)]
    dora = f"dora-{new_uid()}"
    files = [a_file(study=study, series=new_uid(), instance=new_uid()) for study in studies]
    assert scene.system.store_files(dora, *files).status_code == 200
    with scene.system.client(dora) as owner, scene.system.client("evan") as reader:
        assert reader.get("/studies").status_code == 200
        for study in studies[::3]:
            assert owner.put(f"/studies/{study}/users/evan").status_code == 201
    return set(studies[::3])


def pages(client: httpx.Client, **parameters: str) -> list[list[str]]:
    found = []
    for offset in (0, 4, 8, 12):
        answer = client.get("/studies", params={"limit": 4, "offset": offset, **parameters})
        assert answer.status_code == 200
        assert answer.headers["x-total-count"] == "10"
        assert ("warning" in answer.headers) == (offset + 4 < 10), "a warning that there are more, and only then"
        if "warning" in answer.headers:
            assert WARNING.fullmatch(answer.headers["warning"]), answer.headers["warning"]
            assert "{" not in answer.headers["warning"]
        found.append([row["0020000D"]["Value"][0] for row in answer.json()])
    return found


def test_pain_53_and_54_pages_are_full_and_hold_each_granted_study_once(scene: Scene, granted: set[str]) -> None:
    with scene.system.client("evan") as client:
        for parameters in ({}, {"sort": "-PatientName"}, {"PatientName": "*"}):
            first, again = pages(client, **parameters), pages(client, **parameters)
            assert [len(page) for page in first] == [4, 4, 2, 0], parameters
            assert first == again, parameters
            everything = [uid for page in first for uid in page]
            assert len(everything) == len(set(everything))
            assert set(everything) == granted


@pytest.mark.parametrize("value", ["true", "false"])
def test_pain_59_fuzzymatching_is_never_refused(scene: Scene, value: str) -> None:
    study = scene.shared[0].study
    common: dict[str, Any] = {"fuzzymatching": value, "limit": 25, "offset": 0, "includefield": "all"}
    assert len(find(scene, "/studies", **common)) >= len(scene.studies)
    name = scene.shared[0].patient_name
    assert study in uids(find(scene, "/studies", PatientName=name, StudyInstanceUID=study, **common))
    assert find(scene, "/studies", PatientName="Zzyzx", **common) == []


def test_pain_61_the_groups_of_a_name_are_told_apart(scene: Scene) -> None:
    study = new_uid()
    file = a_file(
        study=study,
        series=new_uid(),
        instance=new_uid(),
        patient_name="Yamada^Tarou=山田^太郎=やまだ^たろう",
        SpecificCharacterSet="ISO_IR 192",
    )
    assert scene.system.store_files("erin", file).status_code == 200
    wanted = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    (row,) = find(scene, "/studies", who="erin", StudyInstanceUID=study)
    assert row["00100010"] == {"vr": "PN", "Value": [wanted]}
    for name in ("Yamada^Tarou", "山田*", "やまだ^たろう", "yamada*"):
        assert uids(find(scene, "/studies", who="erin", PatientName=name, StudyInstanceUID=study)) == {study}, name


def test_pain_63_aggregates_and_filters_on_them_see_visible_series_only(scene: Scene) -> None:
    study, shown, kept = new_uid(), new_uid(), new_uid()
    fay = f"fay-{new_uid()}"
    files = [
        a_file(study=study, series=shown, instance=new_uid(), modality="CT"),
        a_file(study=study, series=kept, instance=new_uid(), modality="SR"),
        a_file(study=study, series=kept, instance=new_uid(), modality="SR"),
    ]
    assert scene.system.store_files(fay, *files).status_code == 200
    with scene.system.client("erin") as reader:
        assert reader.get("/albums").status_code == 200
    with scene.system.client(fay) as owner:
        assert owner.put(f"/studies/{study}/series/{shown}/users/erin").status_code == 201
        (whole,) = owner.get("/studies", params={"StudyInstanceUID": study}).json()
    assert sorted(whole["00080061"]["Value"]) == ["CT", "SR"]
    (row,) = find(scene, "/studies", who="erin", StudyInstanceUID=study)
    assert row["00080061"]["Value"] == ["CT"]
    assert row["00201206"]["Value"] == [1]
    assert row["00201208"]["Value"] == [1]
    assert find(scene, "/studies", who="erin", StudyInstanceUID=study, ModalitiesInStudy="SR") == []
    assert uids(find(scene, "/studies", who="erin", StudyInstanceUID=study, ModalitiesInStudy="CT")) == {study}


# PS3.18 tables 10.6.3-3 to 10.6.3-5, of those that the stored files have a value for.
RETURNED = {
    "/studies": "00080020 00080061 00080090 00081190 00100010 00100020 00100030 00100040 0020000D 00200010 "
    "00201206 00201208",
    "/series": "00080060 00081190 0020000E 00200011 00201209",
    "/instances": "00080016 00080018 00200013 00280010 00280011 00280100",
}
MATCHED = {
    "/studies": {
        "StudyDate": "20260102",
        "StudyTime": "120000-130000",
        "AccessionNumber": "A-64",
        "ModalitiesInStudy": "MR",
        "ReferringPhysicianName": "House*",
        "PatientName": "Sixty*",
        "PatientID": "P-64",
        "StudyID": "S-64",
    },
    "/series": {
        "Modality": "MR",
        "SeriesNumber": "64",
        "PerformedProcedureStepStartDate": "20260101-20260131",
        "PerformedProcedureStepStartTime": "12-13",
    },
    "/instances": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "InstanceNumber": "64"},
}


def test_pain_64_required_keys_are_returned_and_matched_at_each_level(scene: Scene) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    file = a_file(
        study=study,
        series=series,
        instance=instance,
        modality="MR",
        patient_name="Sixty^Four",
        number=64,
        StudyTime="123000",
        AccessionNumber="A-64",
        ReferringPhysicianName="House^Gregory",
        PatientBirthDate="19640101",
        PatientSex="O",
        StudyID="S-64",
        SeriesNumber=64,
        PerformedProcedureStepStartDate="20260102",
        PerformedProcedureStepStartTime="123000",
        PatientID="P-64",
    )
    assert scene.system.store_files("erin", file).status_code == 200
    places = {
        "/studies": ("StudyInstanceUID", study),
        "/series": ("SeriesInstanceUID", series),
        "/instances": ("SOPInstanceUID", instance),
    }
    for path, (key, uid) in places.items():
        (row,) = find(scene, path, who="erin", **{key: uid})
        assert set(RETURNED[path].split()) <= row.keys(), path
        for name, value in MATCHED[path].items():
            assert find(scene, path, who="erin", **{key: uid, name: value}) == [row], name
            other = "20990909" if "Date" in name else "0101" if "Time" in name else "99"
            assert find(scene, path, who="erin", **{key: uid, name: other}) == [], name
