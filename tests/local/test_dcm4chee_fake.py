"""That the stand-in for DCM4CHEE has the habits that its table names."""

import io
from collections.abc import Iterator, Mapping

import httpx
import pydicom
import pytest

from kheops.dicomweb.multipart import PART_TAIL, closing, content_type, new_boundary, part_head
from tests.contract.archive.objects import Stored, new_uid, stored_object, study_of_series
from tests.contract.archive.real_stores import dcm4chee

_FILE = 'multipart/related; type="application/dicom"'
_JSON = {"Accept": "application/dicom+json"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        dcm4chee(tmp_path_factory.mktemp("fake"), "--cap", "4") as running,
        httpx.Client(base_url=running.root, trust_env=False, timeout=20) as client,
    ):
        yield client


def _received(archive: httpx.Client, path: str) -> str:
    return str(archive.base_url).rstrip("/").replace("/DCM4CHEE/", "/AS_RECEIVED/") + path


def _store(archive: httpx.Client, *items: Stored | bytes, params: Mapping[str, str] | None = None) -> httpx.Response:
    boundary = new_boundary()
    bodies = [item if isinstance(item, bytes) else item.body for item in items]
    parts = b"".join(part_head(boundary, part_type="application/dicom") + body + PART_TAIL for body in bodies)
    headers = {"Content-Type": content_type(boundary, part_type="application/dicom"), **_JSON}
    return archive.post("/studies", content=parts + closing(boundary), headers=headers, params=params)


def _address(item: Stored) -> str:
    ref = item.ref
    return f"/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}/instances/{ref.sop_instance_uid}"


def _reject(archive: httpx.Client, item: Stored, code: str) -> int:
    return archive.post(f"{_address(item)}/reject/{code}%5EDCM").status_code


def _get(archive: httpx.Client, path: str, accept: str) -> httpx.Response:
    return archive.get(path, headers={"Accept": accept})


def test_wildcards_are_uids(archive: httpx.Client) -> None:
    one, other = stored_object("CT_small.dcm"), stored_object("MR_small.dcm")
    _store(archive, one, other)
    everything = _get(archive, "/studies/%2A", _FILE).content
    assert all(item.ref.sop_instance_uid.encode() in everything for item in (one, other))
    found = archive.get("/instances", params={"SOPInstanceUID": f"{one.ref.sop_instance_uid[:-1]}?"}, headers=_JSON)
    assert one.ref.sop_instance_uid in found.text


def test_searches_are_capped_empty_ones_204_and_unknown_keywords_400(archive: httpx.Client) -> None:
    (series,) = study_of_series(6)
    _store(archive, *series)
    below = f"/studies/{series[0].ref.study_instance_uid}/series/{series[0].ref.series_instance_uid}/instances"
    page = archive.get(below, headers=_JSON)
    assert len(page.json()) == 4
    assert page.headers["warning"].startswith("299 ")
    assert "warning" not in archive.get(below, params={"limit": "4"}, headers=_JSON).headers
    assert archive.get(below, params={"offset": "6"}, headers=_JSON).status_code == 204
    for query in ({"limit": "0"}, {"limit": "100000"}, {"_charset_": "utf-8"}, {"NoKeyword": "1"}):
        refused = archive.get(below, params=query, headers=_JSON)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    # A key that is valid and not supported is passed over.
    assert len(archive.get(below, params={"PatientComments": "none such"}, headers=_JSON).json()) == 4
    assert archive.get(below, headers=_JSON).headers["access-control-allow-origin"] == "*"


def test_parameters_of_a_store_request_change_what_is_stored(archive: httpx.Client) -> None:
    item, study = stored_object("CT_small.dcm"), new_uid()
    assert _store(archive, item, params={"StudyInstanceUID": study}).status_code == 200
    assert _get(archive, f"/studies/{study}", _FILE).status_code == 200
    assert _get(archive, _address(item), _FILE).status_code == 404


