"""What ends while the store works, or before what a crash left is settled, confirms nothing to anybody."""

import asyncio

import pytest

from kheops.domain.principals import AlbumCapability, CapabilityPermissions, Principal, UserCapability
from kheops.ids import AlbumId, AlbumPk, CapabilityId, UserPk
from tests.dicom_files import a_file, new_uid
from tests.service.store.conftest import StoreWorld, stored

ALBUM = AlbumId("AAAAAAAAAA")
CAPABILITY = CapabilityId("CCCCCCCCCC")
REVOKED = f"UPDATE capabilities SET revoked_at = now() WHERE id = '{CAPABILITY}'"
EXPIRED = f"UPDATE capabilities SET expires_at = now() - interval '1 second' WHERE id = '{CAPABILITY}'"
REMOVED = "DELETE FROM album_members m USING albums a WHERE a.pk = m.album_pk AND a.kind = 'album'"
ENDS = {"capability revoked": REVOKED, "capability expired": EXPIRED, "member removed": REMOVED}


def album(world: StoreWorld, *members: UserPk) -> AlbumPk:
    world.execute(
        "INSERT INTO albums (id, kind, name, created_at, last_event_at) "
        f"VALUES ('{ALBUM}', 'album', 'A', now(), now()) ON CONFLICT DO NOTHING"
    )
    [(pk,)] = world.rows(f"SELECT pk FROM albums WHERE id = '{ALBUM}'")
    for user in members:
        world.execute(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:album, :user, true, now())",
            album=pk,
            user=user,
        )
    assert isinstance(pk, int)
    return AlbumPk(pk)


def token(world: StoreWorld, *, of_album: bool) -> Principal:
    """Return a capability token of Alice's that reads and writes, for her album or for all of hers."""
    alice = world.person("alice")
    pk = album(world, alice.user)
    world.execute(
        "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, album_pk, read_permission, "
        "write_permission, appropriate_permission, download_permission, issued_at, not_before, expires_at) "
        "VALUES (:id, 'x', 't', :scope, :user, CAST(:album AS bigint), true, true, false, false, now(), now(), "
        "now() + interval '1 hour')",
        id=CAPABILITY,
        scope="album" if of_album else "user",
        user=alice.user,
        album=pk if of_album else None,
    )
    permissions = CapabilityPermissions(read=True, write=True, appropriate=False, download=False)
    if of_album:
        return AlbumCapability(alice.user, alice.iss, alice.sub, CAPABILITY, permissions, pk)
    return UserCapability(alice.user, alice.iss, alice.sub, CAPABILITY, permissions)


@pytest.mark.parametrize("of_album", [True, False], ids=["of the album", "of the person"])
@pytest.mark.parametrize("end", [None, *ENDS])
def test_a_token_that_ends_during_the_upload_gets_nothing(world: StoreWorld, end: str | None, of_album: bool) -> None:
    principal = token(world, of_album=of_album)
    study, series = new_uid(), new_uid()

    async def meanwhile() -> None:
        if end is not None:
            await asyncio.to_thread(world.execute, ENDS[end])

    world.archive.before_answer = meanwhile
    report = world.store(
        principal, a_file(study=study, series=series, instance=(uid := new_uid())), album=None if of_album else ALBUM
    )
    if end is None:
        assert stored(report) == {uid}
        return
    assert stored(report) == set()
    assert world.states() == {series: ("orphan", 1)}
    assert world.rows("SELECT * FROM album_series") == []
    assert world.rows("SELECT outcome, reason FROM audit") == [("refused", "grant-lost")]


def test_a_member_who_is_removed_during_the_upload_adds_nothing_to_the_album(world: StoreWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album(world, alice.user, bob.user)
    study, series, first, late = new_uid(), new_uid(), new_uid(), new_uid()
    world.store(alice, a_file(study=study, series=series, instance=first), album=ALBUM)

    async def meanwhile() -> None:
        await asyncio.to_thread(world.execute, f"{REMOVED} AND m.user_pk = {bob.user}")

    world.archive.before_answer = meanwhile
    report = world.store(bob, a_file(study=study, series=series, instance=late), album=ALBUM)
    assert stored(report) == set()
    assert world.instance_states() == {first: "confirmed", late: "reserved"}
    assert world.states() == {series: ("confirmed", 1)}


LEFT = {
    "nothing": (None, "confirmed"),
    "capability revoked": (REVOKED, "orphaned"),
    "capability gone": (f"DELETE FROM capabilities WHERE id = '{CAPABILITY}'", "orphaned"),
    "member removed": (REMOVED, "orphaned"),
    "album gone": ("UPDATE instances SET target_pk = NULL", "orphaned"),
    "person gone": ("UPDATE instances SET uploader_pk = NULL", "orphaned"),
    "person suspended": ("UPDATE users SET suspended_at = now()", "orphaned"),
}


@pytest.mark.parametrize("lost", LEFT)
def test_what_a_crash_left_is_nobodys_where_the_grant_has_gone(world: StoreWorld, lost: str) -> None:
    principal = token(world, of_album=True)
    series, uid = new_uid(), new_uid()

    class CrashError(BaseException):
        pass

    async def crash() -> None:
        raise CrashError

    world.archive.before_answer = crash
    world.store(principal, a_file(study=new_uid(), series=series, instance=uid))
    sql, became = LEFT[lost]
    if sql is not None:
        world.execute(sql)
    world.execute("UPDATE instances SET lease_until = now() - interval '1 second'")
    assert world.reconcile().instances == {became: 1}
    assert world.states() == {series: ("confirmed" if became == "confirmed" else "orphan", 1)}
    assert len(world.rows("SELECT * FROM album_series")) == (became == "confirmed")


def test_what_a_crash_left_for_a_series_that_others_read_is_withheld_where_the_grant_has_gone(
    world: StoreWorld,
) -> None:
    alice = world.person("alice")
    study, series, first, late = new_uid(), new_uid(), new_uid(), new_uid()
    for uid in (first, late):
        world.store(alice, a_file(study=study, series=series, instance=uid))
    world.execute(
        "UPDATE instances SET state = 'reserved', lease_until = now() - interval '1 second', upload_id = 'dead', "
        f"target_pk = NULL, uploader_pk = (SELECT pk FROM users) WHERE sop_instance_uid = '{late}'"
    )
    world.execute("UPDATE series SET number_of_instances = 1")
    assert world.reconcile().instances == {"orphaned": 1}
    assert world.states() == {series: ("confirmed", 1)}
    assert world.instance_states() == {first: "confirmed", late: "reserved"}
