"""Whatever a store does with a UID that it has, nothing is replaced or lost."""

import pytest

from kheops.services.store_report import FailureReason
from tests.dicom_files import a_file, new_uid, ref_of
from tests.fakes.memory_archive import Duplicates
from tests.service.store.conftest import StoreWorld, reasons, stored

LARGE = b"\7" * (6 * 1024 * 1024)


@pytest.fixture(params=list(Duplicates))
def any_store(world: StoreWorld, request: pytest.FixtureRequest) -> StoreWorld:
    world.archive.duplicates = request.param
    return world


@pytest.mark.parametrize("pixels", [b"\1\2\3\4", LARGE], ids=["held", "streamed"])
def test_the_first_bytes_stay(any_store: StoreWorld, pixels: bytes) -> None:
    alice = any_store.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    first = a_file(study=study, series=series, instance=uid, pixels=pixels)
    other = a_file(study=study, series=series, instance=uid, pixels=pixels[:-1] + b"\0")
    assert stored(any_store.store(alice, first)) == {uid}
    assert stored(any_store.store(alice, first)) == {uid}
    assert reasons(any_store.store(alice, other)) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert any_store.archive.files == {ref_of(study, series, uid): first}
    assert any_store.archive.sent == [uid]


def test_the_same_uid_twice_in_one_request_keeps_the_first(any_store: StoreWorld) -> None:
    alice = any_store.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    first = a_file(study=study, series=series, instance=uid)
    report = any_store.store(alice, first, a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5"))
    assert stored(report) == {uid}
    assert reasons(report) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert any_store.archive.files == {ref_of(study, series, uid): first}


def test_bytes_that_the_store_has_and_the_catalog_not_are_never_replaced(any_store: StoreWorld) -> None:
    alice = any_store.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    old = a_file(study=study, series=series, instance=uid)
    new = a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5")
    any_store.store(alice, a_file(study=study, series=series, instance=new_uid()))
    any_store.archive.put(ref_of(study, series, uid), old)
    assert reasons(any_store.store(alice, new)) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert any_store.archive.files[ref_of(study, series, uid)] == old
    assert stored(any_store.store(alice, old)) == {uid}


def test_a_request_that_is_sent_again_because_its_answer_was_lost_loses_nothing(any_store: StoreWorld) -> None:
    alice = any_store.person("alice")
    series = new_uid()
    file = a_file(study=new_uid(), series=series, instance=(uid := new_uid()))
    any_store.archive.lost_answers = 1
    assert stored(any_store.store(alice, file)) == {uid}
    assert any_store.states() == {series: ("confirmed", 1)}
    assert any_store.archive.sent == [uid, uid]


@pytest.mark.parametrize("pixels", [b"\1\2\3\4", LARGE], ids=["held", "streamed"])
def test_what_a_search_does_not_find_yet_is_replaced_by_no_store_that_refuses(
    world: StoreWorld, pixels: bytes
) -> None:
    world.archive.duplicates = Duplicates.REFUSE
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    old = a_file(study=study, series=series, instance=uid, pixels=pixels)
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    world.archive.put(ref_of(study, series, uid), old)
    world.archive.unsearchable = {uid}  # type: ignore[arg-type]
    new = a_file(study=study, series=series, instance=uid, pixels=pixels[:-1] + b"\5")
    assert reasons(world.store(alice, new)) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert uid not in world.instance_states()
    assert stored(world.store(alice, old)) == {uid}
    assert world.states() == {series: ("confirmed", 2)}