def test_known_uid_is_dropped_and_listed_as_stored(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    elsewhere = stored_object("MR_small.dcm", instance=item.ref.sop_instance_uid)
    _store(archive, item)
    again = _store(archive, elsewhere)
    assert again.status_code == 200
    assert again.json()["00081199"]["Value"][0]["00081155"]["Value"] == [item.ref.sop_instance_uid]
    assert _get(archive, _address(elsewhere), _FILE).status_code == 404


def test_unreadable_part_fails_under_an_invented_uid(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    mixed = _store(archive, item, b"no DICOM" * 50)
    assert mixed.status_code == 202
    (failure,) = mixed.json()["00081198"]["Value"]
    assert failure["00081197"]["Value"] == [0xC499]
    assert failure["00081155"]["Value"][0].startswith("2.25.")
    assert _store(archive, b"no DICOM" * 50).status_code == 409


def test_patients_merge_where_the_issuer_is_the_same_and_one_entity_shows_what_was_sent(archive: httpx.Client) -> None:
    names = []
    for name in ("First^Name", "Second^Name"):
        item = stored_object("CT_small.dcm")
        dataset = item.dataset
        dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = name, "M1", "HOSPITAL"
        stream = io.BytesIO()
        dataset.save_as(stream)
        _store(archive, stream.getvalue())
        names.append((_get(archive, _address(item), _FILE).content, stream.getvalue(), item))
    shown, sent, item = names[1]
    assert b"First^Name" in shown
    received = _get(archive, _received(archive, _address(item)), f"{_FILE}; transfer-syntax=*")
    assert sent in received.content
    metadata = _get(archive, f"{_address(item)}/metadata", "application/dicom+json").json()
    assert metadata[0]["00100010"]["Value"] == [{"Alphabetic": "First^Name"}]
    assert metadata[0]["7FE00010"]["BulkDataURI"].endswith(_address(item))


def test_issuer_is_added_where_there_is_none(archive: httpx.Client) -> None:
    item = stored_object("MR_small.dcm")
    _store(archive, item)
    assert b"DCM4CHEE." in _get(archive, _address(item), _FILE).content
    assert b"DCM4CHEE." not in _get(archive, _received(archive, _address(item)), _FILE).content


def test_single_part_is_not_acceptable(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    _store(archive, item)
    assert _get(archive, _address(item), "application/dicom").status_code == 406
    assert _get(archive, f"{_address(item)}/frames/1", "application/octet-stream").status_code == 406


def test_octets_are_decompressed_and_image_types_are_not(archive: httpx.Client) -> None:
    item = stored_object("JPEG2000.dcm")
    _store(archive, item)
    octets = _get(archive, f"{_address(item)}/frames/1", 'multipart/related; type="application/octet-stream"').content
    encoded = _get(archive, f"{_address(item)}/frames/1", 'multipart/related; type="image/jp2"').content
    dataset = pydicom.dcmread(io.BytesIO(item.body))
    assert len(octets) > dataset.Rows * dataset.Columns
    assert b"\xff\x4f\xff\x51" in encoded
    assert b"\xff\x4f\xff\x51" not in octets
    files = _get(archive, _address(item), _FILE)
    assert b"transfer-syntax=1.2.840.10008.1.2.1\r\n" in files.content


def test_frames_beyond_the_last_are_left_out(archive: httpx.Client) -> None:
    item = stored_object("rtdose.dcm")
    _store(archive, item)
    octets = 'multipart/related; type="application/octet-stream"'
    assert _get(archive, f"{_address(item)}/frames/1,99", octets).status_code == 206
    assert _get(archive, f"{_address(item)}/frames/99", octets).status_code == 404
    assert _get(archive, f"{_address(item)}/frames/0", octets).status_code == 400


def test_transfer_syntax_that_is_not_there_breaks_the_body_off(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    _store(archive, item)
    with pytest.raises(httpx.RemoteProtocolError):
        _get(archive, _address(item), f"{_FILE}; transfer-syntax=1.2.840.10008.1.2.4.90")


def test_rejection_hides_and_a_purge_deletes(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    _store(archive, item)
    assert archive.delete(_address(item)).status_code == 405
    assert archive.delete(f"/studies/{item.ref.study_instance_uid}").status_code == 403
    assert _reject(archive, item, "999999") == 404
    assert _reject(archive, item, "113039") == 200
    assert _reject(archive, item, "113039") == 400
    assert _get(archive, _address(item), _FILE).status_code == 404
    assert _get(archive, _received(archive, _address(item)), _FILE).status_code == 200
    purge = str(archive.base_url).partition("/aets/")[0] + "/reject/113039%5EDCM"
    assert archive.delete(purge).json() == {"deleted": 1}
    assert _get(archive, _received(archive, _address(item)), _FILE).status_code == 404


@pytest.mark.parametrize(("code", "reason", "is_shown"), [("113001", 0, 0), ("113039", 0, 1), ("113037", 0xA771, 0)])
def test_rejected_object_that_is_sent_again(archive: httpx.Client, code: str, reason: int, is_shown: int) -> None:
    item = stored_object("CT_small.dcm")
    _store(archive, item)
    _reject(archive, item, code)
    again = _store(archive, item)
    failures = again.json().get("00081198", {}).get("Value", [])
    assert [each["00081197"]["Value"][0] for each in failures] == ([reason] if reason else [])
    assert (_get(archive, _address(item), _FILE).status_code == 200) is bool(is_shown)


def test_rejection_for_quality_leaves_a_key_object(archive: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    _store(archive, item)
    _reject(archive, item, "113001")
    study = f"/studies/{item.ref.study_instance_uid}"
    (note,) = _get(archive, f"{study}/metadata", "application/dicom+json").json()
    assert note["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.88.59"]


def test_multi_frame_object_as_a_whole_is_rendered_as_gif_only(archive: httpx.Client) -> None:
    item = stored_object("rtdose.dcm")
    _store(archive, item)
    assert _get(archive, f"{_address(item)}/rendered", "image/jpeg").status_code == 406
    assert _get(archive, f"{_address(item)}/frames/1/rendered", "image/jpeg").status_code == 200


def test_fault_is_a_stack_trace_that_names_people(archive: httpx.Client) -> None:
    item = stored_object("JPEG2000.dcm")
    dataset = item.dataset
    dataset.PatientName = "Traced^Name"
    dataset.PixelData = pydicom.encaps.encapsulate([b"no picture"])
    stream = io.BytesIO()
    dataset.save_as(stream)
    _store(archive, stream.getvalue())
    broken = _get(archive, f"{_address(item)}/rendered", "image/jpeg")
    assert broken.status_code == 500
    assert broken.headers["content-type"].startswith("text/plain")
    assert "Traced^Name" in broken.text
    assert "\tat org.dcm4chee" in broken.text


def test_unknown_entity_is_404(archive: httpx.Client) -> None:
    address = str(archive.base_url).replace("/DCM4CHEE/", "/NOBODY/") + "instances"
    assert archive.get(address, headers=_JSON).status_code == 404
