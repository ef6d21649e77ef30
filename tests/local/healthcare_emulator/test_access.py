import time

import httpx
import pytest

from tests.contract.archive.objects import new_uid, stored_object, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Basic dTpw", "Bearer ya29.emulator.9999999999.aa.bb"]
)
def test_request_without_a_token_of_ours_is_401(running: RealStore, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/studies", f"/studies/{new_uid()}", "/nowhere"):
        answer = httpx.get(running.root + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer realm=")
        assert answer.json()[0]["error"]["status"] == "UNAUTHENTICATED"


def test_token_that_was_tampered_with_is_401(running: RealStore) -> None:
    token = running.headers["Authorization"]
    claims = token.split(".")
    later = ".".join([*claims[:2], str(int(claims[2]) + 1000), *claims[3:]])
    assert httpx.get(f"{running.root}/studies", headers={"Authorization": later}).status_code == 401


def test_metadata_server_asks_for_its_header(running: RealStore) -> None:
    origin = running.root.split("/v1/")[0]
    token = f"{origin}/computeMetadata/v1/instance/service-accounts/default/token"
    assert httpx.get(token).status_code == 403
    answer = httpx.get(token, headers={"Metadata-Flavor": "Google"})
    assert answer.headers["metadata-flavor"] == "Google"
    assert answer.json()["token_type"] == "Bearer"
    assert httpx.get(f"{origin}/computeMetadata/v1/other", headers={"Metadata-Flavor": "Google"}).status_code == 404


def test_other_store_is_403_and_other_paths_are_404(client: httpx.Client, running: RealStore) -> None:
    other = running.root.replace("dicomStores/kheops", "dicomStores/other")
    assert client.get(f"{other}/studies").status_code == 403
    for path in (
        "/studies/1.2:nothing",
        "/studies/*/series",
        "/studies/../studies",
        "/studies/1.2/rendered",
        "/patients",
    ):
        assert client.get(running.root + path.replace("..", "%2e%2e")).status_code == 404, path


def test_method_that_a_path_does_not_take_is_405_with_allow(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    post(client, item.body)
    for path, allowed in (
        ("/studies", "GET, POST"),
        (instance_path(item), "DELETE, GET"),
        (f"{instance_path(item)}/metadata", "GET"),
        ("/instances", "GET"),
    ):
        answer = client.put(path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"] == allowed


# Deletion --------------------------------------------------------------------------------------------------------


def test_instance_is_deleted_at_once_with_an_empty_body(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    post(client, item.body)
    answer = client.delete(instance_path(item))
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get(instance_path(item)).status_code == 403
    assert client.delete(instance_path(item)).status_code == 403


@pytest.mark.parametrize("level", ["series", "study"])
def test_series_and_study_are_deleted_by_an_operation(client: httpx.Client, running: RealStore, level: str) -> None:
    first, second = study_of_series(2, 1)
    post(client, *(item.body for item in (*first, *second)))
    series = instance_path(first[0]).rpartition("/instances/")[0]
    answer = client.delete(series if level == "series" else series.rpartition("/series/")[0])
    name = answer.json()["name"]
    assert name.startswith("projects/local/locations/local/datasets/kheops/operations/")
    assert "done" not in answer.json()
    address = f"{running.root.split('/projects/')[0]}/{name}"
    until = time.monotonic() + 5
    while not client.get(address).json().get("done"):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert client.get(series).status_code == 403
    assert client.get(instance_path(second[0])).status_code == (200 if level == "series" else 403)
    assert client.get(f"{address}0").status_code == 403
