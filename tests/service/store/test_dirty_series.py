"""A series that was marked dirty is brought in step with the store, and nothing else comes of it."""

import asyncio
from datetime import timedelta

import pytest

from kheops.domain.principals import Person
from kheops.domain.resources import InstanceRef, SeriesRef
from kheops.ids import SopInstanceUID
from kheops.services.store_report import FailureReason
from kheops.storage import dirty_series, purge
from tests.dicom_files import a_file, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, reasons, stored

STUDY, SERIES, FIRST, SECOND = (new_uid() for _ in range(4))


def file_of(uid: str, *, number: int = 2, pixels: bytes = b"\1\2\3\4", modality: str = "CT") -> bytes:
    return a_file(study=STUDY, series=SERIES, instance=uid, number=number, pixels=pixels, modality=modality)


def put(world: StoreWorld, uid: str, body: bytes | None = None) -> None:
    """Put an instance into the store by another way than ours."""
    world.archive.put(ref_of(STUDY, SERIES, uid), body or file_of(uid))


def remove(world: StoreWorld, uid: str) -> None:
    del world.archive.files[ref_of(STUDY, SERIES, uid)]


def is_dirty(world: StoreWorld) -> bool:
    return world.rows("SELECT dirty FROM series") == [(True,)]


def trail(world: StoreWorld) -> list[tuple[object, ...]]:
    return world.rows("SELECT reason, sop_instance_uids, iss FROM audit WHERE kind = 'reconcile'")


@pytest.fixture
def alice(world: StoreWorld) -> Person:
    """Give somebody who holds a series of one instance, marked as dirty."""
    alice = world.person("alice")
    world.store(alice, file_of(FIRST, number=1))
    world.execute("UPDATE series SET dirty = true")
    return alice


