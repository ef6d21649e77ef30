"""Deletion for good by an administrator: gone for everybody at once, gone from the store with the next purge."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from kheops.domain.principals import Person, Role
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import AlbumNotFoundError, ConflictError, ForbiddenError, NotFoundError
from kheops.ids import AlbumId, SeriesInstanceUID, StudyInstanceUID
from kheops.services.permanent_deletion import PermanentDeletion
from kheops.storage.holdings import Selection
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, reasons, stored
from tests.service.store.test_purge import run_purge

ALBUM = AlbumId("Al00000001")


def administrator(world: StoreWorld) -> Person:
    return replace(world.person("root"), roles=frozenset({Role.ADMINISTRATOR}))


def delete(world: StoreWorld, by: Person, study: str, series: str | None = None, album: AlbumId | None = None) -> None:
    use = Use(
        user=User(by.iss, by.sub, by.token_id),
        kind=UseKind.PURGE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="r",
    )
    selection = Selection(StudyInstanceUID(study), None if series is None else SeriesInstanceUID(series))
    deletion = PermanentDeletion(world.database, world.now)
    asyncio.run(deletion.delete(by, selection, album=album, asked=use))


def a_study(world: StoreWorld) -> tuple[str, str, str]:
    """Store a study of two series as Alice; return its UID and theirs."""
    study, first, second = new_uid(), new_uid(), new_uid()
    files = [a_file(study=study, series=series, instance=new_uid()) for series in (first, second)]
    assert len(stored(world.store(world.person("alice"), *files))) == 2
    return study, first, second


def an_album(world: StoreWorld, member: Person, series: str) -> None:
    """Let an album of which ``member`` is administrator hold a series."""
    world.database.run_blocking(
        lambda tx: tx.execute(
            text(
                "WITH a AS (INSERT INTO albums (id, kind, name, created_at, last_event_at) "
                "VALUES (:id, 'album', 'A', now(), now()) RETURNING pk), "
                "m AS (INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) "
                "SELECT pk, :user, true, now() FROM a) "
                "INSERT INTO album_series (album_pk, series_pk, added_at, added_by) "
                "SELECT a.pk, s.pk, now(), :user FROM a, series s WHERE s.series_instance_uid = :series"
            ),
            {"id": ALBUM, "user": member.user, "series": series},
        )
    )


def test_a_study_is_gone_for_everybody_at_once_and_from_the_store_with_the_purge(world: StoreWorld) -> None:
    study, first, second = a_study(world)
    an_album(world, world.person("bob"), first)
    world.execute(
        "INSERT INTO webhooks (id, album_pk, name, url, events, enabled, user_pk, created_at) "
        "SELECT 'wh00000001', pk, 'W', 'https://example.org/', '{remove_series}', true, :user, now() "
        "FROM albums WHERE kind = 'album'",
        user=world.person("bob").user,
    )
    delete(world, administrator(world), study)
    assert world.rows("SELECT payload #>> '{facts,by}' FROM outbox WHERE kind = 'webhook'") == [(None,)]
    assert world.states() == {first: ("deleting", 1), second: ("deleting", 1)}
    assert world.rows("SELECT 1 FROM album_series") == []
    assert world.rows("SELECT mutation_type, user_pk FROM events") == [("REMOVE_STUDY", None)], "nobody is named"
    assert world.rows(
        "SELECT sub, kind, reason, cardinality(series_instance_uids) FROM audit WHERE kind = 'purge'"
    ) == [("root", "purge", "begun", 2)]
    again = world.store(world.person("alice"), a_file(study=study, series=first, instance=(uid := new_uid())))
    assert reasons(again) == {uid: 0x0124}
    assert run_purge(world) == {"purged": 2}
    assert (world.archive.files, world.states()) == ({}, {})


def test_one_series_is_deleted_and_the_others_stay(world: StoreWorld) -> None:
    study, first, second = a_study(world)
    delete(world, administrator(world), study, first)
    assert world.states() == {first: ("deleting", 1), second: ("confirmed", 1)}
    assert world.holders(second) == {"alice"}


def test_below_an_album_it_takes_that_albums_right_and_deletes_what_it_holds(world: StoreWorld) -> None:
    study, first, second = a_study(world)
    root = administrator(world)
    an_album(world, world.person("bob"), first)
    with pytest.raises(AlbumNotFoundError):
        delete(world, root, study, album=ALBUM)
    world.execute(
        "UPDATE album_members SET user_pk = :root WHERE is_admin AND album_pk = "
        "(SELECT pk FROM albums WHERE kind = 'album')",
        root=root.user,
    )
    delete(world, root, study, album=ALBUM)
    assert world.rows("SELECT user_pk FROM events") == [(root.user,)], "who acted as a member is named to members"
    assert world.states() == {first: ("deleting", 1), second: ("confirmed", 1)}
    assert (
        world.rows("SELECT 1 FROM album_series x JOIN series s ON s.pk = x.series_pk AND s.state = 'deleting'") == []
    )


def test_only_administrators_delete_and_others_learn_nothing(world: StoreWorld) -> None:
    study, first, _ = a_study(world)
    for principal in (world.person("alice"), world.person("carol")):
        for asked in (study, new_uid()):
            with pytest.raises(ForbiddenError):
                delete(world, principal, asked)
    assert world.states()[first] == ("confirmed", 1)


@pytest.mark.parametrize(
    "kept",
    [
        "UPDATE series SET legal_hold = true WHERE pk = (SELECT min(pk) FROM series)",
        (
            "UPDATE instances SET state = 'reserved', upload_id = 'u', lease_until = now() "
            "WHERE pk = (SELECT min(pk) FROM instances)"
        ),
    ],
    ids=["on legal hold", "being stored"],
)
def test_what_is_kept_keeps_all_of_the_selection(world: StoreWorld, kept: str) -> None:
    study, _, second = a_study(world)
    world.execute(kept)
    before = world.states()
    with pytest.raises(ConflictError):
        delete(world, administrator(world), study)
    assert world.states() == before
    assert world.holders(second) == {"alice"}


def test_what_is_not_on_record_or_came_by_another_way_is_absent(world: StoreWorld) -> None:
    root = administrator(world)
    study, first, _ = a_study(world)
    for named in ((new_uid(), None), (study, new_uid()), (new_uid(), first)):
        with pytest.raises(NotFoundError):
            delete(world, root, *named)
    world.execute("UPDATE series SET confirmed_at = NULL, state = 'orphan', orphaned_at = now()")
    with pytest.raises(NotFoundError):
        delete(world, root, study)


def test_deleting_twice_at_once_begins_it_once(world: StoreWorld) -> None:
    study, _, _ = a_study(world)
    root = administrator(world)
    deletion = PermanentDeletion(world.database, world.now)
    use = Use(
        user=User(root.iss, root.sub, "t"),
        kind=UseKind.PURGE,
        outcome=Outcome.GRANTED,
        source_address=None,
        request_id="r",
    )
    selection = Selection(StudyInstanceUID(study))

    async def both() -> list[object]:
        return await asyncio.gather(
            *(deletion.delete(root, selection, album=None, asked=use) for _ in range(2)), return_exceptions=True
        )

    came_to = asyncio.run(both())
    assert sorted(type(each).__name__ for each in came_to) == ["NoneType", "NotFoundError"]
    assert world.rows("SELECT count(*) FROM audit WHERE kind = 'purge'") == [(1,)]
