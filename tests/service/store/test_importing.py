"""Taking a filled store in: who gets what, once, and who never gets anything by it."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from sqlalchemy import text

from kheops.archive.port import Archive
from kheops.domain.resources import InstanceRef
from kheops.errors import ArchiveUnavailableError, BadRequestError
from kheops.services.import_rules import ImportRule, parse_rules
from kheops.services.importing import Importing, Taken
from tests.dicom_files import a_file, new_uid, ref_of
from tests.service.store.conftest import StoreWorld, stored

ALBUM = "AbCdEfGh01"
TO_ALICE = parse_rules([{"user": "alice"}])


def put(world: StoreWorld, *, series: str, modality: str = "CT", patient: str = "Doe^Jane", study: str = "") -> str:
    """Put an instance of a series into the store by another way than ours; return the study."""
    study, uid = study or new_uid(), new_uid()
    world.archive.put(
        ref_of(study, series, uid),
        a_file(study=study, series=series, instance=uid, modality=modality, patient_name=patient),
    )
    return study


def run(world: StoreWorld, rules: Sequence[ImportRule], *, is_dry: bool = False) -> Taken:
    importing = Importing(
        world.database, cast("Archive", world.archive), world.now, default_issuer="https://idp.example"
    )
    return asyncio.run(importing.run(rules, is_dry=is_dry))


def album(world: StoreWorld) -> None:
    """Make an album of bob's."""
    world.execute(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at, add_user, download_series, send_series, "
        "add_series, write_comments, delete_series) "
        f"VALUES ('{ALBUM}', 'album', 'Trial', now(), now(), false, true, true, true, true, false)"
    )
    world.execute(
        "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) SELECT a.pk, u.pk, true, now() "
        "FROM albums a, users u WHERE a.kind = 'album' AND u.sub = 'bob'"
    )


def test_everything_goes_to_a_person_once(world: StoreWorld) -> None:
    world.person("alice")
    first, second = new_uid(), new_uid()
    study = put(world, series=first)
    put(world, series=first, study=study)
    put(world, series=second)
    assert run(world, TO_ALICE).series == {"assigned": 2}
    assert world.states() == {first: ("confirmed", 2), second: ("confirmed", 1)}
    assert world.holders(first) == world.holders(second) == {"alice"}
    assert set(world.rows("SELECT modality, patient_name, dirty FROM series")) == {("CT", "Doe^Jane", False)}
    assert world.rows("SELECT count(*) FROM instances WHERE sha256 IS NULL") == [(3,)]
    trail = world.rows("SELECT subject, iss FROM audit WHERE kind = 'share' AND reason = 'import'")
    assert trail == [("alice", None)] * 2
    assert run(world, TO_ALICE).series == {"kept": 2}
    assert world.rows("SELECT count(*) FROM audit WHERE kind = 'share'") == [(2,)]


def test_rules_choose_by_attributes_and_the_first_counts(world: StoreWorld) -> None:
    world.person("alice")
    world.person("bob")
    album(world)
    trial, magnetic, other = new_uid(), new_uid(), new_uid()
    put(world, series=trial, modality="MR", patient="TRIAL^7")
    put(world, series=magnetic, modality="MR")
    put(world, series=other, modality="US")
    rules = parse_rules(
        [
            {"album": ALBUM, "match": {"PatientName": "TRIAL*"}},
            {"user": "alice", "match": {"Modality": "MR"}},
        ]
    )
    assert run(world, rules).series == {"assigned": 2, "unassigned": 1}
    assert (world.holders(trial), world.holders(magnetic), world.holders(other)) == ({"bob"}, {"alice"}, set())
    assert world.states()[other] == ("orphan", 1)
    # What no rule took is taken by a later run that has one.
    assert run(world, parse_rules([{"user": "bob", "match": {"Modality": "US"}}])).series == {
        "kept": 2,
        "assigned": 1,
    }
    assert world.holders(other) == {"bob"}


def test_what_is_somebody_s_stays_theirs_alone(world: StoreWorld) -> None:
    bob = world.person("bob")
    world.person("alice")
    study, series = new_uid(), new_uid()
    world.store(bob, a_file(study=study, series=series, instance=new_uid()))
    assert run(world, TO_ALICE).series == {"kept": 1}
    assert world.holders(series) == {"bob"}


@pytest.mark.parametrize("by_upload", [True, False])
def test_what_somebody_gave_away_comes_back_to_nobody(world: StoreWorld, by_upload: bool) -> None:
    bob = world.person("bob")
    world.person("alice")
    series = new_uid()
    if by_upload:
        world.store(bob, a_file(study=new_uid(), series=series, instance=new_uid()))
    else:
        put(world, series=series)
        run(world, parse_rules([{"user": "bob"}]))
    assert world.holders(series) == {"bob"}
    world.execute("DELETE FROM album_series")
    world.execute("UPDATE series SET state = 'orphan', orphaned_at = now()")
    assert run(world, TO_ALICE).series == {"kept": 1}
    assert world.holders(series) == set()


