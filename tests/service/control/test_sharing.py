"""Putting series into albums and inboxes, taking them out, and the life of an orphan."""

import pytest

from kheops.domain.resources import AlbumFlags
from kheops.ids import StudyInstanceUID
from kheops.services.sharing import NamedSource, Selection
from tests.service.control.world import World, at_once

UNKNOWN = Selection(StudyInstanceUID("1.9.9"), None)


def whole(series: Selection) -> Selection:
    return Selection(series.study)


def test_one_series_goes_into_an_album_and_the_rest_of_its_study_stays(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    first = world.series(world.inbox(alice))
    second = world.series(world.inbox(alice), study=first.study)
    assert world.put(alice, first, album) == "ok"
    assert world.holders(first) == {world.inbox(alice), world.key(album)}
    assert world.holders(second) == {world.inbox(alice)}
    assert world.events(album) == ["CREATE_ALBUM", "IMPORT_SERIES"]
    assert world.audit()[-1] == ("share", album, [first.series])


def test_a_study_goes_as_far_as_the_caller_has_it_in_one_event(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    album = world.album(alice)
    first = world.series(world.inbox(alice))
    second = world.series(world.inbox(alice), study=first.study)
    hidden = world.series(world.inbox(carol), study=first.study)
    assert world.put(alice, whole(first), album) == "ok"
    assert world.holders(hidden) == {world.inbox(carol)}
    row = world.rows(
        "SELECT mutation_type, study_instance_uid, series_instance_uids FROM events ORDER BY pk DESC LIMIT 1"
    )[0]
    assert row == ("IMPORT_STUDY", first.study, [first.series, second.series])


def test_putting_again_succeeds_and_is_no_event(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice))
    world.put(alice, series, album)
    assert world.put(alice, series, album) == "ok"
    assert world.events(album) == ["CREATE_ALBUM", "IMPORT_SERIES"]


@pytest.mark.parametrize("state", ["reserved", "orphan", "deleting"])
def test_what_is_not_confirmed_cannot_be_shared_or_removed(world: World, state: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice), state=state)
    assert world.put(alice, series, album) == "NotFoundError"
    assert world.send(alice, series, "alice") == "NotFoundError"
    assert world.drop(alice, series) == "NotFoundError"
    assert world.holders(series) == {world.inbox(alice)}


def test_a_free_uid_is_never_claimed(world: World) -> None:
    alice = world.person("alice")
    assert world.take(alice, UNKNOWN) == "NotFoundError"
    assert world.scalar("SELECT count(*) FROM series") == 0


