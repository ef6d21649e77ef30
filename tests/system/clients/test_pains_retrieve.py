"""What clients suffered from other servers while they retrieved, over both stores.

Numbers are those of the rows of ``pains.md``.
"""

import io
import json
import zipfile
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from local.smoke.dicom_files import new_uid
from tests.benchmarks.measuring import tree
from tests.dicom_files import a_file
from tests.system.clients.parts import parts_of
from tests.system.clients.scene import Scene
from tests.system.large_files import peak_rss, reset_peak

ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
EVIL = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": 'host="evil.example";proto=gopher',
}


def links_in(value: Any) -> list[str]:
    """Return every address in a JSON answer."""
    if isinstance(value, dict):
        return [link for each in value.values() for link in links_in(each)]
    if isinstance(value, list):
        return [link for each in value for link in links_in(each)]
    return [value] if isinstance(value, str) and "://" in value else []


def test_pain_65_every_link_leads_to_the_public_address_and_works(scene: Scene) -> None:
    file = scene.palette
    store = httpx.URL(scene.system.store.dicomweb).netloc.decode()
    with scene.system.client("bob") as client:
        for path in (
            f"/studies?StudyInstanceUID={file.study}",
            f"/studies/{file.study}/series",
            f"{file.series_path}/instances",
            f"/studies/{file.study}/metadata",
            f"{file.series_path}/metadata",
            f"{file.path}/metadata",
        ):
            answer = client.get(path, headers=EVIL)
            assert answer.status_code == 200, path
            assert "evil" not in str(answer.headers) + answer.text, path
            assert store not in answer.text, path
            links = links_in(answer.json())
            assert links, path
            for link in links:
                assert link.startswith(f"{scene.api}/studies/{file.study}"), link
                assert client.get(link).status_code == 200, link
        answers = [client.get(f"{file.path}", headers=EVIL), client.get(f"/studies/{new_uid()}", headers=EVIL)]
        for answer in answers:
            shown = str(answer.headers).encode() + answer.content
            assert b"evil" not in shown
            assert store.encode() not in shown


