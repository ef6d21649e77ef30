"""Every form of a store request over HTTP, over both stores; answers in XML; conflicts; deletion for good."""

import io
import json
from xml.etree import ElementTree as ET

import httpx
import pydicom
import pytest

from kheops.dicomweb.multipart import MultipartReader, PartData, boundary_of
from kheops.dicomweb.native_xml import native_model
from kheops.dicomweb.native_xml_reader import read_native_model
from tests.dicom_files import a_file, multipart, new_uid
from tests.system.running import System

_NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
RELATED = 'multipart/related; type="application/dicom"; boundary=b0undary'
HEADERS = [
    "multipart/related; type=application/dicom; boundary=b0undary",
    'multipart/related;boundary="b0undary"; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1',
    'multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; boundary=b0undary',
    'Multipart/Related; Type="Application/DICOM"; Boundary=b0undary; charset=utf-8; start="<first@example>"',
    "multipart/related; boundary=b0undary",
]


@pytest.fixture(params=["emulator", "orthanc"])
def running(request: pytest.FixtureRequest) -> System:
    found: System = request.getfixturevalue("system" if request.param == "emulator" else "orthanc_system")
    return found


def post(
    system: System, sub: str, body: bytes, content_type: str, path: str = "/studies", *, accept: str = "*/*"
) -> httpx.Response:
    with system.client(sub) as client:
        return client.post(path, content=body, headers={"Content-Type": content_type, "Accept": accept})


def stored(answer: httpx.Response) -> set[str]:
    return {item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])}


def a_request(form: str, study: str, series: str, instance: str) -> tuple[bytes, str]:
    """Return metadata and bulk data as a body and its Content-Type."""
    data_set = pydicom.dcmread(io.BytesIO(a_file(study=study, series=series, instance=instance))).to_json_dict()
    data_set["7FE00010"] = {"vr": "OB", "BulkDataURI": "bulk/1"}
    metadata = json.dumps([data_set]).encode() if form == "json" else native_model(data_set)
    parts = (
        f"--b\r\nContent-Type: application/dicom+{form}\r\n\r\n".encode() + metadata + b"\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\nContent-Location: bulk/1\r\n\r\n\1\2\3\4\r\n--b--\r\n"
    )
    return parts, f'multipart/related; type="application/dicom+{form}"; boundary=b'


@pytest.mark.parametrize("content_type", HEADERS)
def test_every_spelling_of_the_header_is_understood(system: System, content_type: str) -> None:
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))
    body = b"a preamble\r\n" + multipart(file) + b"an epilogue"
    answer = post(system, "speller", body, content_type)
    assert (answer.status_code, stored(answer)) == (200, {uid})


def test_a_form_of_files_is_stored(running: System) -> None:
    study, series, first, second = (new_uid() for _ in range(4))
    with running.client("former") as client:
        answer = client.post(
            f"/studies/{study}",
            files=[
                ("one", ("a.dcm", a_file(study=study, series=series, instance=first))),
                ("two", ("b.dcm", a_file(study=study, series=series, instance=second), "application/x-anything")),
                ("three", ("c.dcm", a_file(study=new_uid(), series=series, instance=new_uid()))),
                ("four", ("d.txt", b"no file")),
            ],
        )
        assert (answer.status_code, stored(answer)) == (202, {first, second})
        (failed,) = answer.json()["00081198"]["Value"]
        assert (failed["00041500"]["Value"], failed["00081197"]["Value"]) == (["three"], [0xA901])
        (other,) = answer.json()["0008119A"]["Value"]
        assert (other["00041500"]["Value"], other["00081197"]["Value"]) == (["four"], [0x0110])
        assert client.get(f"/studies/{study}/series/{series}/instances/{second}/metadata").status_code == 200


@pytest.mark.parametrize("form", ["json", "xml"])
def test_metadata_and_bulk_data_are_stored_and_come_back(running: System, form: str) -> None:
    study, series, uid = new_uid(), new_uid(), new_uid()
    body, content_type = a_request(form, study, series, uid)
    answer = post(running, "maker", body, content_type)
    assert (answer.status_code, stored(answer)) == (200, {uid})
    with running.client("maker") as client:
        back = client.get(f"/studies/{study}/series/{series}/instances/{uid}", headers={"Accept": "application/dicom"})
    made = pydicom.dcmread(io.BytesIO(back.content))
    assert (made.PixelData, str(made.PatientName)) == (b"\1\2\3\4", "Doe^Jane")