def test_a_hidden_series_is_refused_as_an_absent_one_by_every_verb(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    album = world.album(carol)
    hidden = world.series(world.inbox(alice), origin=alice)
    for selection in (hidden, whole(hidden), UNKNOWN):
        assert world.put(carol, selection, album) == "NotFoundError"
        assert world.take(carol, selection) == "NotFoundError"
        assert world.send(carol, selection, "alice") == "NotFoundError"
        assert world.drop(carol, selection) == "NotFoundError"
        assert world.drop(carol, selection, album) == "NotFoundError"
    assert world.holders(hidden) == {world.inbox(alice)}


def test_the_source_narrows_what_goes(world: World) -> None:
    alice = world.person("alice")
    source, target = world.album(alice), world.album(alice)
    in_album = world.series(world.key(source))
    in_inbox = world.series(world.inbox(alice), study=in_album.study)
    assert world.put(alice, whole(in_album), target, NamedSource(album=source)) == "ok"
    assert world.holders(in_inbox) == {world.inbox(alice)}
    assert world.put(alice, in_album, target, NamedSource(inbox=True)) == "NotFoundError"
    assert world.put(alice, in_inbox, target, NamedSource(inbox=True)) == "ok"


def test_a_source_album_that_does_not_let_members_send_refuses_before_any_uid(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    closed = world.album(alice, bob, flags=AlbumFlags(send_series=False))
    series = world.series(world.key(closed))
    own = world.album(bob)
    for selection in (series, UNKNOWN):
        assert world.put(bob, selection, own, NamedSource(album=closed)) == "ForbiddenError"
        assert world.send(bob, selection, "alice", NamedSource(album=closed)) == "ForbiddenError"
    assert world.put(bob, series, own) == "NotFoundError"
    assert world.take(bob, series) == "NotFoundError"
    assert world.put(alice, series, world.album(alice), NamedSource(album=closed)) == "ok"


def test_a_source_album_of_others_is_not_there(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    foreign, own = world.album(alice), world.album(carol)
    series = world.series(world.key(foreign))
    assert world.put(carol, series, own, NamedSource(album=foreign)) == "AlbumNotFoundError"


def test_an_inbox_is_not_addressable_as_an_album(world: World) -> None:
    alice = world.person("alice")
    series = world.series(world.inbox(alice))
    inbox_id = world.scalar("SELECT id FROM albums WHERE pk = :pk", pk=world.inbox(alice))
    assert world.put(alice, series, inbox_id) == "AlbumNotFoundError"
    assert world.drop(alice, series, inbox_id) == "AlbumNotFoundError"


def test_sending_to_somebody_puts_it_into_their_inbox_and_they_may_pass_it_on(world: World) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    series = world.series(world.inbox(alice))
    assert world.send(alice, series, "Bob@example.org") == "ok"
    assert world.audit()[-1] == ("share", f"{bob.iss} bob", [series.series])
    assert world.send(bob, series, "carol") == "ok"
    assert world.holders(series) == {world.inbox(alice), world.inbox(bob), world.inbox(carol)}


def test_an_unknown_user_is_told_before_any_uid_is_looked_up(world: World) -> None:
    alice, carol = world.person("alice"), world.person("carol")
    hidden = world.series(world.inbox(carol))
    for selection in (hidden, UNKNOWN):
        assert world.send(alice, selection, "nobody@example.org") == "UserNotFoundError"


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        ("rwa", "ok"),
        ("ra", "ForbiddenError"),
        ("rw", "ForbiddenError"),
        ("wa", "ForbiddenError"),
        ("", "ForbiddenError"),
    ],
)
def test_a_token_of_user_scope_takes_into_the_inbox_by_its_permissions(
    world: World, permissions: str, expected: str
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.key(album))
    token = world.user_token(alice, permissions)
    assert world.take(token, series) == expected
    if expected != "ok":
        assert world.take(token, UNKNOWN) == expected, "a refusal must not depend on the UID"


@pytest.mark.parametrize(("permissions", "expected"), [("rw", "ok"), ("r", "ForbiddenError"), ("w", "ForbiddenError")])
def test_a_token_removes_only_if_it_reads_and_writes(world: World, permissions: str, expected: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice), world.key(album))
    for token, album_named in (
        (world.user_token(alice, permissions), None),
        (world.user_token(alice, permissions), album),
    ):
        assert world.drop(token, series, album_named) == expected
    world.series(world.key(album))
    again = world.series(world.key(album))
    assert world.drop(world.album_token(alice, album, permissions), again) == expected


def test_a_token_of_album_scope_removes_from_its_album_and_never_from_the_inbox(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice), world.key(album))
    token = world.album_token(alice, album, "rwa")
    assert world.drop(token, series) == "ok"
    assert world.holders(series) == {world.inbox(alice)}
    assert world.drop(token, series) == "NotFoundError"
    event = world.rows("SELECT mutation_type, capability_pk FROM events ORDER BY pk DESC LIMIT 1")[0]
    assert event[0] == "REMOVE_SERIES"


