"""The purge: what is over its time goes for good, and nothing else; UIDs are free when the store has confirmed it."""

import asyncio
from datetime import timedelta
from typing import cast

import pytest

from kheops.archive.port import Archive
from kheops.services.purging import Purging
from kheops.storage import purge
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, stored

LIFETIME = timedelta(days=30)


def run_purge(world: StoreWorld) -> dict[str, int]:
    purging = Purging(world.database, cast("Archive", world.archive), world.now, lifetime=LIFETIME)
    return {kind: number for kind, number in asyncio.run(purging.run()).series.items() if number}


def an_orphan(world: StoreWorld) -> tuple[str, bytes]:
    """Store a series of two instances as Alice and take it out of her inbox; return its UID and one of its files."""
    study, series = new_uid(), new_uid()
    files = [a_file(study=study, series=series, instance=new_uid(), number=number) for number in (1, 2)]
    assert len(stored(world.store(world.person("alice"), *files))) == 2
    world.execute(
        "DELETE FROM album_series WHERE series_pk = (SELECT pk FROM series WHERE series_instance_uid = :uid)",
        uid=series,
    )
    world.execute(
        "UPDATE series SET state = 'orphan', orphaned_at = :at WHERE series_instance_uid = :uid",
        at=world.now(),
        uid=series,
    )
    return series, files[0]


def test_an_orphan_over_its_time_is_deleted_from_the_store_and_its_uids_are_free(world: StoreWorld) -> None:
    series, file = an_orphan(world)
    world.moved = LIFETIME - timedelta(minutes=1)
    assert run_purge(world) == {}
    assert len(world.archive.files) == 2
    world.moved = LIFETIME + timedelta(minutes=1)
    assert run_purge(world) == {"begun": 1, "purged": 1}
    assert world.archive.files == {}
    assert world.states() == {}
    assert world.instance_states() == {}
    audit = world.rows(
        "SELECT reason, series_instance_uids, cardinality(sop_instance_uids) FROM audit WHERE kind = 'purge'"
    )
    assert [(row[0], list(cast("list[str]", row[1])), row[2]) for row in audit] == [
        ("begun", [series], 0),
        ("done", [series], 2),
    ]
    assert len(stored(world.store(world.person("bob"), file))) == 1, "somebody else may use the UIDs"


@pytest.mark.parametrize(
    "kept",
    [
        "UPDATE series SET legal_hold = true",
        "UPDATE series SET state = 'confirmed', orphaned_at = NULL",
        "UPDATE instances SET state = 'reserved', lease_until = now() WHERE instance_number = '1'",
        "INSERT INTO album_series SELECT u.inbox_pk, s.pk, false, now() FROM users u, series s",
        "UPDATE series SET confirmed_at = NULL",
    ],
    ids=["on legal hold", "taken back", "being added to", "held after all", "come by another way"],
)
def test_what_something_keeps_is_not_purged(world: StoreWorld, kept: str) -> None:
    an_orphan(world)
    world.execute(kept)
    world.moved = LIFETIME * 2
    assert run_purge(world) == {}
    assert len(world.archive.files) == 2
    assert len(world.states()) == 1


def test_what_is_kept_meanwhile_is_not_begun(world: StoreWorld) -> None:
    # Between finding what is due and locking it somebody may have put it on hold.
    series, _ = an_orphan(world)
    world.moved = LIFETIME * 2
    before = world.now() - LIFETIME
    (pk,) = world.database.run_blocking(lambda tx: purge.find_overdue(tx, before=before, limit=10))
    world.execute("UPDATE series SET legal_hold = true")
    begun = world.database.run_blocking(lambda tx: purge.begin_deleting(tx, pk, before=before, at=world.now()))
    assert begun is None
    assert world.states()[series][0] == "orphan"


def test_a_series_that_is_being_deleted_is_nobodys_until_the_store_is_rid_of_it(world: StoreWorld) -> None:
    series, file = an_orphan(world)
    world.moved = LIFETIME * 2
    world.archive.undeletable = {ref.sop_instance_uid for ref in world.archive.files if len(world.archive.files) == 2}
    assert run_purge(world) == {"begun": 1, "left": 1}
    assert world.states()[series][0] == "deleting"
    assert not stored(world.store(world.person("alice"), file)), "its origin comes too late"
    # The store says that it is gone, its search agrees, and it is there all the same.
    world.archive.unsearchable = set(world.archive.undeletable)
    assert run_purge(world) == {"left": 1}
    world.archive.undeletable = set()
    assert run_purge(world) == {"purged": 1}
    assert len(stored(world.store(world.person("bob"), file))) == 1


def test_while_the_store_deletes_nothing_nothing_more_is_taken_from_its_origin(world: StoreWorld) -> None:
    first, _ = an_orphan(world)
    world.execute("UPDATE series SET state = 'deleting'")
    second, _ = an_orphan(world)
    world.moved = LIFETIME * 2
    world.archive.down = True
    assert run_purge(world) == {"left": 1}
    assert {uid: state for uid, (state, _) in world.states().items()} == {first: "deleting", second: "orphan"}
    world.archive.down = False
    assert run_purge(world) == {"begun": 1, "purged": 2}


def test_two_runs_at_once_purge_each_series_once(world: StoreWorld) -> None:
    for _ in range(5):
        an_orphan(world)
    world.moved = LIFETIME * 2

    async def both() -> list[int]:
        purging = [
            Purging(world.database, cast("Archive", world.archive), world.now, lifetime=LIFETIME) for _ in range(2)
        ]
        results = await asyncio.gather(*(each.run() for each in purging))
        return [sum(result.series[kind] for result in results) for kind in ("begun", "purged")]

    assert asyncio.run(both()) == [5, 5]
    assert world.rows("SELECT count(*) FROM audit WHERE kind = 'purge'") == [(10,)]
    assert world.archive.files == {}
