"""A viewer token stores into its study and source, while it and what it comes from stand."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.policy import Source
from kheops.domain.principals import CapabilityPermissions, Person, UserCapability, ViewerParent, ViewerToken
from kheops.errors import AlbumNotFoundError, ForbiddenError
from kheops.ids import AlbumId, AlbumPk, StudyInstanceUID, ViewerTokenPk
from kheops.services.store_report import FailureReason
from kheops.storage import capabilities
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, reasons, stored

ALBUM = AlbumId("Album00001")


def viewer(
    world: StoreWorld,
    parent: ViewerParent,
    study: str,
    *,
    inbox: bool = False,
    album: AlbumPk | None = None,
    write: bool = True,
) -> ViewerToken:
    """Put a viewer token on record and return it as it would be identified."""
    world.execute(
        "INSERT INTO viewer_tokens (secret_hash, user_pk, capability_pk, study_instance_uid, source_inbox, "
        "source_album_pk, read_permission, write_permission, issued_at, expires_at) "
        "SELECT decode(md5(random()::text), 'hex'), :user, (SELECT pk FROM capabilities WHERE id = :capability), "
        ":study, :inbox, CAST(:album AS bigint), true, :write, now(), now() + interval '5 hours'",
        user=parent.user,
        capability=None if isinstance(parent, Person) else parent.capability,
        study=study,
        inbox=inbox,
        album=album,
        write=write,
    )
    [(pk,)] = world.rows("SELECT max(pk) FROM viewer_tokens")
    assert isinstance(pk, int)
    source = Source(inbox=inbox, album=album)
    return ViewerToken(ViewerTokenPk(pk), parent, StudyInstanceUID(study), source, read=True, write=write)


def capability_of(world: StoreWorld, owner: Person) -> UserCapability:
    permissions = CapabilityPermissions(read=True, write=True, appropriate=False, download=False)
    at = world.now()
    draft = CapabilityDraft(
        title="t", album=None, permissions=permissions, not_before=at, expires_at=at + timedelta(days=1)
    )

    def make(tx: Connection) -> UserCapability:
        record = capabilities.create_capability(tx, draft, owner=owner.user, album=None, secret_hash=b"x", at=at)
        return UserCapability(owner.user, owner.iss, owner.sub, record.capability, permissions)

    return world.database.run_blocking(make)


def album_of(world: StoreWorld, owner: Person) -> AlbumPk:
    world.execute(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at) VALUES (:id, 'album', 'a', now(), now())",
        id=ALBUM,
    )
    world.execute(
        "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) "
        "SELECT pk, :user, true, now() FROM albums WHERE id = :id",
        user=owner.user,
        id=ALBUM,
    )
    [(pk,)] = world.rows(f"SELECT pk FROM albums WHERE id = '{ALBUM}'")
    assert isinstance(pk, int)
    return AlbumPk(pk)


def held_by_album(world: StoreWorld) -> set[object]:
    sql = (
        "SELECT s.series_instance_uid FROM album_series x JOIN series s ON s.pk = x.series_pk "
        "JOIN albums a ON a.pk = x.album_pk WHERE a.kind = 'album'"
    )
    return {row[0] for row in world.rows(sql)}


def test_it_stores_into_its_study_and_no_other(world: StoreWorld) -> None:
    alice = world.person("alice")
    study, series, good, bad = new_uid(), new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=(own := new_uid()), series=(known := new_uid()), instance=new_uid()))
    token = viewer(world, alice, study)
    report = world.store(
        token,
        a_file(study=study, series=series, instance=good),
        a_file(study=own, series=known, instance=bad),
        a_file(study=new_uid(), series=new_uid(), instance=(new := new_uid())),
    )
    assert stored(report) == {good}
    assert reasons(report) == {bad: FailureReason.NOT_AUTHORIZED, new: FailureReason.NOT_AUTHORIZED}
    assert world.holders(series) == {"alice"}
    refusals = world.rows("SELECT token_id, reason FROM audit WHERE outcome = 'refused'")
    assert refusals == [(token.token_id, "other-study")] * 2


def test_it_stores_into_its_source(world: StoreWorld) -> None:
    alice = world.person("alice")
    album = album_of(world, alice)
    study = new_uid()
    world.store(alice, a_file(study=study, series=new_uid(), instance=new_uid()))
    world.store(
        viewer(world, alice, study, album=album), a_file(study=study, series=(a := new_uid()), instance=new_uid())
    )
    assert held_by_album(world) == set(), "the study is not in the source, so that the token has no part in it"
    other = new_uid()
    in_album, in_inbox = viewer(world, alice, other, album=album), viewer(world, alice, study, inbox=True)
    world.store(in_album, a_file(study=other, series=(b := new_uid()), instance=new_uid()))
    world.store(in_inbox, a_file(study=study, series=(c := new_uid()), instance=new_uid()))
    assert held_by_album(world) == {b}
    assert world.holders(c) == {"alice"}
    assert world.holders(a) == set()
    with pytest.raises(AlbumNotFoundError):
        world.store(in_inbox, a_file(study=study, series=new_uid(), instance=new_uid()), album=ALBUM)
    [(mutation, by)] = world.rows("SELECT mutation_type, user_pk FROM events")
    assert (mutation, by) == ("IMPORT_SERIES", alice.user)


def test_without_write_it_stores_nothing(world: StoreWorld) -> None:
    token = viewer(world, world.person("alice"), study := new_uid(), write=False)
    with pytest.raises(ForbiddenError):
        world.store(token, a_file(study=study, series=new_uid(), instance=new_uid()))


ENDS = {
    "time": "UPDATE viewer_tokens SET expires_at = now()",
    "logout": "UPDATE viewer_tokens SET revoked_at = now()",
    "cleared away": "DELETE FROM viewer_tokens",
    "its capability token": "UPDATE capabilities SET revoked_at = now()",
    "suspension": "UPDATE users SET suspended_at = now()",
}


@pytest.mark.parametrize("sql", ENDS.values(), ids=ENDS)
def test_what_ends_while_the_store_works_confirms_nothing(world: StoreWorld, sql: str) -> None:
    token = viewer(world, capability_of(world, world.person("alice")), study := new_uid())

    async def end() -> None:
        await asyncio.to_thread(world.execute, sql)

    world.archive.before_answer = end
    report = world.store(token, a_file(study=study, series=(series := new_uid()), instance=(uid := new_uid())))
    assert set(reasons(report)) == {uid}
    assert world.states() == {series: ("orphan", 1)}
    assert world.holders(series) == set()


@pytest.mark.parametrize("ended", [None, *ENDS], ids=["it stands", *ENDS])
def test_what_a_crash_left_is_settled_by_whether_the_token_still_stands(world: StoreWorld, ended: str | None) -> None:
    token = viewer(world, capability_of(world, world.person("alice")), study := new_uid())

    class CrashError(BaseException):
        pass

    async def crash() -> None:
        raise CrashError

    world.archive.before_answer = crash
    world.store(token, a_file(study=study, series=(series := new_uid()), instance=new_uid()))
    world.archive.before_answer = None
    world.execute("UPDATE instances SET lease_until = now() + interval '60 seconds'")
    if ended is not None:
        world.execute(ENDS[ended])
    world.moved = timedelta(minutes=2)
    assert world.reconcile().instances == {"confirmed" if ended is None else "orphaned": 1}
    assert world.holders(series) == ({"alice"} if ended is None else set())