@pytest.mark.parametrize("state", ["reserved", "deleting"])
def test_what_is_being_stored_or_deleted_is_left(world: StoreWorld, state: str) -> None:
    world.person("alice")
    series = new_uid()
    put(world, series=series)
    assert run(world, ()).series == {"unassigned": 1}
    world.execute(f"UPDATE series SET state = '{state}', lease_until = now() + interval '1 minute'")
    assert run(world, TO_ALICE).series == {"kept": 1}
    assert world.holders(series) == set()


def test_a_trial_run_writes_nothing_and_says_what_would_become(world: StoreWorld) -> None:
    bob = world.person("bob")
    world.person("alice")
    world.store(bob, a_file(study=new_uid(), series=new_uid(), instance=new_uid()))
    put(world, series=new_uid(), modality="MR")
    put(world, series=new_uid(), modality="US")
    world.archive.put(ref_of(new_uid(), new_uid(), new_uid()), b"no DICOM file")
    before = world.rows("SELECT pk, xmin::text FROM series")
    rules = parse_rules([{"user": "alice", "match": {"Modality": "MR"}}])
    expected = {"kept": 1, "assigned": 1, "unassigned": 1, "empty": 1}
    assert run(world, rules, is_dry=True).series == expected
    assert world.rows("SELECT pk, xmin::text FROM series") == before
    assert run(world, rules).series == expected


def test_a_run_that_was_interrupted_is_made_good_by_the_next(world: StoreWorld) -> None:
    world.person("alice")
    all_series = [new_uid() for _ in range(6)]
    for series in all_series:
        put(world, series=series)
    whole = world.archive.inspect_bytes
    reads = 0

    async def failing(ref: InstanceRef) -> object:
        nonlocal reads
        reads += 1
        if reads > 3:
            raise ArchiveUnavailableError
        return await whole(ref)

    world.archive.inspect_bytes = failing  # type: ignore[method-assign, assignment]
    broken = run(world, TO_ALICE)
    assert broken.series == {"assigned": 3, "left": 3}
    assert not broken.is_whole
    world.archive.inspect_bytes = whole  # type: ignore[method-assign]
    assert run(world, TO_ALICE).series == {"kept": 3, "assigned": 3}
    assert all(world.holders(series) == {"alice"} for series in all_series)


def test_two_runs_at_once_give_each_series_once(world: StoreWorld) -> None:
    world.person("alice")
    world.person("bob")
    all_series = [new_uid() for _ in range(8)]
    for series in all_series:
        put(world, series=series)

    async def both() -> list[Taken]:
        importers = [
            Importing(world.database, cast("Archive", world.archive), world.now, default_issuer="https://idp.example")
            for _ in range(2)
        ]
        rules = [parse_rules([{"user": name}]) for name in ("alice", "bob")]
        return list(await asyncio.gather(*(one.run(rule) for one, rule in zip(importers, rules, strict=True))))

    results = asyncio.run(both())
    assert sum(each.series["assigned"] for each in results) == len(all_series)
    assert all(len(world.holders(series)) == 1 for series in all_series)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"user": "nobody"}, "Nobody in good standing answers to 'nobody'"),
        ({"user": "suspended"}, "Nobody in good standing answers to 'suspended'"),
        ({"album": ALBUM}, f"There is no album {ALBUM}"),
    ],
)
def test_a_target_that_is_not_there_ends_a_run_before_it_does_anything(
    world: StoreWorld, rule: dict[str, str], words: str
) -> None:
    world.person("suspended")
    world.execute("UPDATE users SET suspended_at = now()")
    put(world, series=new_uid())
    with pytest.raises(BadRequestError, match=words):
        run(world, parse_rules([rule]))
    assert world.states() == {}


def test_an_inbox_is_no_album(world: StoreWorld) -> None:
    world.person("alice")
    (inbox,) = world.rows("SELECT id FROM albums WHERE kind = 'inbox'")
    with pytest.raises(BadRequestError):
        run(world, [ImportRule(album=inbox[0])])  # type: ignore[arg-type]


def test_nobody_can_add_to_what_was_taken_in(world: StoreWorld) -> None:
    alice = world.person("alice")
    series = new_uid()
    study = put(world, series=series)
    run(world, TO_ALICE)
    assert stored(world.store(alice, a_file(study=study, series=series, instance=new_uid()))) == set()
    with world.database.connect() as connection:
        origins = connection.execute(text("SELECT origin_user_pk, origin_album_pk FROM series")).all()
    assert [tuple(row) for row in origins] == [(None, None)]


def test_a_store_that_cannot_be_listed_ends_the_run(world: StoreWorld) -> None:
    world.person("alice")
    world.archive.down = True
    with pytest.raises(ArchiveUnavailableError):
        run(world, TO_ALICE)
