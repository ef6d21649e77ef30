"""Adding, promoting, demoting, removing and leaving, alone and two at once."""

from collections.abc import Callable

import pytest

from kheops.domain.albums import AlbumEdit, Page
from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.principals import CapabilityPermissions, Person
from kheops.ids import AlbumId
from kheops.services.sharing import NamedSource
from tests.service.control.world import ISSUER, World, at_once


def add(world: World, by: Person, album: AlbumId, user: str) -> str:
    return world.outcome(world.albums.members.add(by, album, user, asked=world.use(by)))


def promote(world: World, by: Person, album: AlbumId, user: str) -> str:
    return world.outcome(world.albums.members.promote(by, album, user, asked=world.use(by)))


def demote(world: World, by: Person, album: AlbumId, user: str) -> str:
    return world.outcome(world.albums.members.demote(by, album, user, asked=world.use(by)))


def remove(world: World, by: Person, album: AlbumId, user: str) -> str:
    return world.outcome(world.albums.members.remove(by, album, user, asked=world.use(by)))


def test_a_person_is_added_by_verified_address_in_any_case_or_by_sub_of_the_default_issuer(world: World) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice)
    assert add(world, alice, album, "BOB@Example.ORG") == "ok"
    assert add(world, alice, album, "carol") == "ok"
    assert world.members(album) == {alice.user, bob.user, carol.user}
    assert world.admins(album) == {alice.user}
    assert world.events(album) == ["CREATE_ALBUM", "ADD_USER", "ADD_USER"]
    assert [row for row in world.audit() if row[0] == "member-added"] == [
        ("member-added", f"{album} {bob.iss} bob", []),
        ("member-added", f"{album} {carol.iss} carol", []),
    ]


def _nobody(world: World) -> str:
    del world
    return "nobody@example.org"


def _unverified(world: World) -> str:
    world.person("eve", email="director@example.org", verified=False)
    return "director@example.org"


def _ambiguous(world: World) -> str:
    world.person("one", email="shared@example.org")
    world.person("two", iss="https://other.example.org", email="shared@example.org")
    return "shared@example.org"


def _other_issuer(world: World) -> str:
    world.person("foreigner", iss="https://other.example.org")
    return "foreigner"


def _suspended_by_address(world: World) -> str:
    world.suspend(world.person("gone"))
    return "gone@example.org"


def _suspended_by_sub(world: World) -> str:
    world.suspend(world.person("gone"))
    return "gone"


