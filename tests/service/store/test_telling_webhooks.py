"""Which webhooks are told of an upload, and of what."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from kheops.domain.principals import Person
from kheops.identity.keyring import Keyring
from kheops.identity.sealed_keys import KeySealer
from kheops.ids import AlbumId, new_album_id
from kheops.outbound.guard import OutboundGuard
from kheops.services.deliveries import WebhookSender
from kheops.services.outbox import Outbox
from kheops.services.store_report import StoreReport
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, stored
from tests.unit.outbound.receiver import Receiver, receiver


@pytest.fixture
def far() -> Any:
    with receiver() as running:
        yield running


def album(world: StoreWorld, owner: Person, far: Receiver, *members: Person) -> AlbumId:
    """Create an album with a webhook for new series."""
    public = new_album_id()

    def work(tx: Connection) -> None:
        key = tx.execute(
            text(
                "INSERT INTO albums (id, kind, name, created_at, last_event_at) "
                "VALUES (:id, 'album', 'a', now(), now()) RETURNING pk"
            ),
            {"id": public},
        ).scalar_one()
        for member in (owner, *members):
            tx.execute(
                text("INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:a, :u, :is, now())"),
                {"a": key, "u": member.user, "is": member is owner},
            )
        tx.execute(
            text(
                "INSERT INTO webhooks (id, album_pk, name, url, enabled, events, created_at) "
                "VALUES (:id, :a, 'h', :url, true, '{new_series}', now())"
            ),
            {"id": f"h{public}", "a": key, "url": f"{far.url}/{public}"},
        )

    world.database.run_blocking(work)
    return public


def hold(world: StoreWorld, public: AlbumId, series: str) -> None:
    world.execute(
        "INSERT INTO album_series (album_pk, series_pk, added_at) SELECT a.pk, s.pk, now() FROM albums a, series s "
        "WHERE a.id = :album AND s.series_instance_uid = :series",
        album=public,
        series=series,
    )


def told(world: StoreWorld, far: Receiver) -> dict[str, dict[str, Any]]:
    """Let half a minute pass and deliver; return the bodies by album."""
    world.moved += timedelta(seconds=31)

    async def body() -> None:
        guard = OutboundGuard(allowed=[far.destination])
        sender = WebhookSender(
            world.database, world.now, guard=guard, sealer=KeySealer(Keyring(b"p" * 32)), host="https://kheops.example"
        )
        await Outbox(world.database, world.now, sender.senders()).run_once()
        await guard.aclose()

    asyncio.run(body())
    bodies = [json.loads(got.body) for got in far.got]
    far.got.clear()
    assert len({each["album_id"] for each in bodies}) == len(bodies)
    return {each["album_id"]: each for each in bodies}


def series_of(body: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return the numbers of new and of all instances by series."""
    return {
        each["series_uid"]: (each["number_of_new_instances"], each["number_of_series_related_instances"])
        for each in body["updated_study"]["series"]
    }


def test_an_upload_into_an_album_is_told_once_with_all_its_series(world: StoreWorld, far: Receiver) -> None:
    alice = world.person("alice")
    into = album(world, alice, far)
    study, first, second = (new_uid() for _ in range(3))
    files = [a_file(study=study, series=each, instance=new_uid()) for each in (first, first, second)]
    # In two requests, with a quarter of a minute between them.
    assert len(stored(world.store(alice, *files[:1], album=into))) == 1
    world.moved += timedelta(seconds=15)
    assert len(stored(world.store(alice, *files[1:], album=into))) == 2
    bodies = told(world, far)
    assert list(bodies) == [into]
    assert bodies[into]["import_source"] == "upload"
    assert bodies[into]["source"]["sub"] == "alice"
    assert series_of(bodies[into]) == {first: (2, 2), second: (1, 1)}
    assert bodies[into]["updated_study"]["study_uid"] == study


def test_storing_the_same_again_is_told_to_nobody(world: StoreWorld, far: Receiver) -> None:
    alice = world.person("alice")
    into = album(world, alice, far)
    file = a_file(study=new_uid(), series=new_uid(), instance=new_uid())
    world.store(alice, file, album=into)
    assert list(told(world, far)) == [into]
    assert len(stored(world.store(alice, file, album=into))) == 1
    assert told(world, far) == {}


def test_further_instances_are_told_to_every_album_that_holds_the_series(world: StoreWorld, far: Receiver) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    holding, other, not_holding = album(world, alice, far), album(world, bob, far), album(world, alice, far)
    study, series = new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    assert told(world, far) == {}
    for each in (holding, other):
        hold(world, each, series)
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    bodies = told(world, far)
    assert set(bodies) == {holding, other}
    assert not_holding not in bodies
    assert series_of(bodies[holding]) == series_of(bodies[other]) == {series: (1, 2)}
    assert bodies[holding]["source"]["sub"] == "alice"
    # Alice is nobody whom Bob's album knows.
    assert "source" not in bodies[other]
    assert "alice" not in json.dumps(bodies[other])


def test_a_series_of_the_study_that_the_album_does_not_hold_is_not_told(world: StoreWorld, far: Receiver) -> None:
    alice = world.person("alice")
    holding = album(world, alice, far)
    study, series, hidden = (new_uid() for _ in range(3))
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    hold(world, holding, series)
    files = [a_file(study=study, series=each, instance=new_uid()) for each in (series, hidden)]
    assert len(stored(world.store(alice, *files))) == 2
    bodies = told(world, far)
    assert series_of(bodies[holding]) == {series: (1, 2)}
    assert hidden not in json.dumps(bodies)


def test_parallel_uploads_into_albums_with_webhooks_do_not_wait_for_each_other_for_ever(
    world: StoreWorld, far: Receiver
) -> None:
    alice = world.person("alice")
    into = album(world, alice, far)
    study = new_uid()
    series = [new_uid() for _ in range(5)]
    files = [a_file(study=study, series=each, instance=new_uid()) for each in series * 6]

    async def both() -> tuple[StoreReport, StoreReport]:
        return await asyncio.gather(
            asyncio.to_thread(world.store, alice, *files[:15], album=into),
            asyncio.to_thread(world.store, alice, *reversed(files[15:]), album=into),
        )

    reports = asyncio.run(both())
    assert sum(len(stored(report)) for report in reports) == 30
    assert series_of(told(world, far)[into]) == dict.fromkeys(series, (6, 6))