def test_answers_come_as_xml(system: System) -> None:
    study, series, uid, hidden = (new_uid() for _ in range(4))
    file = a_file(study=study, series=series, instance=uid)
    answer = post(system, "xml-reader", multipart(file, b"none"), RELATED, accept="application/dicom+xml")
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/dicom+xml")
    assert answer.headers["content-disposition"] == "attachment"
    root = ET.fromstring(answer.content)
    uids = [each.text for each in root.iterfind(f".//{_NAMESPACE}DicomAttribute[@tag='00081155']/{_NAMESPACE}Value")]
    assert uids == [uid]
    with system.client("xml-reader") as client:
        for path, count in (
            ("/studies", 1),
            (f"/studies/{study}/series", 1),
            (f"/studies/{hidden}/series", 0),
            (f"/studies/{study}/metadata", 1),
            (f"/studies/{study}/series/{series}/instances/{uid}/metadata", 1),
        ):
            as_json = client.get(path).json()
            answer = client.get(path, headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
            assert answer.status_code == 200, path
            reader = MultipartReader(boundary_of(answer.headers["content-type"]))
            documents = [bytes(each.data) for each in reader.feed(answer.content) if isinstance(each, PartData)]
            reader.close()
            assert len(documents) == len(as_json) == count
            for document, expected in zip(documents, as_json, strict=True):
                assert read_native_model(document).keys() == expected.keys()
        assert (
            client.get(f"/studies/{hidden}/metadata", headers={"Accept": "application/dicom+xml"}).status_code == 404
        )


def test_what_cannot_be_read_or_answered_is_told_before_anything_is_stored(system: System) -> None:
    file = a_file(study=new_uid(), series=new_uid(), instance=new_uid())
    body = multipart(file)
    for content_type, status in (
        ("text/plain", 415),
        ('multipart/related; type="text/xml"; boundary=b0undary', 415),
        ("multipart/related; type=application/dicom", 400),
        ("multipart/form-data", 400),
        ('multipart/related; type="application/dicom+json"; boundary=b0undary', 400),
    ):
        assert post(system, "refused", body, content_type).status_code == status, content_type
    assert post(system, "refused", body, RELATED, accept="text/html").status_code == 406
    assert post(system, "refused", body, RELATED, "/studies?skipVerify=x").status_code == 400
    large = a_request("json", "1.2", "1.2.3", "1.2.3.4")[0].replace(b"\1\2\3\4", bytes(17 * 1024 * 1024))
    answer = post(system, "refused", large, 'multipart/related; type="application/dicom+json"; boundary=b')
    assert (answer.status_code, "16 MiB" in answer.json()["detail"]) == (413, True)
    with system.client("refused") as client:
        assert client.get("/studies").json() == []


def test_a_conflict_is_told_with_its_tags_and_borne_where_asked(system: System) -> None:
    study, series, uid = new_uid(), new_uid(), new_uid()
    assert system.store_files("conflicting", a_file(study=study, series=series, instance=new_uid())).status_code == 200
    body = multipart(a_file(study=study, series=series, instance=uid, patient_name="Roe^Jane", modality="MR"))
    answer = post(system, "conflicting", body, RELATED, "/studies?skipVerify=false")
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"] == {"vr": "US", "Value": [0x0106]}
    assert failed["00001005"] == {"vr": "AT", "Value": ["00080060", "00100010"]}
    for value in ("", "=true"):
        assert post(system, "conflicting", body, RELATED, f"/studies?skipVerify{value}").status_code == 200


def test_metadata_without_a_data_set_is_told_as_that(running: System) -> None:
    body = b"--b\r\nContent-Type: application/dicom+json\r\n\r\n[]\r\n--b--\r\n"
    answer = post(running, "owner", body, 'multipart/related; type="application/dicom+json"; boundary=b', "/studies")
    assert answer.status_code == 400
    assert "without a data set" in answer.json()["detail"]


def test_an_administrator_deletes_for_good_and_nobody_else_learns_anything(running: System) -> None:
    study, series, uid = new_uid(), new_uid(), new_uid()
    assert running.store_files("owner", a_file(study=study, series=series, instance=uid)).status_code == 200
    permanent = {"Admin-Action": "permanent", "Admin-Password": "secret"}
    with running.client("stranger") as stranger, running.client("owner") as owner:
        assert owner.get("/studies").json() != []
        refusals = [
            client.delete(path, headers=permanent)
            for client in (stranger, owner)
            for path in (f"/studies/{study}", f"/studies/{study}/series/{series}", f"/studies/{new_uid()}")
        ]
        assert {(each.status_code, each.content) for each in refusals} == {(403, refusals[0].content)}
        assert owner.delete(f"/studies/{study}", headers={"Admin-Action": "temporary"}).status_code == 400
        token = running.token("root", groups=["administrators"])
        with running.client(token=token) as root:
            assert root.delete(f"/studies/{new_uid()}", headers=permanent).status_code == 404
            held = root.put(f"/legalholds/{series}", data={"reason": "A case"})
            assert held.status_code in {200, 201, 204}, held.text
            assert root.delete(f"/studies/{study}", headers=permanent).status_code == 409
            ended = root.delete(f"/legalholds/{series}", headers={"Admin-Reason": "Over"})
            assert ended.status_code == 204, ended.text
            assert root.delete(f"/studies/{study}/series/{series}", headers=permanent).status_code == 204
            assert root.delete(f"/studies/{study}/series/{series}", headers=permanent).status_code == 404
        assert owner.get(f"/studies/{study}/series/{series}/instances/{uid}").status_code == 404
        assert owner.get(f"/studies?StudyInstanceUID={study}").json() == []
    rows = running.run_sql(
        "SELECT sub, reason FROM audit WHERE kind = 'purge' AND outcome = 'granted' AND :series = ANY "
        "(series_instance_uids)",
        series=series,
    )
    assert rows == [("root", "begun")]