@pytest.mark.parametrize(
    "reference_of",
    [_nobody, _unverified, _ambiguous, _other_issuer, _suspended_by_address, _suspended_by_sub],
)
def test_a_reference_that_is_not_one_good_persons_is_not_found(
    world: World, reference_of: Callable[[World], str]
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    reference = reference_of(world)
    assert add(world, alice, album, reference) == "UserNotFoundError"
    assert promote(world, alice, album, reference) == "UserNotFoundError"
    assert world.members(album) == {alice.user}


def test_adding_a_member_again_changes_nothing_but_the_time_of_last_event(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    assert promote(world, alice, album, "bob") == "ok"
    before = world.scalar("SELECT last_event_at FROM albums WHERE id = :id", id=album)
    assert add(world, alice, album, "bob") == "ok"
    assert bob.user in world.admins(album)
    assert world.events(album) == ["CREATE_ALBUM", "PROMOTE_ADMIN"]
    assert world.scalar("SELECT last_event_at FROM albums WHERE id = :id", id=album) > before


def test_promoting_a_stranger_adds_them_and_promoting_an_administrator_is_no_event(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    assert promote(world, alice, album, "bob") == "ok"
    assert promote(world, alice, album, "bob") == "ok"
    assert world.admins(album) == {alice.user, bob.user}
    assert world.events(album) == ["CREATE_ALBUM", "ADD_ADMIN"]


def test_nobody_adds_or_promotes_themselves(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert add(world, alice, album, "alice") == "ForbiddenError"
    assert promote(world, alice, album, "alice@example.org") == "ForbiddenError"


def test_the_last_administrator_cannot_be_demoted_or_leave_others_behind(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    assert demote(world, alice, album, "alice") == "ConflictError"
    assert remove(world, alice, album, "alice") == "ConflictError"
    assert world.admins(album) == {alice.user}
    assert world.members(album) == {alice.user, bob.user}


def test_an_administrator_who_is_suspended_does_not_count(world: World) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob, carol)
    promote(world, alice, album, "bob")
    world.suspend(bob)
    assert remove(world, alice, album, "alice") == "ConflictError"


def test_a_suspended_member_can_still_be_removed(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    world.suspend(bob)
    assert remove(world, alice, album, "bob@example.org") == "ok"
    assert world.members(album) == {alice.user}


def test_the_only_member_leaving_takes_the_album_along(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    series = world.series(world.key(album))
    assert remove(world, alice, album, "bob") == "UserNotFoundError"
    assert world.exists(album), "naming somebody else must not delete the album"
    assert remove(world, alice, album, "alice") == "ok"
    assert not world.exists(album)
    assert world.state(series) == ("orphan", True)
    assert ("album-deleted", album, [series.series]) in world.audit()
    assert bob.user


def test_a_member_leaves_and_loses_the_series_at_once(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    series = world.series(world.key(album))
    assert world.take(bob, series) == "ok"
    assert world.drop(bob, series) == "ok"
    assert remove(world, bob, album, "bob") == "ok"
    assert world.events(album)[-1] == "LEAVE_ALBUM"
    assert world.take(bob, series) == "NotFoundError"


@pytest.mark.parametrize("how", ["demote", "remove", "leave"])
def test_an_administrators_tokens_of_the_album_end_with_the_role_and_do_not_come_back(world: World, how: str) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album, other = world.album(alice, bob), world.album(alice)
    promote(world, alice, album, "bob")
    promote(world, alice, other, "bob")
    token = create_token(world, bob, album)
    kept = [create_token(world, bob, other), create_token(world, bob, None), create_token(world, alice, album)]
    act = {"demote": demote, "remove": remove, "leave": remove}[how]
    assert act(world, bob if how == "leave" else alice, album, "bob") == "ok"
    promote(world, alice, album, "bob")
    revoked = {row[0] for row in world.rows("SELECT id FROM capabilities WHERE revoked_at IS NOT NULL")}
    assert revoked == {token}
    assert ("capability-revoked", token, []) in world.audit()
    assert len(kept) == 3


def test_members_are_listed_by_address_before_the_page_is_cut(world: World) -> None:
    alice = world.person("alice")
    others = [world.person(name) for name in ("dora", "bob", "carol")]
    hidden = world.person("aaron", email="aaron@example.org", verified=False)
    album = world.album(alice, *others, hidden)
    listing = world.albums.members.list
    first, total = world.run(listing(alice, album, Page(limit=2)))
    second, _ = world.run(listing(alice, album, Page(limit=2, offset=2)))
    last, _ = world.run(listing(alice, album, Page(limit=2, offset=4)))
    assert total == 5
    assert [member.sub for page in (first, second, last) for member in page] == [
        "alice",
        "bob",
        "carol",
        "dora",
        "aaron",
    ]
    assert last[0].email is None, "an address that nobody vouches for is shown to nobody"


OTHER = "https://other.example.org"


@pytest.mark.parametrize(
    "hide",
    [
        "UPDATE users SET email_verified = false WHERE iss = :iss",
        "UPDATE users SET email = 'alice@example.org' WHERE iss = :iss",
        "UPDATE users SET suspended_at = now() WHERE iss = :iss",
    ],
)
def test_every_member_is_removed_by_what_the_list_shows(world: World, hide: str) -> None:
    alice, namesake = world.person("alice"), world.person("p@q", iss=OTHER)
    album = world.album(alice, namesake)
    world.execute(hide, iss=OTHER)
    shown, _ = world.run(world.albums.members.list(alice, album, Page()))
    (member,) = [each for each in shown if each.user == namesake.user]
    members = world.albums.members
    asked = members.remove(alice, album, member.sub, asked=world.use(alice), issuer=member.iss)
    assert world.outcome(asked) == "ok"
    assert world.members(album) == {alice.user}


def test_a_bare_sub_of_two_members_is_neithers_and_each_is_named_with_the_issuer(world: World) -> None:
    alice, one, other = world.person("alice"), world.person("p"), world.person("p", iss=OTHER, email="p2@example.org")
    album = world.album(alice, one, other)
    members = world.albums.members
    for change in (remove, promote, demote):
        assert change(world, alice, album, "p") == "UserNotFoundError"
    assert world.members(album) == {alice.user, one.user, other.user}
    promoted = members.promote(alice, album, "p", asked=world.use(alice), issuer=OTHER)
    assert world.outcome(promoted) == "ok"
    assert world.admins(album) == {alice.user, other.user}
    demoted = members.demote(alice, album, "p", asked=world.use(alice), issuer=OTHER)
    assert (world.outcome(demoted), world.admins(album)) == ("ok", {alice.user})
    assert world.outcome(members.remove(alice, album, "p", asked=world.use(alice), issuer=ISSUER)) == "ok"
    assert world.members(album) == {alice.user, other.user}
    assert remove(world, alice, album, "p") == "UserNotFoundError", "a bare sub is never another issuer's"
    assert world.members(album) == {alice.user, other.user}


def test_a_bare_sub_that_another_issuer_has_too_is_nobodys(world: World) -> None:
    alice, one, other = world.person("alice"), world.person("p"), world.person("p", iss=OTHER, email="p2@example.org")
    world.person("elsewhere", iss=OTHER)
    album, series = world.album(alice), world.series(world.inbox(alice))
    assert add(world, alice, album, "p") == promote(world, alice, album, "p") == "UserNotFoundError"
    assert world.send(alice, series, "p") == "UserNotFoundError"
    assert add(world, alice, album, "elsewhere") == "UserNotFoundError", "a bare sub is never another issuer's"
    named = world.sharing.send_to_user(
        alice, series, "p", source=NamedSource(), asked=world.use(alice), issuer=other.iss
    )
    assert world.outcome(named) == "ok"
    assert world.holders(series) == {world.inbox(alice), world.inbox(other)}
    added = world.albums.members.add(alice, album, "p", asked=world.use(alice), issuer=one.iss)
    assert (world.outcome(added), world.members(album)) == ("ok", {alice.user, one.user})
    for issuer in ("", "https://nobody.example.org"):
        absent = world.albums.members.add(alice, album, "p", asked=world.use(alice), issuer=issuer)
        assert world.outcome(absent) == "UserNotFoundError"


@pytest.mark.parametrize("letters", ["", "r", "w", "rwad"])
def test_no_token_takes_its_person_out_of_an_album_or_deletes_it(world: World, letters: str) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    alone, shared = world.album(alice), world.album(alice, bob)
    for person, album in ((alice, alone), (bob, shared)):
        token = world.user_token(person, letters)
        asked = world.albums.members.remove(token, album, person.sub, asked=world.use(token))
        assert world.outcome(asked) == "ForbiddenError"
        assert world.outcome(world.albums.delete(token, album, asked=world.use(token))) == "ForbiddenError"
        assert person.user in world.members(album)


def test_a_token_that_only_writes_is_not_told_of_the_album_by_its_persons_notifications(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    edit = AlbumEdit(notification_new_series=True)
    for letters, expected in (("w", "ForbiddenError"), ("r", "ForbiddenError"), ("rw", "ok")):
        token = world.user_token(alice, letters)
        assert world.outcome(world.albums.edit(token, album, edit, asked=world.use(token))) == expected


def test_two_who_add_the_same_person_at_once_make_one_membership_and_one_event(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    world.person("carol")
    album = world.album(alice, bob)
    promote(world, alice, album, "bob")
    for _ in range(5):
        outcomes = at_once(lambda: add(world, alice, album, "carol"), lambda: promote(world, bob, album, "carol"))
        assert outcomes == ["ok", "ok"]
        assert len(world.members(album)) == 3
        assert len(world.admins(album)) == 3
        assert world.events(album)[-2:] in (["ADD_USER", "PROMOTE_ADMIN"], [*world.events(album)[-2:-1], "ADD_ADMIN"])
        remove(world, alice, album, "carol")


@pytest.mark.parametrize("act", [demote, remove])
def test_two_administrators_who_drop_each_other_at_once_leave_one(
    world: World, act: Callable[[World, Person, AlbumId, str], str]
) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    for _ in range(8):
        album = world.album(alice, bob, carol)
        promote(world, alice, album, "bob")
        outcomes = at_once(lambda: act(world, alice, album, "bob"), lambda: act(world, bob, album, "alice"))  # noqa: B023 - run before the loop goes on
        assert sorted(outcomes) in (
            ["ForbiddenError", "ok"],
            ["AlbumNotFoundError", "ok"],
        )
        assert len(world.admins(album)) == 1


@pytest.mark.parametrize("act", [demote, remove])
def test_two_administrators_who_step_down_at_once_do_not_leave_the_album_without_one(
    world: World, act: Callable[[World, Person, AlbumId, str], str]
) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    for _ in range(8):
        album = world.album(alice, bob, carol)
        promote(world, alice, album, "bob")
        outcomes = at_once(lambda: act(world, alice, album, "alice"), lambda: act(world, bob, album, "bob"))  # noqa: B023 - run before the loop goes on
        assert sorted(outcomes) == ["ConflictError", "ok"]
        assert len(world.admins(album)) == 1


def create_token(world: World, owner: Person, album: AlbumId | None) -> str:
    now = world.now()
    permissions = CapabilityPermissions(read=True, write=False, appropriate=False, download=False)
    draft = CapabilityDraft("title", album, permissions, now, now.replace(year=now.year + 1, day=1))
    return world.run(world.capabilities.create(owner, draft, asked=world.use(owner))).view.record.capability
