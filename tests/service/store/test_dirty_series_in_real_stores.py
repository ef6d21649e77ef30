"""A dirty series is brought in step with Orthanc and with the Healthcare emulator, by their own searches and reads."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kheops.services.reconcile import Reconciler, Reconciliation
from kheops.storage import series_rows
from tests.contract.archive.objects import study_of_series
from tests.contract.archive.real_stores import RealStore, emulator, orthanc
from tests.service.store.conftest import StoreWorld

_START = {"orthanc": orthanc, "emulator": emulator}


@pytest.fixture(params=list(_START))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealStore]:
    with _START[request.param](tmp_path) as running:
        yield running


def test_instances_that_came_and_went_by_another_way_come_on_record_and_go(
    world: StoreWorld, store: RealStore
) -> None:
    (items,) = study_of_series(3)
    ref = items[0].ref.series

    async def reconcile() -> Reconciliation:
        archive = store.new()
        try:
            return await Reconciler(world.database, archive, world.now).run()
        finally:
            await archive.aclose()

    store.run(lambda archive: archive.store([item.held for item in items]))
    world.database.run_blocking(lambda tx: series_rows.catalog_orphan(tx, ref, world.now()))
    assert asyncio.run(reconcile()).catalog.instances == {"added": 3}
    assert world.states() == {ref.series_instance_uid: ("orphan", 3)}
    uids = sorted(item.ref.sop_instance_uid for item in items)
    classes = {item.ref.sop_instance_uid: str(item.dataset.SOPClassUID) for item in items}
    assert world.rows("SELECT sop_instance_uid, sop_class_uid FROM instances ORDER BY 1") == [
        (uid, classes[uid]) for uid in uids
    ]
    assert world.rows("SELECT modality FROM series") == [(str(items[0].dataset.Modality),)]
    store.run(lambda archive: archive.delete_instance(items[0].ref))
    world.execute("UPDATE series SET dirty = true")
    assert asyncio.run(reconcile()).catalog.instances == {"dropped": 1}
    assert items[0].ref.sop_instance_uid not in world.instance_states()
    assert world.rows("SELECT number_of_instances, dirty FROM series") == [(2, False)]
