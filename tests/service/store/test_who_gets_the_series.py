"""Storing one instance into a series must not give that series to somebody who could not have sent it there."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kheops.archive.port import ArchiveAbsentError
from kheops.domain.principals import CapabilityPermissions, Person, UserCapability
from kheops.errors import ArchiveProtocolError
from kheops.ids import AlbumId, CapabilityId
from kheops.services.store_report import FailureReason, StoreReport
from tests.dicom_files import a_file, multipart, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, reasons, stored, whole

ALBUM = AlbumId("AAAAAAAAAA")


@pytest.fixture
def people(world: StoreWorld) -> tuple[Person, Person]:
    """Give Alice, who administers an album that does not let its members send series on, and Bob, its member."""
    alice, bob = world.person("alice"), world.person("bob")
    world.execute(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at, send_series) "
        f"VALUES ('{ALBUM}', 'album', 'A', now(), now(), false)"
    )
    for person, admin in ((alice, True), (bob, False)):
        world.execute(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) "
            f"SELECT pk, {person.user}, {admin}, now() FROM albums WHERE id = '{ALBUM}'"
        )
    return alice, bob


def test_a_member_who_may_not_send_does_not_get_a_series_by_storing_into_it(
    world: StoreWorld, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    study, series, made_up = new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()), album=ALBUM)
    held = world.rows("SELECT count(*) FROM album_series")
    report = world.store(bob, a_file(study=study, series=series, instance=made_up))
    assert reasons(report) == {made_up: FailureReason.NOT_AUTHORIZED}
    assert world.rows("SELECT count(*) FROM album_series") == held
    assert stored(world.store(bob, a_file(study=study, series=series, instance=made_up), album=ALBUM)) == {made_up}


def test_an_album_s_orphan_does_not_go_into_a_member_s_inbox(world: StoreWorld, people: tuple[Person, Person]) -> None:
    alice, bob = people
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))
    world.store(alice, file, album=ALBUM)
    world.execute("DELETE FROM album_series")
    world.execute("UPDATE series SET state = 'orphan', orphaned_at = now()")
    assert reasons(world.store(bob, file)) == {uid: FailureReason.NOT_AUTHORIZED}
    assert stored(world.store(bob, file, album=ALBUM)) == {uid}


def test_a_token_that_may_only_write_does_not_share_its_owner_s_series(
    world: StoreWorld, people: tuple[Person, Person]
) -> None:
    alice, _ = people
    study, series, made_up = new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    world.execute(
        "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, read_permission, write_permission, "
        "appropriate_permission, download_permission, issued_at, not_before, expires_at) "
        f"VALUES ('CCCCCCCCCC', 'x', 't', 'user', {alice.user}, false, true, false, false, now(), now(), "
        "now() + interval '1 hour')"
    )
    permissions = CapabilityPermissions(read=False, write=True, appropriate=False, download=False)
    token = UserCapability(alice.user, alice.iss, alice.sub, CapabilityId("CCCCCCCCCC"), permissions)
    file = a_file(study=study, series=series, instance=made_up)
    assert reasons(world.store(token, file, album=ALBUM)) == {made_up: FailureReason.NOT_AUTHORIZED}
    assert stored(world.store(token, file)) == {made_up}


def test_who_is_removed_while_sending_known_bytes_slowly_gets_nothing(
    world: StoreWorld, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    world.execute("UPDATE albums SET send_series = true")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid, pixels=b"\7" * 6_000_000)
    world.store(alice, file, album=ALBUM)
    body = multipart(file)

    async def slowly() -> AsyncIterator[bytes]:
        async for chunk in whole(body[:-1_000_000]):
            yield chunk
        await asyncio.to_thread(
            world.execute,
            f"DELETE FROM album_members WHERE user_pk = {bob.user} AND NOT is_admin "
            "AND album_pk = (SELECT pk FROM albums WHERE kind = 'album')",
        )
        async for chunk in whole(body[-1_000_000:]):
            yield chunk

    report = world.store(bob, body=slowly())
    assert stored(report) == set()
    assert world.holders(series) == {"alice"}


def test_the_bytes_that_the_store_kept_are_the_ones_on_record(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    old = a_file(study=study, series=series, instance=uid)
    new = a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5")
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    world.archive.put(ref_of(study, series, uid), old)
    world.archive.sent.clear()
    assert reasons(world.store(alice, new)) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert world.archive.sent == []
    assert stored(world.store(alice, old)) == {uid}


def test_an_outage_in_the_middle_leaves_the_series_to_whoever_sent_it(world: StoreWorld) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))

    async def answer_is_lost() -> None:
        world.archive.before_answer = None
        raise ArchiveProtocolError

    world.archive.before_answer = answer_is_lost
    assert set(reasons(world.store(alice, file))) == {uid}
    assert world.instance_states() == {uid: "reserved"}
    world.execute("UPDATE instances SET lease_until = now() - interval '1 second'")
    assert stored(world.store(alice, file)) == {uid}


def test_a_record_that_cannot_be_settled_does_not_stop_the_others(world: StoreWorld) -> None:
    alice = world.person("alice")
    bad, good = new_uid(), new_uid()
    for uid in (bad, good):
        world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=uid))
    world.execute(
        "UPDATE instances SET state = 'reserved', lease_until = now() - interval '1 second', upload_id = 'dead', "
        "target_pk = (SELECT inbox_pk FROM users), uploader_pk = (SELECT pk FROM users)"
    )
    right = world.archive.inspect_bytes

    async def inspect_bytes(ref):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if ref.sop_instance_uid == bad:
            raise ArchiveAbsentError
        return await right(ref)

    world.archive.inspect_bytes = inspect_bytes  # type: ignore[method-assign]
    result = world.reconcile()
    assert result.unanswered == 1
    assert result.instances == {"confirmed": 1}
    assert world.rows("SELECT count(*) FROM audit WHERE kind = 'reconcile'") == [(1,)]


def test_parallel_uploads_of_one_study_do_not_wait_for_each_other_for_ever(world: StoreWorld) -> None:
    alice = world.person("alice")
    study = new_uid()
    series = [new_uid() for _ in range(6)]
    files = [a_file(study=study, series=each, instance=new_uid()) for each in series * 6]

    async def both() -> tuple[StoreReport, StoreReport]:
        return await asyncio.gather(
            asyncio.to_thread(world.store, alice, *files[:18]),
            asyncio.to_thread(world.store, alice, *reversed(files[18:])),
        )

    reports = asyncio.run(both())
    assert sum(len(stored(report)) for report in reports) == 36
