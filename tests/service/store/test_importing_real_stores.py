"""A filled Orthanc and a filled Healthcare emulator are taken in, by their own searches, a page at a time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kheops.archive import store_listing
from kheops.services.import_rules import parse_rules
from kheops.services.importing import Importing, Taken
from tests.contract.archive.objects import study_of_series
from tests.contract.archive.real_stores import RealStore, emulator, orthanc
from tests.service.store.conftest import StoreWorld

_START = {"orthanc": orthanc, "emulator": emulator}


@pytest.fixture(params=list(_START))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealStore]:
    with _START[request.param](tmp_path) as running:
        yield running


def _run(world: StoreWorld, store: RealStore) -> Taken:
    async def run() -> Taken:
        archive = store.new()
        try:
            importing = Importing(world.database, archive, world.now, default_issuer="https://idp.example")
            return await importing.run(parse_rules([{"user": "alice"}]))
        finally:
            await archive.aclose()

    return asyncio.run(run())


def test_a_filled_store_is_taken_in(world: StoreWorld, store: RealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_listing, "_PAGE", 2)
    world.person("alice")
    assert _run(world, store).series == {}
    studies = [study_of_series(1, 2, 1), study_of_series(1), study_of_series(1, 1)]
    everything = {item.ref.series: len(items) for study in studies for items in study for item in items}
    store.run(lambda archive: archive.store([item.held for study in studies for items in study for item in items]))
    assert _run(world, store).series == {"assigned": len(everything)}
    assert world.states() == {ref.series_instance_uid: ("confirmed", size) for ref, size in everything.items()}
    assert all(world.holders(ref.series_instance_uid) == {"alice"} for ref in everything)
    again = _run(world, store)
    assert again.series == {"kept": len(everything)}
    # Orthanc's DICOMweb has no way to count.
    assert again.expected == (len(everything) if store.name == "emulator" else None)
