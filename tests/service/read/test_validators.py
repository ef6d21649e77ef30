"""What a client has is not sent again, and nobody learns anything by asking; before two real stores."""

import hashlib

import pytest

from tests.contract.archive.objects import Stored, study_of_series
from tests.contract.archive.real_stores import RealStore
from tests.service.read.catalog import Somebody
from tests.service.read.conftest import Running, Service
from tests.service.read.test_retrieve import path_of, put


@pytest.fixture
def alice(service: Service) -> Somebody:
    return service.catalog.person("alice")


@pytest.fixture
def bob(service: Service) -> Somebody:
    return service.catalog.person("bob")


def with_digests(service: Service, *items: Stored) -> None:
    for item in items:
        service.catalog.execute(
            "UPDATE instances SET sha256 = :digest WHERE sop_instance_uid = :uid",
            digest=hashlib.sha256(item.body).digest(),
            uid=item.ref.sop_instance_uid,
        )


def test_what_the_client_has_is_not_sent_again(service: Service, store: RealStore, alice: Somebody) -> None:
    (held,) = study_of_series(2)
    put(service, store, held, alice)
    with_digests(service, *held)
    instance = path_of(held[0])

    async def use(running: Running) -> None:
        tags = []
        for path, accept in (
            (instance, "application/dicom"),
            (instance, "*/*"),
            (f"{instance}/frames/1", "*/*"),
            (f"{instance}/frames/1", "application/octet-stream"),
            (path_of(held[1]), "application/dicom"),
        ):
            first = await running.get(path, alice.token, headers={"accept": accept})
            tag = first.header("etag")
            assert first.status == 200
            assert tag is not None
            assert tag.startswith('W/"')
            tags.append(tag)
            for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', f'W/"other",{tag}'):
                headers = {"accept": accept, "if-none-match": known}
                again = await running.get(path, alice.token, headers=headers)
                assert (again.status, again.body, again.header("etag")) == (304, b"", tag), known
                assert again.header("content-type") is None
                assert again.header("cache-control") == "private, no-cache"
            head = await running.get(
                path, alice.token, method="HEAD", headers={"accept": accept, "if-none-match": tag}
            )
            assert head.status == 304
            for other in ('"other"', "W/", tag[:-2] + '"', "*", "junk"):
                headers = {"accept": accept, "if-none-match": other}
                assert (await running.get(path, alice.token, headers=headers)).status == 200, other
        assert len(set(tags)) == len(tags)

    service.run(use, store.new())


def test_a_validator_opens_nothing(service: Service, store: RealStore, alice: Somebody, bob: Somebody) -> None:
    (held,) = study_of_series(1)
    put(service, store, held, alice)
    with_digests(service, *held)

    async def use(running: Running) -> None:
        tag = (await running.get(path_of(held[0]), alice.token)).header("etag")
        assert tag is not None
        hidden = await running.get(path_of(held[0]), bob.token, headers={"if-none-match": tag})
        unknown = await running.get("/studies/1.2/series/1.3/instances/1.4", bob.token, headers={"if-none-match": tag})
        assert (hidden.status, hidden.told) == (404, unknown.told)

    service.run(use, store.new())
    rows = service.catalog.rows("SELECT outcome FROM audit WHERE kind = 'read-pixels' ORDER BY pk")
    assert [outcome for (outcome,) in rows] == ["granted", "refused", "refused"]


def test_not_sending_again_is_a_use_and_asks_the_store_nothing(
    service: Service, store: RealStore, alice: Somebody
) -> None:
    (held,) = study_of_series(1)
    put(service, store, held, alice)
    with_digests(service, *held)

    async def use(running: Running) -> str:
        tag = (await running.get(path_of(held[0]), alice.token)).header("etag")
        assert tag is not None
        return tag

    tag = service.run(use, store.new())
    service.catalog.execute("DELETE FROM audit")
    # Here there is no store at all.
    assert service.get(path_of(held[0]), alice.token, headers={"if-none-match": tag}).status == 304
    assert service.get(path_of(held[0]), alice.token).status == 503
    assert service.catalog.rows("SELECT kind, outcome FROM audit")[0] == ("read-pixels", "granted")


def test_an_instance_without_a_digest_has_no_validator(service: Service, store: RealStore, alice: Somebody) -> None:
    (held,) = study_of_series(1)
    put(service, store, held, alice)

    async def use(running: Running) -> None:
        answer = await running.get(path_of(held[0]), alice.token, headers={"if-none-match": "*"})
        assert (answer.status, answer.header("etag")) == (200, None)

    service.run(use, store.new())
