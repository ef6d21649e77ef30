import asyncio
import io

import pytest

from kheops.archive.port import HeldInstance, StoreOutcome
from kheops.domain.policy import AdmittedInstance
from kheops.domain.resources import InstanceRef
from tests.contract.archive.objects import CutError, Stored, in_pieces, new_uid, read, stored_object, study_of_series
from tests.contract.archive.real_stores import Adapter, RealStore


def test_batch_is_stored_and_each_instance_listed(store: RealStore) -> None:
    objects = [item for series in study_of_series(3, 2, 1) for item in series]

    async def use(archive: Adapter) -> StoreOutcome:
        return await archive.store([item.held for item in objects])

    assert store.run(use) == StoreOutcome(frozenset(item.ref.sop_instance_uid for item in objects))


def test_empty_batch_sends_nothing(store: RealStore) -> None:
    async def use(archive: Adapter) -> StoreOutcome:
        return await archive.store([])

    assert store.run(use) == StoreOutcome(frozenset())


def test_storing_the_same_bytes_again_succeeds(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> list[StoreOutcome]:
        return [await archive.store([item.held]) for _ in range(2)]

    first, second = store.run(use)
    assert first == second == StoreOutcome(frozenset({item.ref.sop_instance_uid}))


def test_other_bytes_under_known_uids_leave_the_old_ones(store: RealStore) -> None:
    old = stored_object("CT_small.dcm")
    ref = old.ref
    new = stored_object(
        "CT_small.dcm",
        study=ref.study_instance_uid,
        series=ref.series_instance_uid,
        instance=ref.sop_instance_uid,
        comment="changed",
    )
    assert old.body != new.body

    async def use(archive: Adapter) -> tuple[StoreOutcome, bytes]:
        await archive.store([old.held])
        outcome = await archive.store([new.held])
        return outcome, await read(await archive.inspect_bytes(ref))

    outcome, kept = store.run(use)
    assert kept == old.body
    if store.name in {"emulator", "dcm4chee"}:
        assert outcome == StoreOutcome(frozenset(), {ref.sop_instance_uid: 0x0111})
    else:
        # Orthanc keeps the old bytes and says that it stored the new: the catalog's digests must tell.
        assert outcome == StoreOutcome(frozenset({ref.sop_instance_uid}))


def test_streamed_instance_is_stored_as_sent(store: RealStore) -> None:
    item = stored_object("examples_ybr_color.dcm")

    async def use(archive: Adapter) -> tuple[StoreOutcome, bytes]:
        outcome = await archive.store_stream(item.admitted, in_pieces(item.body))
        return outcome, await read(await archive.inspect_bytes(item.ref))

    outcome, kept = store.run(use)
    assert outcome == StoreOutcome(frozenset({item.ref.sop_instance_uid}))
    assert kept == item.body


def test_cut_stream_raises_its_own_error_and_leaves_nothing(store: RealStore) -> None:
    item = stored_object("examples_ybr_color.dcm")

    async def use(archive: Adapter) -> bool:
        with pytest.raises(CutError):
            await archive.store_stream(item.admitted, in_pieces(item.body, cut_after=100_000))
        await asyncio.sleep(0.3)  # the store may still be at it
        return await archive.inspect_instance(item.ref)

    assert store.run(use) is False


def test_cancelled_stream_leaves_nothing(store: RealStore) -> None:
    item = stored_object("examples_ybr_color.dcm")

    async def use(archive: Adapter) -> bool:
        begun = asyncio.Event()

        async def endless() -> object:
            async for piece in in_pieces(item.body, cut_after=None):
                begun.set()
                yield piece
                await asyncio.sleep(0.05)

        task = asyncio.create_task(archive.store_stream(item.admitted, endless()))  # type: ignore[arg-type]
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.3)
        return await archive.inspect_instance(item.ref)

    assert store.run(use) is False


def test_junk_among_good_instances_costs_only_itself(store: RealStore) -> None:
    good = [stored_object("CT_small.dcm"), stored_object("MR_small.dcm")]
    junk = Stored(stored_object("CT_small.dcm").ref, b"no DICOM at all" * 100)
    cut = stored_object("CT_small.dcm")
    truncated = Stored(cut.ref, cut.body[:5000])

    async def use(archive: Adapter) -> tuple[StoreOutcome, list[bool]]:
        outcome = await archive.store([good[0].held, junk.held, truncated.held, good[1].held])
        there = [await archive.inspect_instance(item.ref) for item in (*good, junk, truncated)]
        return outcome, there

    outcome, there = store.run(use)
    assert outcome.stored == {item.ref.sop_instance_uid for item in good}
    assert there == [True, True, False, False]


def test_instance_without_study_uid_is_not_taken_for_stored(store: RealStore) -> None:
    good = stored_object("CT_small.dcm")
    bad = stored_object("MR_small.dcm")
    dataset = bad.dataset
    dataset.StudyInstanceUID = ""
    stream = io.BytesIO()
    dataset.save_as(stream)
    held = HeldInstance(AdmittedInstance(bad.ref), stream.getvalue())

    async def use(archive: Adapter) -> StoreOutcome:
        return await archive.store([good.held, held])

    outcome = store.run(use)
    assert outcome.stored == {good.ref.sop_instance_uid}


def test_store_outcome_leaves_out_what_was_not_sent(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    other = InstanceRef(
        item.ref.study_instance_uid, item.ref.series_instance_uid, type(item.ref.sop_instance_uid)(new_uid())
    )

    async def use(archive: Adapter) -> StoreOutcome:
        # The bytes say another instance than the one that we admitted: the store's word is for that one.
        return await archive.store([HeldInstance(AdmittedInstance(other), item.body)])

    assert store.run(use) == StoreOutcome(frozenset())
