"""What notifications of the store leave in the catalog, whenever and however often they come."""

import asyncio
import itertools
from datetime import timedelta
from typing import cast

import pytest

from kheops.archive.google_notifications import Change, StoreNotification
from kheops.archive.port import Archive
from kheops.ids import SopInstanceUID
from kheops.services.purging import Purging
from kheops.services.store_notifications import Newcomers, StoreNotifications
from kheops.services.store_report import FailureReason
from tests.dicom_files import a_file, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, reasons, stored

STUDY, SERIES, FIRST, SECOND = (new_uid() for _ in range(4))


def file_of(uid: str) -> bytes:
    return a_file(study=STUDY, series=SERIES, instance=uid)


def put(world: StoreWorld, uid: str) -> None:
    """Put an instance into the store by another way than ours."""
    world.archive.put(ref_of(STUDY, SERIES, uid), file_of(uid))


def remove(world: StoreWorld, uid: str) -> None:
    del world.archive.files[ref_of(STUDY, SERIES, uid)]


def tell(world: StoreWorld, change: Change, uid: str, *, study: str = STUDY) -> None:
    notification = StoreNotification(ref_of(study, SERIES, uid), change, "locations/l/datasets/d/dicomStores/s")
    asyncio.run(StoreNotifications(world.database, world.now).take(notification))


def is_dirty(world: StoreWorld) -> bool:
    return world.rows("SELECT dirty FROM series") == [(True,)]


def noticed(world: StoreWorld) -> list[tuple[object, ...]]:
    return world.rows("SELECT study_instance_uid, sop_instance_uid FROM noticed_series")


def test_new_series_comes_on_record_as_nobody_s_when_a_worker_has_seen_it(world: StoreWorld) -> None:
    put(world, FIRST)
    put(world, SECOND)
    for _ in range(2):
        tell(world, Change.STORED, FIRST)
    assert world.states() == {}
    result = world.reconcile()
    assert (result.newcomers.series, result.catalog.instances) == ({"recorded": 1}, {"added": 2})
    assert world.states() == {SERIES: ("orphan", 2)}
    assert world.rows("SELECT origin_user_pk, origin_album_pk, confirmed_at, dirty FROM series") == [
        (None, None, None, False)
    ]
    assert noticed(world) == []
    trail = world.rows("SELECT reason, series_instance_uids, iss, sub FROM audit WHERE kind = 'reconcile' ORDER BY pk")
    assert trail == [("noticed", [SERIES], None, None), ("added", [SERIES], None, None)]
    alice = world.person("alice")
    assert reasons(world.store(alice, file_of(new_uid()))) != {}
    assert world.holders(SERIES) == set()


@pytest.mark.parametrize("change", [Change.STORED, Change.UNKNOWN])
def test_series_that_the_store_does_not_hold_any_more_stays_off_the_record(world: StoreWorld, change: Change) -> None:
    tell(world, change, FIRST)
    assert world.reconcile().newcomers.series == {"absent": 1}
    assert (world.states(), noticed(world)) == ({}, [])
    assert stored(world.store(world.person("alice"), file_of(FIRST))) == {FIRST}


def test_series_whose_last_told_instance_is_gone_is_found_by_the_others(world: StoreWorld) -> None:
    put(world, FIRST)
    tell(world, Change.STORED, FIRST)
    tell(world, Change.STORED, SECOND)
    assert world.reconcile().newcomers.series == {"recorded": 1}
    assert world.states() == {SERIES: ("orphan", 1)}


def test_instance_that_no_search_finds_yet_brings_its_series_on_record(world: StoreWorld) -> None:
    put(world, FIRST)
    world.archive.unsearchable = {SopInstanceUID(FIRST)}
    tell(world, Change.STORED, FIRST)
    assert world.reconcile().newcomers.series == {"recorded": 1}
    assert world.states() == {SERIES: ("orphan", 0)}


def test_store_that_does_not_answer_is_asked_again(world: StoreWorld) -> None:
    put(world, FIRST)
    tell(world, Change.STORED, FIRST)
    world.archive.down = True
    result = world.reconcile()
    assert (result.newcomers.unanswered, result.is_whole) == (1, False)
    assert len(noticed(world)) == 1
    world.archive.down = False
    assert world.reconcile().is_whole
    assert world.states() == {SERIES: ("orphan", 1)}


def test_what_we_stored_ourselves_is_not_compared(world: StoreWorld) -> None:
    alice = world.person("alice")

    async def told_while_it_is_stored() -> None:
        await asyncio.to_thread(tell, world, Change.STORED, FIRST)

    world.archive.before_answer = told_while_it_is_stored
    assert stored(world.store(alice, file_of(FIRST))) == {FIRST}
    world.archive.before_answer = None
    tell(world, Change.STORED, FIRST)
    assert not is_dirty(world)
    assert noticed(world) == []


