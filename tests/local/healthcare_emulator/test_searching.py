import httpx
import pytest

from tests.contract.archive.objects import new_uid, stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import post


@pytest.fixture(scope="module")
def study(running: RealStore) -> dict[str, str]:
    first, second = study_of_series(3, 2)
    with new_client(running) as client:
        assert post(client, *(item.body for item in (*first, *second))).status_code == 200
    ref = first[0].ref
    return {"study": ref.study_instance_uid, "series": ref.series_instance_uid, "instance": ref.sop_instance_uid}


def test_levels_group_and_count_as_they_should(client: httpx.Client, study: dict[str, str]) -> None:
    below = f"/studies/{study['study']}"
    assert len(client.get("/studies", params={"StudyInstanceUID": study["study"]}).json()) == 1
    assert len(client.get(f"{below}/series").json()) == 2
    assert len(client.get(f"{below}/instances").json()) == 5
    assert len(client.get(f"{below}/series/{study['series']}/instances").json()) == 3
    assert len(client.get("/series", params={"SeriesInstanceUID": study["series"]}).json()) == 1
    assert len(client.get("/instances", params={"SOPInstanceUID": study["instance"]}).json()) == 1


def test_default_attributes_are_few(client: httpx.Client, study: dict[str, str]) -> None:
    (found,) = client.get("/studies", params={"0020000D": study["study"]}).json()
    assert found["00100010"]["Value"][0]["Alphabetic"]
    assert found["00080056"]["Value"] == ["ONLINE"]
    for absent in ("00080061", "00201206", "00201208", "00081190", "00101030"):
        assert absent not in found
    series = client.get(f"/studies/{study['study']}/series").json()[0]
    assert "0020000E" in series
    assert "0020000D" not in series
    assert "00201209" not in series


def test_included_fields_are_added_and_unknown_ones_refused(client: httpx.Client, study: dict[str, str]) -> None:
    parameters = {"StudyInstanceUID": study["study"], "includefield": "PatientWeight,00080020"}
    assert "00101030" in client.get("/studies", params=parameters).json()[0]
    everything = {"SOPInstanceUID": study["instance"], "includefield": "all"}
    assert "00280103" in client.get("/instances", params=everything).json()[0]
    for unknown in ("NoSuchField", "AvailableTransferSyntaxUIDs", "00091097"):
        answer = client.get("/studies", params={"includefield": unknown})
        assert answer.status_code == 400
        assert "unknown/unsupported QIDO attribute" in answer.json()[0]["error"]["message"]


@pytest.mark.parametrize(
    ("level", "key"),
    [
        ("studies", "ModalitiesInStudy"),
        ("studies", "Modality"),
        ("studies", "SeriesInstanceUID"),
        ("series", "SOPInstanceUID"),
        ("instances", "SOPClassUID"),
        ("studies", "PatientBirthDate"),
        ("studies", "access_token"),
    ],
)
def test_other_keys_are_400(client: httpx.Client, level: str, key: str) -> None:
    answer = client.get(f"/{level}", params={key: "1"})
    assert answer.status_code == 400
    assert answer.json()[0]["error"]["code"] == 400


def test_no_match_is_204_without_a_body(client: httpx.Client, study: dict[str, str]) -> None:
    for parameters in ({"PatientID": "nobody"}, {"StudyInstanceUID": f"{study['study']},{new_uid()}"}):
        answer = client.get("/studies", params=parameters)
        assert answer.status_code == 204
        assert answer.content == b""
        assert answer.headers["content-type"].startswith("text/html")


def test_wildcards_are_taken_literally(client: httpx.Client, study: dict[str, str]) -> None:
    del study
    assert client.get("/studies", params={"PatientName": "Comp*"}).status_code == 204


def test_dates_match_by_range_and_names_by_prefix_when_fuzzy(client: httpx.Client, study: dict[str, str]) -> None:
    (found,) = client.get("/studies", params={"StudyInstanceUID": study["study"]}).json()
    date = found["00080020"]["Value"][0]
    uid = {"StudyInstanceUID": study["study"]}
    for matching in (date, f"{date}-", f"-{date}", f"{date}-{date}"):
        assert client.get("/studies", params={**uid, "StudyDate": matching}).status_code == 200, matching
    assert client.get("/studies", params={**uid, "StudyDate": "18000101-18000102"}).status_code == 204
    for name, status in (("compressed", 200), ("MR", 200), ("ompressed", 204)):
        parameters = {**uid, "PatientName": name, "fuzzymatching": "true"}
        assert client.get("/studies", params=parameters).status_code == status, name
    assert client.get("/studies", params={**uid, "PatientName": "compressed"}).status_code == 204


def test_limit_and_offset_page_without_loss(client: httpx.Client, study: dict[str, str]) -> None:
    path = f"/studies/{study['study']}/instances"
    seen = []
    for offset in range(0, 5, 2):
        page = client.get(path, params={"limit": 2, "offset": offset}).json()
        assert len(page) <= 2
        seen += [item["00080018"]["Value"][0] for item in page]
    assert len(set(seen)) == 5
    assert client.get(path, params={"limit": 2, "offset": 5}).status_code == 204
    assert client.get(path, params={"limit": 99_999}).status_code == 200
    for bad in ({"limit": "-1"}, {"limit": "x"}, {"offset": "1000001"}):
        assert client.get(path, params=bad).status_code == 400


def test_search_below_an_absent_study_or_series_is_403(client: httpx.Client, study: dict[str, str]) -> None:
    assert client.get(f"/studies/{new_uid()}/series").status_code == 403
    assert client.get(f"/studies/{study['study']}/series/{new_uid()}/instances").status_code == 403


def test_repeated_parameter_is_400(client: httpx.Client) -> None:
    assert client.get("/studies?PatientID=1&PatientID=2").status_code == 400


def test_media_type_that_is_not_made_is_406(client: httpx.Client) -> None:
    assert client.get("/studies", headers={"Accept": "text/html"}).status_code == 406


def test_japanese_names_come_as_utf_8(client: httpx.Client) -> None:
    item = stored_object("chrH31.dcm")
    post(client, item.body)
    (found,) = client.get("/studies", params={"StudyInstanceUID": item.ref.study_instance_uid}).json()
    name = found["00100010"]["Value"][0]
    assert name["Ideographic"] == "山田^太郎"
    assert name["Phonetic"] == "やまだ^たろう"
