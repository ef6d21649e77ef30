"""Quotas of a minute, and answers that are compressed for whoever can read that."""

import gzip
from pathlib import Path

import httpx
import pytest

from local.healthcare_emulator.google_errors import GoogleError
from local.healthcare_emulator.quotas import Quotas
from tests.contract.archive.objects import stored_object
from tests.contract.archive.real_stores import emulator
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post


def test_request_beyond_the_quota_of_a_minute_is_429(tmp_path: Path) -> None:
    with emulator(tmp_path, "--quota", "3") as running, new_client(running) as client:
        answers = [client.get("/studies") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [204, 204, 204, 429, 429]
    error = answers[-1].json()[0]["error"]
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert "operations" in error["message"]


def test_bytes_beyond_the_quota_of_a_minute_are_429_and_not_stored(tmp_path: Path) -> None:
    first, second = stored_object("CT_small.dcm"), stored_object("CT_small.dcm")
    with emulator(tmp_path, "--quota-bytes", "1000") as running, new_client(running) as client:
        assert post(client, first.body).status_code == 200
        answer = post(client, second.body)
        assert answer.status_code == 429
        assert "ingress" in answer.json()[0]["error"]["message"]
    with emulator(tmp_path) as running, new_client(running) as client:
        assert client.get(f"{instance_path(first)}/metadata").status_code == 200
        assert client.get(f"{instance_path(second)}/metadata").status_code == 403


def test_next_minute_begins_with_nothing() -> None:
    now = 100.0
    quotas = Quotas(operations=1, ingress=10, clock=lambda: now)
    quotas.begin()
    quotas.received(10)
    with pytest.raises(GoogleError):
        quotas.begin()
    now += 59
    with pytest.raises(GoogleError):
        quotas.begin()
    now += 1
    quotas.begin()


def _raw(client: httpx.Client, path: str, coding: str) -> tuple[str | None, bytes]:
    with client.stream("GET", path, headers={"Accept-Encoding": coding}) as answer:
        return answer.headers.get("content-encoding"), b"".join(answer.iter_raw())


def test_json_is_compressed_where_that_is_asked_for(client: httpx.Client) -> None:
    item = stored_object("CT_small.dcm")
    post(client, item.body)
    study = item.ref.study_instance_uid
    for path in (f"{instance_path(item)}/metadata", f"/studies?StudyInstanceUID={study}", "/studies?limit=x"):
        coding, packed = _raw(client, path, "deflate, gzip;q=0.5")
        assert coding == "gzip"
        plain = _raw(client, path, "identity")
        assert plain == (None, gzip.decompress(packed))
        assert _raw(client, path, "gzip;q=0") == plain
    # Pixels are not.
    assert _raw(client, f"{instance_path(item)}/frames/1", "gzip")[0] is None
