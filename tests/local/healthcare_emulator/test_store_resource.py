"""The store as a resource, and our having it tell a topic of everything."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from kheops.archive.google_store_notifications import tell_topic
from kheops.errors import ArchiveProtocolError, ArchiveUnavailableError
from tests.contract.archive.real_stores import RealStore
from tests.contract.archive.scripted_store import Request, answer, run_scripted
from tests.postgres import Server

MASK = {"updateMask": "notificationConfigs"}


class Token:
    """The credential of the running emulator."""

    def __init__(self, value: str) -> None:
        self._value = value

    async def value(self) -> str:
        return self._value

    def reject(self, value: str) -> bool:
        del value
        return False


def _url(store: RealStore) -> str:
    return store.root.removesuffix("/dicomWeb")


def _tell(store: RealStore, topic: str) -> bool:
    return asyncio.run(tell_topic(_url(store), topic, authorization=Token(store.headers["Authorization"])))


def _topics(client: httpx.Client, store: RealStore) -> list[str]:
    found = client.get(_url(store)).json()
    return [config["pubsubTopic"] for config in found.get("notificationConfigs", [])]


@pytest.fixture(autouse=True)
def _none_before(client: httpx.Client, running: RealStore) -> None:
    client.patch(_url(running), params=MASK, json={"notificationConfigs": []})


def test_topic_is_set_once_and_others_stay(client: httpx.Client, running: RealStore) -> None:
    client.patch(_url(running), params=MASK, json={"notificationConfigs": [{"pubsubTopic": "projects/p/topics/a"}]})
    assert _tell(running, "projects/p/topics/b") is True
    assert _topics(client, running) == ["projects/p/topics/a", "projects/p/topics/b"]
    assert _tell(running, "projects/p/topics/b") is False
    assert _topics(client, running) == ["projects/p/topics/a", "projects/p/topics/b"]


def test_store_says_its_name(client: httpx.Client, running: RealStore) -> None:
    assert client.get(_url(running)).json() == {"name": _url(running).split("/v1/")[1]}


@pytest.mark.parametrize(
    ("params", "body"),
    [
        ({}, b"{}"),
        ({"updateMask": "labels"}, b"{}"),
        (MASK, b"x"),
        (MASK, b'{"notificationConfigs": [{"topic": "projects/p/topics/a"}]}'),
        (MASK, b'{"notificationConfigs": [{"pubsubTopic": "a"}]}'),
    ],
)
def test_what_is_no_update_is_400(
    client: httpx.Client, running: RealStore, params: dict[str, str], body: bytes
) -> None:
    assert client.patch(_url(running), params=params, content=body).status_code == 400
    assert _topics(client, running) == []


def test_without_a_token_it_is_401(running: RealStore) -> None:
    assert httpx.patch(_url(running), params=MASK, json={}).status_code == 401


def test_refusal_is_told(running: RealStore) -> None:
    with pytest.raises(ArchiveProtocolError, match="400 to PATCH"):
        _tell(running, "no topic")
    with pytest.raises(ArchiveUnavailableError):
        asyncio.run(tell_topic("http://127.0.0.1:9/v1/x", "projects/p/topics/t", authorization=Token("t")))


def test_change_that_is_not_kept_is_an_error() -> None:
    async def use(origin: str, requests: list[Request]) -> list[str]:
        with pytest.raises(ArchiveProtocolError, match="does not keep"):
            await tell_topic(f"{origin}/v1/x", "projects/p/topics/t", authorization=Token("t"))
        return [request.line.split(" ")[0] for request in requests]

    assert run_scripted([answer("200 OK", b'{"name": "x"}')], use) == ["GET", "PATCH", "GET"]


@pytest.mark.parametrize("body", [b"[]", b"x", b'{"notificationConfigs": [{}]}'])
def test_answer_that_is_no_store_is_an_error(body: bytes) -> None:
    async def use(origin: str, requests: list[Request]) -> int:
        with pytest.raises(ArchiveProtocolError, match="documents"):
            await tell_topic(f"{origin}/v1/x", "projects/p/topics/t", authorization=Token("t"))
        return len(requests)

    assert run_scripted([answer("200 OK", body)], use) == 1


def test_migrate_has_the_store_tell_the_topic_with_the_credential_of_the_metadata_server(
    postgres: Server, client: httpx.Client, running: RealStore
) -> None:
    url = postgres.create()
    host = _url(running).split("/v1/")[0].removeprefix("http://")
    environment = {
        "PATH": os.environ["PATH"],
        "KHEOPS_PUBLIC_URL": "https://kheops.example",
        "KHEOPS_DATABASE_URL": postgres.url(url),
        "KHEOPS_STORE_KIND": "google",
        "KHEOPS_STORE_URL": _url(running),
        "KHEOPS_STORE_TOPIC": "projects/p/topics/store",
        "KHEOPS_ISSUERS": '[{"issuer": "https://i.example", "audiences": ["a"], "access_token_typ": "at+jwt"}]',
        # The migrations may not read either, and do not try.
        "KHEOPS_TOKEN_PEPPER": "sm://projects/kheops-1/secrets/pepper/versions/latest",
        "KHEOPS_SESSION_KEY": "sm://projects/kheops-1/secrets/session/versions/latest",
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        "HOME": "/nonexistent",
    }
    command = [str(Path(sys.executable).with_name("kheops")), "migrate"]
    for said in (1, 0):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("KHEOPS_STORE_TOPIC") == said
        assert _topics(client, running) == ["projects/p/topics/store"]
    postgres.drop(postgres.url(url))
