"""The methods that are written with a colon, and the operations that they begin."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.archive.objects import Stored, stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore, emulator
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post
from tests.local.healthcare_emulator.test_notifications import Subscriber, subscriber


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bucket")


@pytest.fixture(scope="module")
def listener() -> Iterator[Subscriber]:
    with subscriber() as listening:
        yield listening


@pytest.fixture(scope="module")
def running(bucket: Path, listener: Subscriber, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    options = ("--bucket", f"pictures={bucket}", "--operation-seconds", "0.05", "--push-url", listener.url)
    with emulator(tmp_path_factory.mktemp("custom"), *options) as store:
        yield store


@pytest.fixture
def client(running: RealStore) -> Iterator[httpx.Client]:
    with new_client(running) as made:
        yield made


def _store_url(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/").removesuffix("/dicomWeb")


def _finished(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """Return an operation that is over."""
    assert answer.status_code == 200, answer.text
    operation: dict[str, Any] = answer.json()
    assert "done" not in operation
    url = f"{_store_url(client).partition('/projects/')[0]}/{operation['name']}"
    until = time.monotonic() + 10
    while not operation.get("done"):
        assert time.monotonic() < until
        time.sleep(0.02)
        operation = client.get(url).json()
    return operation


def _stored(client: httpx.Client, *sizes: int) -> list[list[Stored]]:
    study = study_of_series(*sizes)
    assert post(client, *(item.body for series in study for item in series)).status_code == 200
    return study


def test_metrics_count_what_is_stored_at_each_level(client: httpx.Client) -> None:
    first, second = _stored(client, 2, 1)
    series_path, _, _ = instance_path(first[0]).rpartition("/instances/")
    study_path, _, _ = series_path.rpartition("/series/")
    series = client.get(f"{series_path}:getSeriesMetrics").json()
    assert series["series"].endswith(f"/dicomStores/kheops/dicomWeb{series_path}")
    assert series["instanceCount"] == "2"
    assert series["blobStorageSizeBytes"] == str(sum(len(item.body) for item in first))
    assert int(series["structuredStorageSizeBytes"]) > 0
    study = client.get(f"{study_path}:getStudyMetrics").json()
    assert (study["instanceCount"], study["seriesCount"]) == ("3", "2")
    assert study["blobStorageSizeBytes"] == str(sum(len(item.body) for item in (*first, *second)))
    before = client.get(f"{_store_url(client)}:getDICOMStoreMetrics").json()
    _stored(client, 1)
    after = client.get(f"{_store_url(client)}:getDICOMStoreMetrics").json()
    assert after["name"].startswith("projects/local/")
    grown = [int(after[name]) - int(before[name]) for name in ("studyCount", "seriesCount", "instanceCount")]
    assert grown == [1, 1, 1]


def test_metrics_of_what_is_not_there_are_403_and_other_methods_404(client: httpx.Client) -> None:
    ((item,),) = _stored(client, 1)
    study = f"/studies/{item.ref.study_instance_uid}"
    for path, status in (
        ("/studies/1.2:getStudyMetrics", 403),
        (f"{study}/series/1.2:getSeriesMetrics", 403),
        (f"{study}/series/1.2/instances/1.2:getStorageInfo", 403),
        (f"{study}:getSeriesMetrics", 404),
        (f"{study}:getStudyMetrics/series", 404),
        (f"{study}:nothing", 404),
        ("/studies:getStudyMetrics", 404),
    ):
        answer = client.get(path)
        assert answer.status_code == status, path
    assert client.post(f"{study}:getStudyMetrics").headers["allow"] == "GET"
    assert client.get(f"{_store_url(client)}:import").headers["allow"] == "POST"


def test_storage_class_is_set_by_an_operation_and_told_of(client: httpx.Client, listener: Subscriber) -> None:
    ((item, other),) = _stored(client, 2)
    study = f"/studies/{item.ref.study_instance_uid}"
    info = client.get(f"{instance_path(item)}:getStorageInfo").json()
    assert info["referencedResource"].endswith(instance_path(item))
    assert info["blobStorageInfo"]["sizeBytes"] == str(len(item.body))
    assert info["blobStorageInfo"]["storageClass"] == "STANDARD"
    wish = {"blobStorageSettings": {"blobStorageClass": "NEARLINE"}}
    operation = _finished(client, client.post(f"{study}:setBlobStorageSettings", json=wish))
    assert operation["metadata"]["counter"] == {"success": "2"}
    for each in (item, other):
        info = client.get(f"{instance_path(each)}:getStorageInfo").json()
        assert info["blobStorageInfo"]["storageClass"] == "NEARLINE"
    listener.wait(lambda: [action for action, _ in listener.told()].count("SetBlobSettings") == 2)
    (told, *_) = [
        body["message"]["attributes"]
        for _, body in listener.pushes
        if body["message"]["attributes"]["action"] == "SetBlobSettings"
    ]
    assert (told["previousStorageClass"], told["storageClass"]) == ("STANDARD", "NEARLINE")
    assert (told["modality"], told["versionId"].isdecimal()) == ("MR", True)
    wrong = {"blobStorageSettings": {"blobStorageClass": "TAPE"}}
    assert client.post(f"{study}:setBlobStorageSettings", json=wrong).status_code == 400
    assert client.post(f"{_store_url(client)}:setBlobStorageSettings", json=wish).status_code == 400


def test_import_takes_what_the_wildcard_names_and_counts_what_it_cannot(
    client: httpx.Client, bucket: Path, listener: Subscriber
) -> None:
    items = [stored_object("CT_small.dcm") for _ in range(3)]
    (bucket / "in" / "deep").mkdir(parents=True)
    for place, item in zip(("a.dcm", "b.dcm", "deep/c.dcm"), items, strict=True):
        (bucket / "in" / place).write_bytes(item.body)
    shallow = {"gcsSource": {"uri": "gs://pictures/in/*.dcm"}, "blobStorageSettings": {"blobStorageClass": "ARCHIVE"}}
    operation = _finished(client, client.post(f"{_store_url(client)}:import", json=shallow))
    assert operation["metadata"]["apiMethodName"].endswith("ImportDicomData")
    assert operation["metadata"]["counter"] == {"success": "2"}
    assert operation["response"]["@type"].endswith("ImportDicomDataResponse")
    assert [client.get(f"{instance_path(item)}/metadata").status_code for item in items] == [200, 200, 403]
    info = client.get(f"{instance_path(items[0])}:getStorageInfo").json()
    assert info["blobStorageInfo"]["storageClass"] == "ARCHIVE"
    (bucket / "in" / "junk.dcm").write_bytes(b"junk")
    deep = {"gcsSource": {"uri": "gs://pictures/in/**"}}
    operation = _finished(client, client.post(f"{_store_url(client)}:import", json=deep))
    assert operation["metadata"]["counter"] == {"success": "3", "failure": "1"}
    assert "1 of 4" in operation["error"]["message"]
    assert client.get(f"{instance_path(items[2])}/metadata").status_code == 200
    listener.wait(lambda: [action for action, _ in listener.told()].count("ImportDicomData") == 5)


@pytest.mark.parametrize(
    ("uri", "status"),
    [("gs://elsewhere/in/*", 403), ("/etc/*", 400), ("gs://pictures", 400)],
)
def test_import_from_nowhere_is_refused(client: httpx.Client, uri: str, status: int) -> None:
    answer = client.post(f"{_store_url(client)}:import", json={"gcsSource": {"uri": uri}})
    assert answer.status_code == status
    assert "status" in answer.json()["error"]  # an object and no array: it is no DICOMweb


def test_import_of_nothing_ends_with_an_error(client: httpx.Client) -> None:
    wish = {"gcsSource": {"uri": "gs://pictures/none/*"}}
    assert _finished(client, client.post(f"{_store_url(client)}:import", json=wish))["error"]["message"]


def test_export_writes_what_the_filter_names(client: httpx.Client, bucket: Path) -> None:
    first, second = _stored(client, 2, 1)
    ref = first[0].ref
    (bucket / "filter").write_text(f"/studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}\r\n")
    wish = {
        "gcsDestination": {"uriPrefix": "gs://pictures/out"},
        "filterConfig": {"resourcePathsGcsUri": "gs://pictures/filter"},
    }
    operation = _finished(client, client.post(f"{_store_url(client)}:export", json=wish))
    assert operation["metadata"]["counter"] == {"success": "2"}
    folder = bucket / "out" / ref.study_instance_uid
    written = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}
    assert written == {f"{item.ref.series_instance_uid}/{item.ref.sop_instance_uid}.dcm": item.body for item in first}
    del wish["filterConfig"]
    _finished(client, client.post(f"{_store_url(client)}:export", json=wish))
    assert len(list(folder.rglob("*.dcm"))) == 3
    assert second[0].body in {path.read_bytes() for path in folder.rglob("*.dcm")}


@pytest.mark.parametrize(
    "wish",
    [
        {"gcsDestination": {"uriPrefix": "gs://pictures/../out"}},
        {"gcsDestination": {"uriPrefix": "gs://pictures//nonexistent/out"}},
        {"gcsDestination": {"uriPrefix": "gs://pictures/out", "mimeType": "image/png"}},
        {"bigqueryDestination": {"tableUri": "bq://x.y.z"}},
        {},
    ],
)
def test_export_that_cannot_be_is_refused(client: httpx.Client, wish: dict[str, Any], bucket: Path) -> None:
    assert client.post(f"{_store_url(client)}:export", json=wish).status_code == 400
    assert not (bucket.parent / "out").exists()


def test_request_of_more_than_ten_megabytes_is_refused(client: httpx.Client) -> None:
    body = json.dumps({"gcsSource": {"uri": "gs://pictures/" + "x" * 10_000_000}})
    answer = client.post(f"{_store_url(client)}:import", content=body)
    assert answer.status_code == 400
    assert "10 MB" in answer.json()["error"]["message"]


def test_nothing_is_stored_while_its_series_is_being_deleted(tmp_path: Path) -> None:
    (items,) = study_of_series(2)
    series = instance_path(items[0]).rpartition("/instances/")[0]
    with emulator(tmp_path, "--operation-seconds", "0.5") as store, new_client(store) as client:
        assert post(client, items[0].body).status_code == 200
        answer = client.delete(series)
        refused = post(client, items[1].body)
        assert refused.status_code == 409
        assert refused.json()["00081198"]["Value"][0]["00081197"]["Value"] == [272]
        elsewhere = stored_object("CT_small.dcm")
        assert post(client, elsewhere.body).status_code == 200
        _finished(client, answer)
        assert post(client, items[1].body).status_code == 200
