"""Reservations: who waits for whom, how long they live, and who may forget them."""

import asyncio
import threading
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from kheops.dicomweb.part10 import read_head
from kheops.domain.resources import InstanceRef
from kheops.services.admission import Reserved, Upload, admit
from kheops.services.store_report import FailureReason, StoreReport
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, reasons, stored


def test_two_people_who_start_one_study_at_once_meet(world: StoreWorld) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    study, of_alice, of_carol = new_uid(), new_uid(), new_uid()
    head = read_head(a_file(study=study, series=new_uid(), instance=of_alice), complete=True)
    target = asyncio.run(world.storing().target(alice, None))
    reports: list[StoreReport] = []

    def second() -> None:
        reports.append(world.store(carol, a_file(study=study, series=new_uid(), instance=of_carol)))

    thread = threading.Thread(target=second)

    def first(tx: Connection) -> None:
        verdict = admit(
            tx,
            Upload("first", alice, target),
            head,
            None,
            store_is_empty=True,
            at=world.now(),
            lease=timedelta(seconds=60),
        )
        assert isinstance(verdict, Reserved)
        thread.start()
        thread.join(1)
        assert thread.is_alive(), "the second upload decided while the first one's reservation could not be seen"

    world.database.run_blocking(first)
    thread.join(10)
    assert [reasons(report) for report in reports] == [{of_carol: FailureReason.NOT_AUTHORIZED}]
    assert world.instance_states() == {of_alice: "reserved"}


def test_a_lease_lives_as_long_as_its_upload(world: StoreWorld) -> None:
    alice = world.person("alice")
    world.lease_seconds = 0.6
    file = a_file(study=new_uid(), series=(series := new_uid()), instance=(uid := new_uid()))
    settled: list[object] = []

    async def works_for_long() -> None:
        await asyncio.sleep(1.2)
        reconciled = await asyncio.to_thread(world.reconcile)
        settled.append(dict(reconciled.instances))
        settled.append(await asyncio.to_thread(world.rows, "SELECT lease_until > now() FROM series"))

    world.archive.before_answer = works_for_long
    assert stored(world.store(alice, file)) == {uid}
    assert settled == [{}, [(True,)]], "somebody settled an upload that was still under way"
    assert world.states() == {series: ("confirmed", 1)}


def test_an_upload_forgets_no_reservation_of_another(world: StoreWorld) -> None:
    alice = world.person("alice")
    uid = new_uid()
    world.archive.refuse = {uid: 0xC001}  # type: ignore[dict-item]

    async def another_takes_over() -> None:
        await asyncio.to_thread(world.execute, "UPDATE instances SET upload_id = 'another'")

    world.archive.before_answer = another_takes_over
    report = world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=uid))
    assert reasons(report) == {uid: 0xC001}
    assert world.rows("SELECT upload_id, state FROM instances") == [("another", "reserved")]
    assert world.rows("SELECT state FROM series") == [("reserved",)]


@pytest.mark.parametrize(
    ("meanwhile", "became"),
    [
        ("SELECT 1", {"released": 1}),
        ("UPDATE instances SET lease_until = now() + interval '1 minute'", {"unchanged": 1}),
        ("UPDATE instances SET state = 'confirmed', lease_until = NULL", {"unchanged": 1}),
        ("DELETE FROM instances", {"unchanged": 1}),
    ],
)
def test_a_reservation_that_lives_again_by_the_time_the_store_answers_is_left(
    world: StoreWorld, meanwhile: str, became: dict[str, int]
) -> None:
    alice = world.person("alice")
    world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=new_uid()))
    world.execute(
        "UPDATE instances SET state = 'reserved', lease_until = now() - interval '1 second', upload_id = 'dead', "
        "target_pk = (SELECT inbox_pk FROM users), uploader_pk = (SELECT pk FROM users)"
    )

    async def says_no(ref: InstanceRef) -> bool:
        await asyncio.to_thread(world.execute, meanwhile) if meanwhile != "SELECT 1" else None
        return ref is None

    world.archive.inspect_instance = says_no  # type: ignore[method-assign]
    assert world.reconcile().instances == became
    left = world.rows("SELECT state FROM instances")
    assert (left == []) == (became == {"released": 1} or meanwhile.startswith("DELETE"))
