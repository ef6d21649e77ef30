"""How much of an upload is held and under way at once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kheops.services import upload
from tests.dicom_files import a_file, multipart, new_uid
from tests.service.store.conftest import StoreWorld, whole


def test_three_batches_of_an_upload_are_under_way_at_once_and_no_more(
    world: StoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_BATCH_INSTANCES", 1)
    alice = world.person("alice")
    study, series = new_uid(), new_uid()
    seen = []

    async def slowly() -> None:
        await asyncio.sleep(0.2)
        seen.append(world.archive.batches_under_way)

    world.archive.before_answer = slowly
    report = world.store(alice, *(a_file(study=study, series=series, instance=new_uid()) for _ in range(8)))
    assert len(report.stored) == len(seen) == 8
    assert max(seen) == 3


def test_an_upload_holds_32_mib_at_most(world: StoreWorld) -> None:
    alice = world.person("alice")
    storing = world.storing()
    study, series = new_uid(), new_uid()
    body = multipart(
        *(a_file(study=study, series=series, instance=new_uid(), pixels=b"\1" * 4_100_000) for _ in range(12))
    )
    seen = []

    async def slowly() -> None:
        await asyncio.sleep(0.5)

    async def watched() -> AsyncIterator[bytes]:
        async for chunk in whole(body, 256 * 1024):
            seen.append(storing.budget.held)
            yield chunk

    world.archive.before_answer = slowly
    report = world.store(alice, body=watched(), storing=storing)
    assert len(report.stored) == 12
    assert 24 * 1024 * 1024 < max(seen) <= 32 * 1024 * 1024
    assert storing.budget.held == 0
