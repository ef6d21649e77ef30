import pytest

from kheops.archive.dicomweb_server import DicomwebServer
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveProtocolError
from kheops.ids import SeriesInstanceUID
from tests.contract.archive.objects import new_uid, stored_object, study_of_series
from tests.contract.archive.real_stores import Adapter, RealStore


def test_deleted_instance_is_gone_and_its_siblings_stay(store: RealStore) -> None:
    (series,) = study_of_series(3)

    async def use(archive: Adapter) -> list[bool]:
        await archive.store([item.held for item in series])
        await archive.delete_instance(series[1].ref)
        return [await archive.inspect_instance(item.ref) for item in series]

    assert store.run(use) == [True, False, True]


def test_deleted_series_is_gone_and_its_siblings_stay(store: RealStore) -> None:
    first, second = study_of_series(2, 2)

    async def use(archive: Adapter) -> list[int]:
        await archive.store([item.held for item in (*first, *second)])
        await archive.delete_series(first[0].ref.series)
        return [
            len(await archive.inspect_series(first[0].ref.series)),
            len(await archive.inspect_series(second[0].ref.series)),
        ]

    assert store.run(use) == [0, 2]


def test_deleting_what_is_not_there_succeeds(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> None:
        await archive.delete_instance(item.ref)
        await archive.delete_series(item.ref.series)

    store.run(use)


def test_deleting_below_another_series_leaves_the_instance(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")
    elsewhere = InstanceRef(item.ref.study_instance_uid, SeriesInstanceUID(new_uid()), item.ref.sop_instance_uid)

    async def use(archive: Adapter) -> bool:
        await archive.store([item.held])
        await archive.delete_instance(elsewhere)
        await archive.delete_series(elsewhere.series)
        return await archive.inspect_instance(item.ref)

    assert store.run(use) is True


def test_deleted_instance_can_be_stored_again(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(archive: Adapter) -> bool:
        await archive.store([item.held])
        await archive.delete_series(item.ref.series)
        await archive.store([item.held])
        return await archive.inspect_instance(item.ref)

    assert store.run(use) is True


def test_server_without_a_way_to_delete_says_so(store: RealStore) -> None:
    item = stored_object("CT_small.dcm")

    async def use(_: Adapter) -> None:
        archive = DicomwebServer(store.root)
        with pytest.raises(ArchiveProtocolError, match="cannot delete"):
            await archive.delete_instance(item.ref)
        with pytest.raises(ArchiveProtocolError, match="cannot delete"):
            await archive.delete_series(item.ref.series)

    store.run(use)
