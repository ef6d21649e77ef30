"""Albums: what they say, who sees which, and what is counted."""

from dataclasses import replace

from kheops.domain.albums import AlbumDraft, AlbumEdit, AlbumFilter, AlbumSort, FlagChanges, Page
from kheops.domain.principals import Person
from kheops.domain.resources import AlbumFlags
from kheops.ids import AlbumId
from kheops.storage.albums import Contents
from tests.service.control.world import World


def names(world: World, person: Person, wanted: AlbumFilter, sort: AlbumSort, page: Page) -> tuple[list[str], int]:
    views, total = world.run(world.albums.list(person, wanted, sort, page))
    return [view.record.name for view in views], total


def named(world: World, owner: Person, name: str, flags: AlbumFlags | None = None) -> AlbumId:
    draft = AlbumDraft(name, flags=flags or AlbumFlags())
    return world.run(world.albums.create(owner, draft, asked=world.use(owner))).record.album


def contents(world: World, person: Person, album: AlbumId) -> Contents:
    return world.run(world.albums.get(person, album, None)).contents


def test_a_new_album_has_its_creator_as_administrator_and_kheops_flags(world: World) -> None:
    alice = world.person("alice")
    view = world.run(world.albums.create(alice, AlbumDraft("Hearts"), asked=world.use(alice)))
    assert (view.record.is_admin, view.record.number_of_users, view.contents) == (True, 1, Contents())
    assert view.record.flags == AlbumFlags(
        add_user=False,
        download_series=True,
        send_series=True,
        delete_series=False,
        add_series=True,
        write_comments=True,
    )
    assert world.events(view.record.album) == ["CREATE_ALBUM"]
    assert world.audit()[-1][1] == view.record.album


def test_only_confirmed_series_with_instances_are_counted(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    key = world.key(album)
    first = world.series(key, modality="MR", instances=7)
    world.series(key, study=first.study, modality="CT", instances=3)
    world.series(key, modality="CT", instances=1)
    world.series(world.inbox(alice), study=first.study, modality="SR", instances=5)
    for state in ("reserved", "orphan", "deleting"):
        world.series(key, state=state, modality="US")
    world.series(key, instances=0, modality="PT")
    expected = Contents(number_of_studies=2, number_of_series=3, number_of_instances=11, modalities=("CT", "MR"))
    assert contents(world, bob, album) == expected
    listed, _ = world.run(world.albums.list(bob, AlbumFilter(), AlbumSort(), Page()))
    assert [view.contents for view in listed] == [expected]
    assert contents(world, alice, album) == expected


def test_a_token_of_album_scope_sees_a_reduced_album_and_counts_only_if_it_reads(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.series(world.key(album))
    reading = world.run(world.albums.get(world.album_token(alice, album, "r"), album, None))
    writing = world.run(world.albums.get(world.album_token(alice, album, "w"), album, None))
    assert (reading.reduced, reading.contents.number_of_series) == (True, 1)
    assert (writing.reduced, writing.contents) == (True, Contents())
    asked = world.albums.get(world.album_token(alice, album, "r"), album, Page())
    assert world.outcome(asked) == "ForbiddenError"


def test_the_inbox_is_counted_apart_and_never_listed(world: World) -> None:
    alice = world.person("alice")
    assert world.run(world.albums.inbox(alice)) == Contents()
    world.series(world.inbox(alice), modality="MR")
    world.series(world.key(named(world, alice, "Hearts")))
    inbox = world.run(world.albums.inbox(alice))
    assert inbox == Contents(number_of_studies=1, number_of_series=1, number_of_instances=2, modalities=("MR",))
    assert names(world, alice, AlbumFilter(), AlbumSort(), Page()) == (["Hearts"], 1)


def test_albums_of_others_are_neither_listed_nor_counted(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    named(world, alice, "Hearts")
    assert names(world, carol, AlbumFilter(), AlbumSort(), Page()) == ([], 0)


def test_pages_neither_repeat_nor_skip_an_album(world: World) -> None:
    alice = world.person("alice")
    for number in range(7):
        named(world, alice, f"album {number % 2}")
    seen = []
    for offset in range(0, 8, 3):
        page, total = world.run(
            world.albums.list(alice, AlbumFilter(), AlbumSort("name", descending=False), Page(3, offset))
        )
        seen += [view.record.album for view in page]
        assert total == 7
    assert len(seen) == len(set(seen)) == 7


def test_albums_are_sorted_newest_first_by_default_and_by_name_in_either_direction(world: World) -> None:
    alice = world.person("alice")
    for name in ("beta", "Alpha", "gamma"):
        named(world, alice, name)
    everything = AlbumFilter()
    assert names(world, alice, everything, AlbumSort(), Page())[0] == ["gamma", "Alpha", "beta"]
    assert names(world, alice, everything, AlbumSort("name", descending=False), Page())[0] == [
        "Alpha",
        "beta",
        "gamma",
    ]
    assert names(world, alice, everything, AlbumSort("name", descending=True), Page())[0] == ["gamma", "beta", "Alpha"]


def test_the_list_is_narrowed_by_favourite_and_by_what_the_caller_may_do(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    open_album = named(world, alice, "open")
    closed = named(world, alice, "closed", replace(AlbumFlags(), add_series=False))
    for album in (open_album, closed):
        world.run(world.albums.members.add(alice, album, "bob", asked=world.use(alice)))
    named(world, bob, "own")
    world.run(world.albums.members.set_favorite(bob, closed, is_favorite=True, asked=world.use(bob)))
    by_name = AlbumSort("name", descending=False)
    assert names(world, bob, AlbumFilter(favorite=True), by_name, Page()) == (["closed"], 1)
    assert names(world, bob, AlbumFilter(can_add_series=True), by_name, Page()) == (["open", "own"], 2)
    assert names(world, bob, AlbumFilter(can_create_capability=True), by_name, Page()) == (["own"], 1)
    assert names(world, alice, AlbumFilter(favorite=True), by_name, Page()) == ([], 0)


def test_an_edit_changes_what_it_names_and_nothing_else(world: World) -> None:
    alice = world.person("alice")
    draft = AlbumDraft("Hearts", "All of them")
    album = world.run(world.albums.create(alice, draft, asked=world.use(alice))).record.album
    edit = AlbumEdit(flags=FlagChanges(add_user=True))
    view = world.run(world.albums.edit(alice, album, edit, asked=world.use(alice)))
    assert (view.record.name, view.record.description) == ("Hearts", "All of them")
    assert view.record.flags == replace(AlbumFlags(), add_user=True)
    assert world.events(album) == ["CREATE_ALBUM", "EDIT_ALBUM"]


def test_a_member_edits_their_own_notifications_only_and_that_is_no_event(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    edit = AlbumEdit(notification_new_comment=True)
    view = world.run(world.albums.edit(bob, album, edit, asked=world.use(bob)))
    assert (view.record.notification_new_series, view.record.notification_new_comment) == (False, True)
    assert world.run(world.albums.get(alice, album, None)).record.notification_new_comment is False
    assert world.events(album) == ["CREATE_ALBUM"]
    mixed = AlbumEdit(name="Mine", notification_new_series=True)
    assert world.outcome(world.albums.edit(bob, album, mixed, asked=world.use(bob))) == "ForbiddenError"
    assert world.run(world.albums.get(bob, album, None)).record.notification_new_series is False