def test_pain_66_bulk_data_is_decided_by_the_object_that_it_belongs_to(scene: Scene) -> None:
    file, hidden = scene.palette, scene.hidden[0]
    with scene.system.client("bob") as bob, scene.system.client("alice") as alice:
        (row,) = bob.get(f"{file.path}/metadata").json()
        link = row["00281201"]["BulkDataURI"]
        assert bob.get(link).status_code == 200
        # The same rest of the address below what Bob does not read, or below another object than its own.
        for path in (hidden.path, f"{file.series_path}/instances/{new_uid()}"):
            assert bob.get(link.replace(file.path, path)).status_code == 404, path
        (own,) = alice.get(f"{hidden.path}/metadata").json()
        own_links = links_in(own)
        for foreign in own_links:
            assert alice.get(foreign).status_code == 200
            assert bob.get(foreign).status_code == 404
        outside = ("http://127.0.0.1:9/x", "../../../secret", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret")
        for rest in outside:
            assert bob.get(f"{file.path}/bulkdata/{rest}").status_code == 404, rest


def test_pain_69_frames_come_in_the_order_asked_for_one_part_each(scene: Scene) -> None:
    file = scene.multi_frame
    with scene.system.client("bob") as client:
        for wanted in ([1, 2, 3], [3, 1, 2], [2]):
            path = f"{file.path}/frames/{','.join(map(str, wanted))}"
            answer = client.get(path, headers={"Accept": "multipart/related; type=application/octet-stream"})
            assert answer.status_code == 200
            parts = parts_of(answer)
            assert [part.body for part in parts] == [file.frame(number) for number in wanted]
            assert {part.content_type.partition(";")[0] for part in parts} == {"application/octet-stream"}
        for outside in ("0", "9999", "1,9999", "x", "1,", "-1"):
            assert client.get(f"{file.path}/frames/{outside}").status_code in {400, 404}, outside


def test_pain_72_of_a_study_only_granted_series_come_in_each_form(scene: Scene) -> None:
    study = scene.shared[0].study
    uids = {file.instance for file in scene.shared}
    with scene.system.client("bob") as bob:
        parts = parts_of(bob.get(f"/studies/{study}"))
        assert {_uid(part.body) for part in parts} == uids
        metadata = bob.get(f"/studies/{study}/metadata").json()
        assert {row["00080018"]["Value"][0] for row in metadata} == uids
        rendered = bob.get(f"/studies/{study}/rendered", headers={"Accept": "image/jpeg"})
        assert rendered.status_code == 200
        for path in (f"/studies/{study}/rendered", f"/studies/{study}/thumbnail"):
            # What stands for a study is never of a hidden series: it is the same as for the visible series alone.
            of_series = path.replace(study, f"{study}/series/{scene.shared[0].series}")
            assert bob.get(path).content == bob.get(of_series).content, path
    with scene.system.client("alice") as alice:
        assert alice.patch(f"/albums/{scene.album}", data={"downloadSeries": "true"}).status_code == 200
    with scene.system.client("bob") as bob:
        archive = bob.get(f"/studies/{study}", headers={"Accept": "application/zip"})
        assert archive.status_code == 200
        with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
            files = [opened.read(name) for name in opened.namelist() if name != "DICOMDIR"]
        assert {_uid(file) for file in files} == uids


def test_pain_74_arrays_of_annotations_are_untouched(scene: Scene) -> None:
    points = bytes(range(256)) * 16
    file = _annotations(points)
    instance = pydicom.dcmread(io.BytesIO(file))
    assert scene.system.store_files("erin", file).status_code == 200
    path = (
        f"/studies/{instance.StudyInstanceUID}/series/{instance.SeriesInstanceUID}/instances/{instance.SOPInstanceUID}"
    )
    with scene.system.client("erin") as client:
        assert client.get(path, headers={"Accept": "application/dicom"}).content == file
        (row,) = client.get(f"{path}/metadata").json()
        (group,) = row["006A0002"]["Value"]
        element = group["00660016"]
        assert element["vr"] == "OF"
        if element.get("Value") == [0]:
            # Orthanc 1.10 has no arrays of floating point numbers in metadata, and nowhere an address for them.
            return
        link = element["BulkDataURI"]
        alone = client.get(link, headers={"Accept": "application/octet-stream"})
        assert alone.content == points
        assert alone.headers["content-type"] == "application/octet-stream"
        (part,) = parts_of(client.get(link, headers={"Accept": 'multipart/related; type="application/octet-stream"'}))
        assert part.body == points


def test_pain_75_wado_uri_serves_clients_that_know_nothing_else(scene: Scene) -> None:
    file, hidden = scene.shared[0], scene.hidden[0]
    right = {
        "requestType": "WADO",
        "studyUID": file.study,
        "seriesUID": file.series,
        "objectUID": file.instance,
    }
    with scene.system.client("bob") as client:

        def wado(*extra: tuple[str, str], **changed: str) -> httpx.Response:
            return client.get("/wado", params=[*{**right, **changed}.items(), *extra])

        whole = wado(contentType="application/dicom", transferSyntax="*")
        assert whole.status_code == 200
        assert whole.content == file.body
        shown = wado(contentType="image/jpeg")
        assert shown.headers["content-type"] == "image/jpeg"
        assert shown.content.startswith(b"\xff\xd8")
        for name, value in right.items():
            others = {key: each for key, each in right.items() if key != name}
            assert client.get("/wado", params=others).status_code == 400, f"without {name}"
            assert wado((name, value)).status_code == 400, f"{name} twice"
        absent = wado(objectUID=new_uid())
        foreign = wado(seriesUID=hidden.series, objectUID=hidden.instance)
        assert absent.status_code == foreign.status_code == 404
        assert absent.content == foreign.content
        small = client.get(f"{file.path}/thumbnail")
        assert small.headers["content-type"] == "image/jpeg"


@pytest.mark.long
def test_pain_71_metadata_of_a_study_of_5000_instances_takes_little_memory(scene: Scene) -> None:
    study, series = new_uid(), [new_uid() for _ in range(5)]
    for number in range(50):
        files = [a_file(study=study, series=series[number % 5], instance=new_uid()) for _ in range(100)]
        assert scene.system.store_files("erin", *files).status_code == 200
    pids = tree(scene.system.services.pid)
    reset_peak(pids)
    with scene.system.client("erin") as client, client.stream("GET", f"/studies/{study}/metadata") as answer:
        rows = json.loads(answer.read())
    assert len(rows) == 5000
    assert peak_rss(pids) < 200


def _uid(body: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True).SOPInstanceUID)


def _annotations(points: bytes) -> bytes:
    """Return a Microscopy Bulk Simple Annotations object (PS3.3 section A.87), as much of it as matters here."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(ANNOTATIONS)
    meta.MediaStorageSOPInstanceUID = UID(new_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    group = Dataset()
    group.AnnotationGroupNumber = 1
    group.AnnotationGroupLabel = "Nuclei"
    group.GraphicType = "POINT"
    group.NumberOfAnnotations = len(points) // 8
    group.PointCoordinatesData = points
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID = ANNOTATIONS
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = new_uid(), new_uid()
    data.Modality = "ANN"
    data.PatientID = "S-1"
    data.AnnotationCoordinateType = "2D"
    data.AnnotationGroupSequence = [group]
    output = io.BytesIO()
    data.save_as(output, enforce_file_format=True)
    return output.getvalue()