def test_what_the_store_has_comes_on_record_with_its_attributes_and_without_digest(
    world: StoreWorld, alice: Person
) -> None:
    put(world, SECOND)
    result = world.reconcile()
    assert result.catalog.instances == {"added": 1}
    assert result.is_whole
    assert world.states() == {SERIES: ("confirmed", 2)}
    assert world.rows(
        "SELECT state, instance_number, sop_class_uid, bits_allocated, transfer_syntax_uid, sha256, size "
        f"FROM instances WHERE sop_instance_uid = '{SECOND}'"
    ) == [("confirmed", "2", "1.2.840.10008.5.1.4.1.1.2", "8", "1.2.840.10008.1.2.1", None, None)]
    assert not is_dirty(world)
    assert trail(world) == [("added", [SECOND], None)]
    assert world.holders(SERIES) == {"alice"}
    other = file_of(SECOND, pixels=b"\1\2\3\5")
    assert reasons(world.store(alice, other)) == {SECOND: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert world.rows(f"SELECT sha256 IS NULL FROM instances WHERE sop_instance_uid = '{SECOND}'") == [(False,)]


@pytest.mark.usefixtures("alice")
def test_what_is_confirmed_missing_is_dropped_and_what_a_search_passes_over_is_not(world: StoreWorld) -> None:
    for uid in (SECOND, third := new_uid()):
        put(world, uid)
    assert world.reconcile().catalog.instances == {"added": 2}
    remove(world, FIRST)
    world.archive.unsearchable = {SopInstanceUID(third)}
    world.execute("UPDATE series SET dirty = true")
    assert world.reconcile().catalog.instances == {"dropped": 1}
    assert set(world.instance_states()) == {SECOND, third}
    assert world.states() == {SERIES: ("confirmed", 2)}
    assert not is_dirty(world)
    assert trail(world)[-1] == ("dropped", [FIRST], None)


@pytest.mark.usefixtures("alice")
def test_a_series_that_the_store_has_lost_keeps_its_holders_and_comes_back(world: StoreWorld) -> None:
    remove(world, FIRST)
    world.reconcile()
    assert world.states() == {SERIES: ("confirmed", 0)}
    put(world, FIRST)
    world.execute("UPDATE series SET dirty = true")
    world.reconcile()
    assert world.states() == {SERIES: ("confirmed", 1)}
    assert world.holders(SERIES) == {"alice"}


@pytest.mark.usefixtures("alice")
def test_a_series_that_is_not_marked_is_left(world: StoreWorld) -> None:
    world.execute("UPDATE series SET dirty = false")
    put(world, SECOND)
    assert world.reconcile().catalog.series == 0
    assert world.states() == {SERIES: ("confirmed", 1)}


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("state", ["deleting", "reserved"])
def test_a_series_that_is_being_stored_or_deleted_is_left_with_its_mark(world: StoreWorld, state: str) -> None:
    world.execute(f"UPDATE series SET state = '{state}', lease_until = now() + interval '1 minute'")
    put(world, SECOND)
    remove(world, FIRST)
    assert world.reconcile().catalog.series == 0
    assert set(world.instance_states()) == {FIRST}
    assert is_dirty(world)


@pytest.mark.usefixtures("alice")
def test_an_instance_that_is_being_stored_is_left(world: StoreWorld) -> None:
    put(world, SECOND)
    world.reconcile()
    world.execute(
        "UPDATE instances SET state = 'reserved', lease_until = now() + interval '1 minute', upload_id = 'running' "
        f"WHERE sop_instance_uid = '{SECOND}'"
    )
    world.execute("UPDATE series SET dirty = true, number_of_instances = 1")
    assert world.reconcile().catalog.instances == {}
    assert world.instance_states() == {FIRST: "confirmed", SECOND: "reserved"}
    assert world.states() == {SERIES: ("confirmed", 1)}


def test_what_was_withheld_from_everybody_is_not_taken_for_the_store_s_own(world: StoreWorld, alice: Person) -> None:
    world.execute("UPDATE series SET dirty = false")

    async def suspend() -> None:
        await asyncio.to_thread(world.execute, "UPDATE users SET suspended_at = now()")

    world.archive.before_answer = suspend
    assert stored(world.store(alice, file_of(SECOND))) == set()
    world.archive.before_answer = None
    world.execute("UPDATE series SET dirty = true")
    assert world.reconcile().catalog.instances == {}
    assert world.instance_states() == {FIRST: "confirmed", SECOND: "reserved"}
    assert world.states() == {SERIES: ("confirmed", 1)}
    world.execute("UPDATE users SET suspended_at = NULL")
    assert reasons(world.store(alice, file_of(SECOND, pixels=b"\1\2\3\5"))) == {SECOND: 0x0111}
    assert stored(world.store(alice, file_of(SECOND))) == {SECOND}
    assert world.states() == {SERIES: ("confirmed", 2)}


def test_a_withheld_instance_is_no_place_for_others(world: StoreWorld, alice: Person) -> None:
    carol = world.person("carol")

    async def suspend() -> None:
        await asyncio.to_thread(world.execute, f"UPDATE users SET suspended_at = now() WHERE pk = {alice.user}")

    world.archive.before_answer = suspend
    world.store(alice, file_of(SECOND))
    world.archive.before_answer = None
    elsewhere = a_file(study=new_uid(), series=new_uid(), instance=SECOND)
    for file in (file_of(SECOND), elsewhere):
        assert reasons(world.store(carol, file)) == {SECOND: FailureReason.NOT_AUTHORIZED}
    assert world.instance_states()[SECOND] == "reserved"


@pytest.mark.parametrize("withheld", [True, False])
def test_what_is_withheld_keeps_no_orphan_from_being_purged(world: StoreWorld, alice: Person, withheld: bool) -> None:
    async def suspend() -> None:
        await asyncio.to_thread(world.execute, f"UPDATE users SET suspended_at = now() WHERE pk = {alice.user}")

    world.archive.before_answer = suspend
    world.store(alice, file_of(SECOND))
    if not withheld:
        world.execute("UPDATE instances SET upload_id = 'running' WHERE state = 'reserved'")
    world.execute("DELETE FROM album_series")
    world.execute("UPDATE series SET state = 'orphan', orphaned_at = now()")
    later = world.now() + timedelta(days=1)
    overdue = world.database.run_blocking(lambda tx: purge.find_overdue(tx, before=later, limit=10))
    assert len(overdue) == withheld


@pytest.mark.usefixtures("alice")
def test_a_mark_that_is_set_again_meanwhile_stays(world: StoreWorld) -> None:
    put(world, SECOND)
    right = world.archive.inspect_bytes

    def mark() -> None:
        ref = ref_of(STUDY, SERIES, FIRST).series
        world.database.run_blocking(lambda tx: dirty_series.mark_dirty(tx, ref))

    async def inspect_bytes(ref: InstanceRef):  # type: ignore[no-untyped-def]  # noqa: ANN202
        await asyncio.to_thread(mark)
        return await right(ref)

    world.archive.inspect_bytes = inspect_bytes  # type: ignore[method-assign]
    assert world.reconcile().catalog.instances == {"added": 1}
    assert is_dirty(world)
    world.archive.inspect_bytes = right  # type: ignore[method-assign]
    world.reconcile()
    assert not is_dirty(world)


@pytest.mark.usefixtures("alice")
def test_an_upload_that_comes_first_keeps_its_digest(world: StoreWorld) -> None:
    put(world, SECOND)
    right = world.archive.inspect_bytes

    async def inspect_bytes(ref: InstanceRef):  # type: ignore[no-untyped-def]  # noqa: ANN202
        await asyncio.to_thread(
            world.execute,
            "INSERT INTO instances (series_pk, sop_instance_uid, state, size, sha256, created_at) "
            "SELECT pk, :uid, 'confirmed', 5, 'x', now() FROM series",
            uid=SECOND,
        )
        return await right(ref)

    world.archive.inspect_bytes = inspect_bytes  # type: ignore[method-assign]
    assert world.reconcile().catalog.instances == {"left": 1}
    assert world.rows(f"SELECT size FROM instances WHERE sop_instance_uid = '{SECOND}'") == [(5,)]


@pytest.mark.usefixtures("alice")
@pytest.mark.parametrize("kind", ["unreadable", "another object"])
def test_what_cannot_be_read_as_what_it_is_filed_under_is_left(world: StoreWorld, kind: str) -> None:
    put(world, SECOND, b"junk" * 100 if kind == "unreadable" else file_of(new_uid()))
    assert world.reconcile().catalog.instances == {"left": 1}
    assert set(world.instance_states()) == {FIRST}


@pytest.mark.usefixtures("alice")
def test_a_uid_on_record_in_another_series_stays_there(world: StoreWorld) -> None:
    elsewhere = new_uid()
    world.store(world.person("carol"), a_file(study=new_uid(), series=elsewhere, instance=SECOND))
    put(world, SECOND)
    assert world.reconcile().catalog.instances == {"left": 1}
    assert world.states() == {SERIES: ("confirmed", 1), elsewhere: ("confirmed", 1)}


def test_a_series_that_came_by_another_way_gets_its_attributes_and_stays_nobody_s(world: StoreWorld) -> None:
    carol = world.person("carol")
    put(world, FIRST)
    assert reasons(world.store(carol, file_of(SECOND))) == {SECOND: FailureReason.NOT_AUTHORIZED}
    assert world.reconcile().catalog.instances == {"added": 1}
    assert world.states() == {SERIES: ("orphan", 1)}
    assert world.rows("SELECT modality, patient_id FROM series") == [("CT", "P-1")]
    assert world.rows("SELECT * FROM album_series") == []
    assert reasons(world.store(carol, file_of(SECOND))) == {SECOND: FailureReason.NOT_AUTHORIZED}


@pytest.mark.usefixtures("alice")
def test_attributes_that_a_series_has_stay(world: StoreWorld) -> None:
    put(world, SECOND, file_of(SECOND, modality="MR"))
    world.reconcile()
    assert world.rows("SELECT modality FROM series") == [("CT",)]


@pytest.mark.usefixtures("alice")
def test_a_store_that_does_not_answer_leaves_the_mark_and_the_other_series(world: StoreWorld) -> None:
    good = new_uid()
    world.store(world.person("carol"), a_file(study=new_uid(), series=good, instance=new_uid()))
    world.execute("UPDATE series SET dirty = true")
    right = world.archive.inspect_series

    async def inspect_series(ref: SeriesRef) -> frozenset[SopInstanceUID]:
        world.archive.down = ref.series_instance_uid == SERIES
        return await right(ref)

    world.archive.inspect_series = inspect_series  # type: ignore[method-assign]
    result = world.reconcile()
    assert (result.catalog.unanswered, result.catalog.series, result.is_whole) == (1, 1, False)
    assert world.rows("SELECT series_instance_uid FROM series WHERE dirty") == [(SERIES,)]


@pytest.mark.usefixtures("alice")
def test_a_long_series_is_taken_piece_by_piece(world: StoreWorld) -> None:
    for number in range(250):
        put(world, f"2.25.{number + 1}")
    assert world.reconcile().catalog.instances == {"added": 250}
    assert [len(row[1]) for row in trail(world) if isinstance(row[1], list)] == [100, 100, 50]
    assert world.states() == {SERIES: ("confirmed", 251)}
    assert not is_dirty(world)