def test_instance_that_came_by_another_way_is_seen_by_those_who_hold_its_series(world: StoreWorld) -> None:
    world.store(world.person("alice"), file_of(FIRST))
    put(world, SECOND)
    tell(world, Change.STORED, SECOND)
    assert is_dirty(world)
    assert world.reconcile().catalog.instances == {"added": 1}
    assert world.states() == {SERIES: ("confirmed", 2)}
    assert world.holders(SERIES) == {"alice"}


def test_deleted_instance_is_dropped(world: StoreWorld) -> None:
    world.store(world.person("alice"), file_of(FIRST), file_of(SECOND))
    remove(world, FIRST)
    tell(world, Change.DELETED, FIRST)
    assert world.reconcile().catalog.instances == {"dropped": 1}
    assert set(world.instance_states()) == {SECOND}


def test_deletion_of_what_is_not_on_record_leaves_nothing(world: StoreWorld) -> None:
    tell(world, Change.DELETED, FIRST)
    assert (world.states(), noticed(world)) == ({}, [])


@pytest.mark.parametrize(("change", "state"), [(Change.NONE, "confirmed"), (Change.DELETED, "deleting")])
def test_what_changes_nothing_and_what_is_being_deleted_is_not_marked(
    world: StoreWorld, change: Change, state: str
) -> None:
    world.store(world.person("alice"), file_of(FIRST))
    world.execute(f"UPDATE series SET state = '{state}'")
    tell(world, change, FIRST)
    assert not is_dirty(world)


def test_series_named_under_another_study_than_its_own_is_not_marked(world: StoreWorld) -> None:
    world.store(world.person("alice"), file_of(FIRST))
    tell(world, Change.STORED, SECOND, study=new_uid())
    assert not is_dirty(world)
    assert noticed(world) == []


def test_notification_that_comes_again_after_the_purge_occupies_no_uid(world: StoreWorld) -> None:
    alice = world.person("alice")
    world.store(alice, file_of(FIRST))
    world.execute("DELETE FROM album_series")
    world.execute("UPDATE series SET state = 'orphan', orphaned_at = now() - interval '31 days'")
    purging = Purging(world.database, cast("Archive", world.archive), world.now, lifetime=timedelta(days=30))
    assert asyncio.run(purging.run()).series["purged"] == 1
    for change in (Change.DELETED, Change.STORED):
        tell(world, change, FIRST)
    assert world.reconcile().newcomers.series == {"absent": 1}
    assert stored(world.store(alice, file_of(FIRST))) == {FIRST}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order_comes_to_what_the_store_holds(world: StoreWorld, order: tuple[int, ...]) -> None:
    # FIRST was stored and deleted, SECOND stored, and one of them told of twice.
    told = [(Change.STORED, FIRST), (Change.DELETED, FIRST), (Change.STORED, SECOND), (Change.STORED, FIRST)]
    put(world, SECOND)
    for position in order:
        tell(world, *told[position])
        if position % 2:
            world.reconcile()
    world.reconcile()
    assert world.instance_states() == {SECOND: "confirmed"}
    assert world.states() == {SERIES: ("orphan", 1)}


def test_notice_that_comes_while_a_worker_looks_is_looked_at_again(world: StoreWorld) -> None:
    tell(world, Change.STORED, FIRST)

    class Late:
        """An archive that holds the second instance from the moment on that it has answered for the first."""

        async def inspect_instance(self, ref: object) -> bool:
            if ref == ref_of(STUDY, SERIES, FIRST):
                await asyncio.to_thread(put, world, SECOND)
                notification = StoreNotification(ref_of(STUDY, SERIES, SECOND), Change.STORED, "")
                await StoreNotifications(world.database, world.now).take(notification)
            return False

        async def inspect_series(self, ref: object) -> frozenset[SopInstanceUID]:
            return frozenset()

    newcomers = Newcomers(world.database, cast("Archive", Late()), world.now)
    assert asyncio.run(newcomers.run()).series == {"absent": 1}
    assert noticed(world) == [(STUDY, SECOND)]
    world.reconcile()
    assert world.states() == {SERIES: ("orphan", 1)}


def test_claiming_a_newcomer_by_its_uid_is_refused(world: StoreWorld) -> None:
    put(world, FIRST)
    tell(world, Change.STORED, FIRST)
    world.reconcile()
    alice = world.person("alice")
    assert reasons(world.store(alice, file_of(FIRST))) == {FIRST: FailureReason.NOT_AUTHORIZED}
    assert world.holders(SERIES) == set()
