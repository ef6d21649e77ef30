"""The protocols of storing, storing again, and who may add, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from kheops.errors import AlbumNotFoundError, BadMultipartError, ClientGoneError, TooManyRequestsError
from kheops.ids import AlbumId
from kheops.services.refusals import REFUSALS_PER_WINDOW
from kheops.services.store_report import FailureReason
from tests.dicom_files import a_file, multipart, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, in_store, reasons, stored, whole

LARGE = b"\7" * (9 * 1024 * 1024)


def test_a_stored_study_is_confirmed_and_held_by_who_stored_it(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, first, second = new_uid(), new_uid(), new_uid(), new_uid()
    report = world.store(
        alice,
        a_file(study=study, series=series, instance=first),
        a_file(study=study, series=series, instance=second, number=2),
    )
    assert report.is_whole
    assert stored(report) == {first, second}
    assert world.states() == {series: ("confirmed", 2)}
    assert world.holders(series) == {"alice"}
    assert world.rows("SELECT patient_name, modality, study_date, patient_id FROM series") == [
        ("Doe^Jane", "CT", "20260102", "P-1")
    ]


def test_storing_the_same_bytes_again_succeeds_and_sends_nothing(world: StoreWorld) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))
    world.store(alice, file)
    world.archive.sent.clear()
    report = world.store(alice, file)
    assert stored(report) == {uid}
    assert world.archive.sent == []


def test_other_bytes_under_a_known_uid_are_refused_and_change_nothing(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    original = a_file(study=study, series=series, instance=uid)
    world.store(alice, original)
    report = world.store(alice, a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5"))
    assert reasons(report) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert world.archive.files[ref_of(study, series, uid)] == original


def test_a_row_without_digest_gets_it_from_the_store_before_it_is_compared(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid)
    world.store(alice, file)
    world.execute("UPDATE instances SET sha256 = NULL, size = NULL, crc32 = NULL")
    report = world.store(alice, a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5"))
    assert reasons(report) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert world.rows("SELECT size FROM instances") == [(len(file),)]


def test_the_same_uid_twice_in_one_request_is_compared_with_the_first(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    report = world.store(
        alice,
        a_file(study=study, series=series, instance=uid),
        a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5"),
    )
    assert stored(report) == {uid}
    assert reasons(report) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}


@pytest.mark.parametrize("case", ["own instance into a foreign series", "new series into a foreign study"])
def test_who_knows_the_uids_cannot_add(world: StoreWorld, case: str) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    study, series = new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    into = series if case.startswith("own") else new_uid()
    report = world.store(carol, a_file(study=study, series=into, instance=(uid := new_uid())))
    assert reasons(report) == {uid: FailureReason.NOT_AUTHORIZED}
    assert uid not in world.archive.sent
    assert world.holders(series) == {"alice"}
    assert world.rows("SELECT sub, reason FROM audit WHERE outcome = 'refused'") != []


def test_who_lacks_the_right_learns_nothing_about_the_bytes(world: StoreWorld) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    study, series, uid = new_uid(), new_uid(), new_uid()
    same = a_file(study=study, series=series, instance=uid)
    world.store(alice, same)
    other = a_file(study=study, series=series, instance=uid, pixels=b"\1\2\3\5")
    assert reasons(world.store(carol, same)) == reasons(world.store(carol, other)) == {uid: 0x0124}


def test_a_series_that_lies_in_the_store_is_nobodys_to_claim(world: StoreWorld) -> None:
    carol = world.person("carol")
    study, series, there = new_uid(), new_uid(), new_uid()
    world.archive.put(ref_of(study, series, there), a_file(study=study, series=series, instance=there))
    report = world.store(carol, a_file(study=study, series=series, instance=(uid := new_uid())))
    assert reasons(report) == {uid: FailureReason.NOT_AUTHORIZED}
    assert world.states() == {series: ("orphan", 0)}
    again = world.store(carol, a_file(study=study, series=series, instance=there))
    assert reasons(again) == {there: FailureReason.NOT_AUTHORIZED}
    assert world.holders(series) == set()


def test_an_instance_on_record_in_a_foreign_series_is_refused_without_telling(world: StoreWorld) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    uid = new_uid()
    world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=uid))
    report = world.store(carol, a_file(study=new_uid(), series=new_uid(), instance=uid))
    assert reasons(report) == {uid: FailureReason.NOT_AUTHORIZED}
    own = world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=uid))
    assert reasons(own) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}


def test_only_its_origin_takes_an_orphan_back_by_storing_again(world: StoreWorld) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    series = new_uid()
    file = a_file(study=new_uid(), series=series, instance=(uid := new_uid()))
    world.store(alice, file)
    world.execute("DELETE FROM album_series")
    world.execute("UPDATE series SET state = 'orphan', orphaned_at = now()")
    assert reasons(world.store(carol, file)) == {uid: FailureReason.NOT_AUTHORIZED}
    assert stored(world.store(alice, file)) == {uid}
    assert world.states() == {series: ("confirmed", 1)}
    assert world.holders(series) == {"alice"}


def test_the_good_parts_of_a_bad_request_are_stored(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = new_uid(), new_uid()
    good, cut, last = new_uid(), new_uid(), new_uid()
    truncated = a_file(study=study, series=series, instance=cut, pixels=b"\1" * 1000)[:-300]
    report = world.store(
        alice,
        a_file(study=study, series=series, instance=good),
        b"this is no DICOM file at all",
        truncated,
        a_file(study=study, series=series, instance=last),
    )
    assert stored(report) == {good, last}
    assert reasons(report) == {cut: FailureReason.CANNOT_UNDERSTAND}
    assert [item.part for item in report.other] == [2]
    assert cut not in world.instance_states()


@pytest.mark.parametrize("pixels", [b"\1" * 1000, LARGE], ids=["held", "streamed"])
def test_a_body_cut_in_mid_stream_keeps_the_complete_parts_and_nothing_of_the_cut_one(
    world: StoreWorld, pixels: bytes
) -> None:
    alice = world.person("alice")
    study, series, good, cut = new_uid(), new_uid(), new_uid(), new_uid()
    files = (
        a_file(study=study, series=series, instance=good),
        a_file(study=study, series=series, instance=cut, pixels=pixels),
    )
    body = multipart(*files)

    async def leaves() -> AsyncIterator[bytes]:
        async for chunk in whole(body[:-200]):
            yield chunk
        raise ClientGoneError

    with pytest.raises(ClientGoneError):
        world.store(alice, body=leaves())
    assert world.instance_states() == {good: "confirmed"}
    assert not in_store(world, ref_of(study, series, cut))
    again = world.store(alice, *files)
    assert again.is_whole
    assert stored(again) == {good, cut}


def test_a_body_without_its_closing_boundary_keeps_its_complete_parts(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, good = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=good)
    body = multipart(file, a_file(study=study, series=series, instance=new_uid()), close=False)[:-2]
    report = world.store(alice, body=whole(body))
    assert stored(report) == {good}
    assert len(report.other) == 1
    with pytest.raises(BadMultipartError):
        world.store(alice, body=whole(multipart(file, close=False)[:-2]))


def test_a_large_instance_is_streamed_hashed_and_compared_when_stored_again(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid, pixels=LARGE)
    assert stored(world.store(alice, file)) == {uid}
    assert world.archive.files[ref_of(study, series, uid)] == file
    world.archive.sent.clear()
    assert stored(world.store(alice, file)) == {uid}
    changed = a_file(study=study, series=series, instance=uid, pixels=LARGE[:-1] + b"\0")
    assert reasons(world.store(alice, changed)) == {uid: FailureReason.DUPLICATE_SOP_INSTANCE}
    assert world.archive.sent == []


def test_a_large_file_that_breaks_off_is_refused_and_leaves_nothing(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid, pixels=LARGE)
    report = world.store(alice, file[:-100])
    assert reasons(report) == {uid: FailureReason.CANNOT_UNDERSTAND}
    assert world.states() == {}
    assert world.archive.files == {}


def test_an_instance_that_the_store_does_not_mention_is_looked_up(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, silent, gone = new_uid(), new_uid(), new_uid(), new_uid()
    world.archive.leave_out = {silent}  # type: ignore[arg-type]
    world.archive.swallow = {gone}  # type: ignore[arg-type]
    report = world.store(
        alice,
        a_file(study=study, series=series, instance=silent),
        a_file(study=study, series=series, instance=gone),
    )
    assert stored(report) == {silent}
    assert reasons(report) == {gone: FailureReason.PROCESSING_FAILURE}
    assert world.archive.sent.count(gone) == 2  # type: ignore[arg-type]
    assert world.instance_states() == {silent: "confirmed"}


def test_an_outage_of_the_store_is_told_and_the_same_files_go_in_afterwards(world: StoreWorld) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))
    world.archive.down = True
    assert reasons(world.store(alice, file)) == {uid: FailureReason.OUT_OF_RESOURCES}
    world.archive.down = False
    assert stored(world.store(alice, file)) == {uid}


def test_a_grant_lost_while_the_store_works_is_not_confirmed(world: StoreWorld) -> None:
    alice = world.person("alice")
    series = new_uid()

    async def suspend() -> None:
        await asyncio.to_thread(world.execute, "UPDATE users SET suspended_at = now()")

    world.archive.before_answer = suspend
    report = world.store(alice, a_file(study=new_uid(), series=series, instance=(uid := new_uid())))
    assert set(reasons(report)) == {uid}
    assert world.states() == {series: ("orphan", 1)}
    assert world.holders(series) == set()


def test_a_grant_lost_while_the_store_works_adds_nothing_to_a_series_that_others_read(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, first, late = new_uid(), new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=first))

    async def suspend() -> None:
        await asyncio.to_thread(world.execute, "UPDATE users SET suspended_at = now()")

    world.archive.before_answer = suspend
    report = world.store(alice, a_file(study=study, series=series, instance=late))
    assert stored(report) == set()
    assert world.states() == {series: ("confirmed", 1)}
    assert world.instance_states() == {first: "confirmed", late: "reserved"}


def test_who_leaves_the_album_of_origin_on_the_way_adds_nothing(world: StoreWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    study, series, first, late = new_uid(), new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=first))
    world.execute(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at) "
        "VALUES ('AAAAAAAAAA', 'album', 'A', now(), now())"
    )
    for sub in ("alice", "bob"):
        world.execute(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) SELECT a.pk, u.pk, true, now() "
            f"FROM albums a, users u WHERE a.id = 'AAAAAAAAAA' AND u.sub = '{sub}'"
        )
    world.execute(
        "UPDATE series SET origin_user_pk = NULL, origin_album_pk = (SELECT pk FROM albums WHERE id = 'AAAAAAAAAA')"
    )
    world.execute(
        "INSERT INTO album_series (album_pk, series_pk, added_at) "
        "SELECT a.pk, s.pk, now() FROM albums a, series s WHERE a.id = 'AAAAAAAAAA'"
    )

    async def leave() -> None:
        await asyncio.to_thread(
            world.execute,
            "DELETE FROM album_members m USING users u, albums a "
            "WHERE m.user_pk = u.pk AND u.sub = 'bob' AND a.pk = m.album_pk AND a.kind = 'album'",
        )

    world.archive.before_answer = leave
    report = world.store(bob, a_file(study=study, series=series, instance=late))
    assert stored(report) == set()
    assert world.instance_states() == {first: "confirmed", late: "reserved"}
    assert world.states() == {series: ("confirmed", 1)}
    assert world.holders(series) == {"alice"}
    assert world.archive.sent[-1] == late, "they might store at first"


def test_two_targets_cannot_reserve_one_new_series(world: StoreWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    study, series = new_uid(), new_uid()
    of_alice, of_bob = new_uid(), new_uid()
    results = {}

    async def meanwhile() -> None:
        world.archive.before_answer = None
        results["bob"] = await asyncio.to_thread(world.store, bob, a_file(study=study, series=series, instance=of_bob))

    world.archive.before_answer = meanwhile
    results["alice"] = world.store(alice, a_file(study=study, series=series, instance=of_alice))
    assert stored(results["alice"]) == {of_alice}
    assert reasons(results["bob"]) == {of_bob: FailureReason.NOT_AUTHORIZED}


def test_requests_with_the_same_target_share_a_reservation(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series = new_uid(), new_uid()
    first, second = new_uid(), new_uid()
    results = {}

    async def meanwhile() -> None:
        world.archive.before_answer = None
        results["second"] = await asyncio.to_thread(
            world.store, alice, a_file(study=study, series=series, instance=second)
        )

    world.archive.before_answer = meanwhile
    results["first"] = world.store(alice, a_file(study=study, series=series, instance=first))
    assert stored(results["first"]) | stored(results["second"]) == {first, second}
    assert world.states() == {series: ("confirmed", 2)}


@pytest.mark.parametrize("reached", [True, False], ids=["the store has it", "the store has it not"])
def test_what_a_crash_left_reserved_is_settled_by_the_reconciler(world: StoreWorld, reached: bool) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid)

    class CrashError(BaseException):
        pass

    async def crash() -> None:
        if not reached:
            world.archive.files.clear()
        raise CrashError

    world.archive.before_answer = crash
    assert stored(world.store(alice, file)) == set()
    world.archive.before_answer = None
    world.execute("UPDATE instances SET lease_until = now() + interval '60 seconds'")
    assert world.states() == {series: ("reserved", 0)}
    assert world.reconcile().instances == {}, "a live lease is left alone"
    world.moved = timedelta(minutes=2)
    result = world.reconcile()
    if reached:
        assert result.instances == {"confirmed": 1}
        assert world.states() == {series: ("confirmed", 1)}
        assert world.holders(series) == {"alice"}
    else:
        assert result.instances == {"released": 1}
        assert world.states() == {}
    assert stored(world.store(alice, file)) == {uid}


def test_storing_again_after_a_crash_settles_what_was_left_when_the_lease_is_over(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, uid = new_uid(), new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=uid)
    world.store(alice, file)
    world.execute("DELETE FROM album_series")
    world.execute(
        "UPDATE instances SET state = 'reserved', confirmed_at = NULL, lease_until = now() - interval '1 second', "
        "upload_id = 'dead', target_pk = (SELECT inbox_pk FROM users), uploader_pk = (SELECT pk FROM users)"
    )
    world.execute(
        "UPDATE series SET state = 'reserved', number_of_instances = 0, lease_until = now(), "
        "reserved_for = (SELECT inbox_pk FROM users)"
    )
    world.archive.sent.clear()
    assert stored(world.store(alice, file)) == {uid}
    assert world.archive.sent == []
    assert world.states() == {series: ("confirmed", 1)}


def test_an_instance_of_another_study_than_the_path_names_fails(world: StoreWorld) -> None:
    alice = world.person("alice")
    file = a_file(study=new_uid(), series=new_uid(), instance=(uid := new_uid()))
    report = world.store(alice, file, study=new_uid())
    assert reasons(report) == {uid: FailureReason.OTHER_STUDY}
    assert world.archive.files == {}


def test_an_unknown_album_is_refused_before_anything_is_read(world: StoreWorld) -> None:
    alice = world.person("alice")
    with pytest.raises(AlbumNotFoundError):
        world.store(alice, a_file(study=new_uid(), series=new_uid(), instance=new_uid()), album=AlbumId("abcdefghij"))


def test_probing_for_uids_is_limited(world: StoreWorld) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    study, series = new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=new_uid()))
    storing = world.storing()
    # Somebody else's series sent again is refused as often as it has instances, and is one.
    again = [a_file(study=study, series=series, instance=new_uid()) for _ in range(REFUSALS_PER_WINDOW + 1)]
    world.store(carol, *again, storing=storing)
    probes = [a_file(study=study, series=new_uid(), instance=new_uid()) for _ in range(REFUSALS_PER_WINDOW - 1)]
    world.store(carol, *probes, storing=storing)
    with pytest.raises(TooManyRequestsError):
        world.store(carol, probes[0], storing=storing)


def test_every_byte_of_memory_is_given_back(world: StoreWorld) -> None:
    alice = world.person("alice")
    storing = world.storing()
    study, series = new_uid(), new_uid()
    files = [a_file(study=study, series=series, instance=new_uid(), pixels=b"\1" * 3_000_000) for _ in range(12)]
    files.insert(3, b"junk")
    files.append(a_file(study=study, series=series, instance=new_uid(), pixels=LARGE))
    report = world.store(alice, *files, storing=storing)
    assert len(report.stored) == 13
    assert storing.budget.held == 0
