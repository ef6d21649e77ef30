"""The net under notifications: each series on record has its day of the week, on which it is compared."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kheops.domain.resources import SeriesRef
from kheops.ids import SeriesInstanceUID, SeriesPk, SopInstanceUID, StudyInstanceUID
from kheops.services import comparing
from kheops.services.comparing import SHARES, Comparison
from kheops.storage import dirty_series
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld

MONDAY = datetime(2026, 3, 2, 1, 40, tzinfo=UTC)


def _mark(world: StoreWorld, day: int) -> set[SeriesPk]:
    """Do a day's work; return what is marked then, and take the marks off."""
    clock = MONDAY + timedelta(days=day)
    asyncio.run(Comparison(world.database, lambda: clock).mark_share_of_day())
    marked = {pk for (pk,) in world.rows("SELECT pk FROM series WHERE dirty")}
    world.execute("UPDATE series SET dirty = false")
    return marked  # type: ignore[return-value]


@pytest.fixture
def all_series(world: StoreWorld) -> set[object]:
    alice = world.person("alice")
    for _ in range(2 * SHARES):
        world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=new_uid()))
    return {pk for (pk,) in world.rows("SELECT pk FROM series")}


def test_each_series_is_marked_once_a_week_and_not_all_on_one_day(
    world: StoreWorld, all_series: set[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "_PAGE", 1)
    days = [_mark(world, day) for day in range(SHARES)]
    assert set.union(*map(set, days)) == all_series
    assert sum(map(len, days)) == len(all_series)
    assert [len(day) for day in days] == [2] * SHARES
    assert _mark(world, SHARES) == days[0]


def test_what_the_store_tells_of_comes_before_what_has_its_turn(world: StoreWorld, all_series: set[object]) -> None:
    rows = world.rows("SELECT pk, study_instance_uid, series_instance_uid FROM series ORDER BY pk")
    refs = {pk: SeriesRef(StudyInstanceUID(str(study)), SeriesInstanceUID(str(uid))) for pk, study, uid in rows}
    compared: list[SeriesRef] = []
    told = [refs[pk] for pk in list(refs)[-2:]]
    world.execute("UPDATE series SET dirty = false")
    world.database.run_blocking(lambda tx: dirty_series.mark_dirty(tx, told[0]))
    for day in range(SHARES):
        clock = MONDAY + timedelta(days=day)
        asyncio.run(Comparison(world.database, lambda at=clock: at).mark_share_of_day())  # type: ignore[misc]
    right = world.archive.inspect_series

    async def inspect_series(ref: SeriesRef) -> frozenset[SopInstanceUID]:
        compared.append(ref)
        if len(compared) == 2:
            await asyncio.to_thread(world.database.run_blocking, lambda tx: dirty_series.mark_dirty(tx, told[1]))
        return await right(ref)

    world.archive.inspect_series = inspect_series  # type: ignore[method-assign]
    world.reconcile()
    assert (compared[0], compared[2]) == (told[0], told[1])
    assert len(compared) == len(all_series)
    assert world.rows("SELECT pk FROM series WHERE dirty OR dirty_by_turn") == []


def test_what_is_being_stored_or_deleted_is_left(world: StoreWorld, all_series: set[object]) -> None:
    assert all_series
    world.execute("UPDATE series SET state = 'deleting'")
    assert [_mark(world, day) for day in range(SHARES)] == [set()] * SHARES
