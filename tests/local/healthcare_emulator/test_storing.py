import time
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx

from tests.contract.archive.objects import Stored, new_uid, stored_object
from tests.contract.archive.real_stores import RealStore, emulator
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import MULTIPART, instance_path, multipart, post

EXACT = {"Accept": "application/dicom; transfer-syntax=*"}


def _changed(item: Stored) -> bytes:
    ref = item.ref
    return stored_object(
        "CT_small.dcm",
        study=ref.study_instance_uid,
        series=ref.series_instance_uid,
        instance=ref.sop_instance_uid,
        comment="changed",
    ).body


def test_success_lists_the_instance_under_the_store_s_own_address(client: httpx.Client, running: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    answer = post(client, item.body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/dicom+json")
    (stored,) = answer.json()["00081199"]["Value"]
    assert stored["00081155"]["Value"] == [item.ref.sop_instance_uid]
    assert stored["00081190"]["Value"] == [running.root + instance_path(item)]
    assert answer.json()["00081190"]["Value"] == [f"{running.root}/studies/{item.ref.study_instance_uid}"]
    assert "00081198" not in answer.json()


def test_answer_is_xml_unless_json_is_asked_for(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    answer = post(client, item.body, accept=None)
    assert answer.headers["content-type"].startswith("application/dicom+xml")
    root = ET.fromstring(answer.text)
    uids = root.findall("DicomAttribute[@tag='00081199']/Item/DicomAttribute[@tag='00081155']/Value")
    assert [value.text for value in uids] == [item.ref.sop_instance_uid]


def test_identical_bytes_again_are_a_success(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    assert [post(client, item.body).status_code for _ in range(2)] == [200, 200]


def test_other_bytes_under_known_uids_are_409_that_says_so(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    post(client, item.body)
    answer = post(client, _changed(item))
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [272]
    assert failed["00081155"]["Value"] == [item.ref.sop_instance_uid]
    assert "already exists" in failed["00091097"]["Value"][0]
    assert client.get(instance_path(item), headers=EXACT).content == item.body


def test_unparseable_file_is_409_too_and_the_rest_is_stored(client: httpx.Client) -> None:
    good = stored_object("CT_small.dcm")
    truncated = stored_object("CT_small.dcm").body[:9000]
    answer = post(client, b"junk", good.body, truncated)
    assert answer.status_code == 409
    assert len(answer.json()["00081198"]["Value"]) == 2
    assert all(item["00081197"]["Value"] == [272] for item in answer.json()["00081198"]["Value"])
    assert client.get(instance_path(good), headers=EXACT).content == good.body


def test_failure_in_xml_has_google_s_private_detail(client: httpx.Client) -> None:
    answer = post(client, b"junk", accept=None)
    root = ET.fromstring(answer.text)
    item = root.find("DicomAttribute[@tag='00081198']/Item")
    assert item is not None
    detail = item.find("DicomAttribute[@tag='00090097']")
    assert detail is not None
    assert detail.get("privateCreator") == "GOOGLE"
    assert item.findtext("DicomAttribute[@tag='00081197']/Value") == "272"


def test_study_of_the_path_must_be_that_of_the_file(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    assert post(client, item.body, study=new_uid()).status_code == 409
    assert client.get(instance_path(item), headers=EXACT).status_code == 403
    assert post(client, item.body, study=item.ref.study_instance_uid).status_code == 200


def test_bare_dicom_body_is_taken(client: httpx.Client) -> None:
    item = stored_object("MR_small.dcm")
    answer = client.post("/studies", content=item.body, headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 200
    assert client.get(instance_path(item), headers=EXACT).content == item.body


def test_other_media_types_are_400(client: httpx.Client) -> None:
    body = multipart(stored_object("CT_small.dcm").body)
    for content_type in (
        "text/plain",
        "multipart/related; boundary=frontier",
        'multipart/related; type="application/pdf"; boundary=frontier',
        'multipart/related; type="application/dicom"',
    ):
        answer = client.post("/studies", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 400, content_type
        assert answer.json()[0]["error"]["status"] == "INVALID_ARGUMENT"


def test_body_without_its_closing_boundary_is_400_and_its_last_part_is_not_kept(client: httpx.Client) -> None:
    first, last = stored_object("CT_small.dcm"), stored_object("MR_small.dcm")
    body = multipart(first.body, last.body)
    cut = body[: body.rindex(b"\r\n--frontier--")]
    answer = client.post("/studies", content=cut, headers={"Content-Type": MULTIPART})
    assert answer.status_code == 400
    assert client.get(instance_path(first), headers=EXACT).status_code == 200
    assert client.get(instance_path(last), headers=EXACT).status_code == 403


def test_data_is_there_after_a_kill_and_no_draft_is(tmp_path: Path) -> None:
    item = stored_object("CT_small.dcm")
    with emulator(tmp_path) as store, new_client(store) as client:
        assert post(client, item.body).status_code == 200
    (tmp_path / "data" / "drafts" / "left.dcm").write_bytes(b"half of a file")
    stray = tmp_path / "data" / "objects" / "ab"
    stray.mkdir(exist_ok=True)
    (stray / "abc.dcm").write_bytes(b"renamed, but never indexed")
    with emulator(tmp_path) as store, new_client(store) as client:
        assert client.get(instance_path(item), headers=EXACT).content == item.body
    assert list((tmp_path / "data" / "drafts").iterdir()) == []
    assert list(stray.iterdir()) == []


def test_token_outlives_a_restart_but_not_its_end(tmp_path: Path) -> None:
    with emulator(tmp_path, "--token-lifetime", "3") as store:
        headers = store.headers
    with emulator(tmp_path) as store:
        assert httpx.get(f"{store.root}/studies", headers=headers).status_code == 204
        time.sleep(3.1)
        assert httpx.get(f"{store.root}/studies", headers=headers).status_code == 401


def test_public_url_is_where_urls_point_to(tmp_path: Path) -> None:
    with emulator(tmp_path, "--public-url", "https://store.example") as store, new_client(store) as client:
        answer = post(client, stored_object("CT_small.dcm").body)
    assert answer.json()["00081190"]["Value"][0].startswith("https://store.example/v1/projects/local/")