def test_a_token_of_album_scope_passes_on_its_album_and_nothing_else(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    inside, outside = world.series(world.key(album)), world.series(world.inbox(alice))
    token = world.album_token(alice, album, "ra")
    assert world.send(token, inside, "bob") == "ok"
    assert world.send(token, outside, "bob") == "NotFoundError"
    assert world.send(token, inside, "bob", NamedSource(inbox=True)) == "ForbiddenError"
    assert world.holders(inside) == {world.key(album), world.inbox(bob)}


def test_the_last_pointer_to_go_makes_an_orphan_and_its_origin_takes_it_back(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    series = world.series(world.inbox(alice), world.inbox(bob), origin=alice)
    assert world.drop(alice, series) == "ok"
    assert world.state(series) == ("confirmed", False)
    assert world.drop(bob, series) == "ok"
    assert world.state(series) == ("orphan", True)
    assert world.audit()[-1] == ("remove", None, [series.series])
    assert world.take(bob, series) == "NotFoundError", "who only held it has no claim"
    assert world.send(alice, series, "bob") == "NotFoundError", "an orphan is taken back before it is passed on"
    assert world.take(alice, series) == "ok"
    assert world.state(series) == ("confirmed", False)
    assert world.holders(series) == {world.inbox(alice)}


def test_taking_back_a_study_brings_only_what_the_caller_uploaded(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    own = world.series(state="orphan", origin=alice)
    foreign = world.series(study=own.study, state="orphan", origin=bob)
    nobodys = world.series(study=own.study, state="orphan")
    assert world.take(alice, whole(own)) == "ok"
    assert world.holders(own) == {world.inbox(alice)}
    for other in (foreign, nobodys):
        assert world.state(other) == ("orphan", True)
        assert world.take(alice, other) == "NotFoundError"


def test_an_albums_upload_goes_back_to_that_album_and_not_to_a_members_inbox(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album, other = world.album(alice, bob), world.album(bob)
    series = world.series(world.key(album), origin=album)
    assert world.drop(alice, series, album) == "ok"
    assert world.state(series) == ("orphan", True)
    assert world.take(bob, series) == "NotFoundError"
    assert world.put(bob, series, other) == "NotFoundError"
    assert world.put(bob, series, album) == "ok"
    assert world.state(series) == ("confirmed", False)
    assert world.events(album)[-2:] == ["REMOVE_SERIES", "IMPORT_SERIES"]


def test_a_token_of_the_album_takes_its_orphan_back_and_a_persons_orphan_never(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    of_album = world.series(state="orphan", origin=album)
    of_alice = world.series(state="orphan", origin=alice)
    token = world.album_token(alice, album, "rwa")
    assert world.take(token, of_album) == "ok"
    assert world.holders(of_album) == {world.key(album)}
    assert world.take(token, of_alice) == "NotFoundError"
    assert world.put(alice, of_alice, album) == "ok"


def test_deleting_an_album_orphans_what_nobody_else_holds(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    only = world.series(world.key(album), origin=alice)
    elsewhere = world.series(world.key(album), world.inbox(alice))
    world.run(world.albums.delete(alice, album, asked=world.use(alice)))
    assert world.state(only) == ("orphan", True)
    assert world.state(elsewhere) == ("confirmed", False)
    assert world.take(alice, only) == "ok"


def test_two_last_holders_who_let_go_at_once_make_one_orphan(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for _ in range(8):
        series = world.series(world.inbox(alice), world.inbox(bob), origin=alice)
        outcomes = at_once(lambda: world.drop(alice, series), lambda: world.drop(bob, series))  # noqa: B023 - run before the loop goes on
        assert outcomes == ["ok", "ok"]
        assert world.holders(series) == set()
        assert world.state(series) == ("orphan", True)


def test_a_series_sent_while_its_last_holder_lets_go_is_never_held_and_orphaned(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for _ in range(8):
        series = world.series(world.inbox(alice))
        outcomes = at_once(lambda: world.send(alice, series, "bob"), lambda: world.drop(alice, series))  # noqa: B023 - run before the loop goes on
        assert outcomes in (["ok", "ok"], ["NotFoundError", "ok"])
        sent = outcomes[0] == "ok"
        assert world.holders(series) == ({world.inbox(bob)} if sent else set())
        assert world.state(series) == (("confirmed", False) if sent else ("orphan", True))


def test_two_who_put_the_same_series_into_an_album_at_once_make_one_event(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    for number in range(1, 6):
        series = world.series(world.inbox(alice), world.inbox(bob))
        outcomes = at_once(lambda: world.put(alice, series, album), lambda: world.put(bob, series, album))  # noqa: B023 - run before the loop goes on
        assert outcomes == ["ok", "ok"]
        assert world.events(album).count("IMPORT_SERIES") == number


def test_a_series_put_into_an_album_while_it_is_deleted_is_not_lost(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for _ in range(8):
        album = world.album(alice, bob)
        series, inside = world.series(world.inbox(bob)), world.series(world.key(album))
        outcomes = at_once(
            lambda: world.put(bob, series, album),  # noqa: B023 - run before the loop goes on
            lambda: world.outcome(world.albums.delete(alice, album, asked=world.use(alice))),  # noqa: B023
        )
        assert outcomes in (["ok", "ok"], ["AlbumNotFoundError", "ok"])
        assert world.holders(series) == {world.inbox(bob)}
        assert world.state(series) == ("confirmed", False)
        assert world.state(inside) == ("orphan", True)
