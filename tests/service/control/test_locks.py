"""What waits for what: each test holds one transaction open and looks at how another one comes out after it."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from kheops.ids import SeriesPk
from kheops.services.sharing import Selection
from kheops.storage import holdings
from tests.service.control.world import World


def key(world: World, series: Selection) -> SeriesPk:
    return SeriesPk(world.scalar("SELECT pk FROM series WHERE series_instance_uid = :uid", uid=series.series))


def after(world: World, first: Callable[[Connection], object], second: Callable[[], str]) -> str:
    """Do ``first`` in a transaction, start ``second``, see that it waits, commit, and return how it came out."""
    outcomes: list[str] = []
    thread = threading.Thread(target=lambda: outcomes.append(second()))
    with world.database.connect() as connection:
        transaction = connection.begin()
        first(connection)
        thread.start()
        deadline = time.monotonic() + 10
        waits = 0
        while not waits and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
            waits = world.scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
        assert waits, "the second did not wait for the first"
        transaction.commit()
    thread.join(20)
    return outcomes[0]


def now() -> datetime:
    return datetime.now(UTC)


def test_the_second_last_pointer_and_the_last_go_one_after_the_other(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    series = world.series(world.inbox(alice), world.inbox(bob))
    pk, of_alice, of_bob = key(world, series), world.inbox(alice), world.inbox(bob)

    def let_go() -> str:
        world.database.run_blocking(lambda tx: holdings.remove_series(tx, album=of_bob, series=[pk], at=now()))
        return "ok"

    after(world, lambda tx: holdings.remove_series(tx, album=of_alice, series=[pk], at=now()), let_go)
    assert world.state(series) == ("orphan", True)


@pytest.mark.parametrize("verb", ["put", "send", "drop"])
def test_a_grant_that_goes_while_it_is_asked_for_is_gone(world: World, verb: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice))
    acts: dict[str, Callable[[], str]] = {
        "put": lambda: world.put(alice, series, album),
        "send": lambda: world.send(alice, series, "alice"),
        "drop": lambda: world.drop(alice, series),
    }
    pk, inbox = key(world, series), world.inbox(alice)
    outcome = after(world, lambda tx: holdings.remove_series(tx, album=inbox, series=[pk], at=now()), acts[verb])
    assert outcome == "NotFoundError"
    assert world.state(series) == ("orphan", True)


def test_what_an_upload_adds_while_the_album_is_deleted_becomes_an_orphan_too(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    pointer = world.series()
    pk, album_pk = key(world, pointer), world.key(album)
    outcome = after(
        world,
        lambda tx: holdings.add_series(tx, album=album_pk, series_pk=pk, by=alice.user, at=now()),
        lambda: world.outcome(world.albums.delete(alice, album, asked=world.use(alice))),
    )
    assert outcome == "ok"
    assert world.holders(pointer) == set()
    assert world.state(pointer) == ("orphan", True)


def test_whoever_cannot_know_an_album_does_not_wait_for_it(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    album = world.album(alice)
    series = world.series(world.inbox(alice))
    with world.database.connect() as connection:
        transaction = connection.begin()
        pk, album_pk = key(world, series), world.key(album)
        holdings.add_series(connection, album=album_pk, series_pk=pk, by=alice.user, at=now())
        connection.exec_driver_sql(f"SELECT 1 FROM albums WHERE pk = {album_pk} FOR UPDATE")
        begun = time.monotonic()
        assert world.put(carol, series, album) == "AlbumNotFoundError"
        assert world.take(carol, series) == "NotFoundError"
        assert world.drop(carol, series) == "NotFoundError"
        removed = world.albums.members.remove(carol, album, "alice", asked=world.use(carol))
        assert world.outcome(removed) == "AlbumNotFoundError"
        assert time.monotonic() - begun < 4, "the lock time-out is five seconds"
        transaction.rollback()
