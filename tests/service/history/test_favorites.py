"""Favourite series: who marks them, where the mark is, and what tells of it."""

import pytest

from kheops.domain.resources import AlbumFlags
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.storage.holdings import Selection
from tests.service.control.world import at_once
from tests.service.history.world import HistoryWorld

NOWHERE = Selection(StudyInstanceUID("1.2.999"))


def test_a_mark_in_an_album_is_the_albums_and_stays_there(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album, other = world.album(alice, bob), world.album(alice)
    series = world.series(world.key(album), world.key(other), world.inbox(alice))
    assert world.mark(bob, series, album) == "ok"
    assert world.is_favorite(series, alice, album)
    assert not world.is_favorite(series, alice, other)
    assert not world.is_favorite(series, alice, None)
    assert world.audit()[-1] == ("favorite-changed", album, [series.series])
    assert world.mark(alice, series, album, is_favorite=False) == "ok"
    assert not world.is_favorite(series, bob, album)
    assert world.events(album) == ["CREATE_ALBUM", "ADD_FAV", "REMOVE_FAV"]


def test_the_history_tells_what_changed_and_nothing_else(world: HistoryWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    first = world.series(world.key(album))
    second = world.series(world.key(album), study=first.study)
    assert world.mark(alice, first, album) == "ok"
    assert world.mark(alice, first, album) == "ok"
    assert world.mark(alice, Selection(first.study), album) == "ok"
    rows = world.rows(
        "SELECT study_instance_uid, series_instance_uids FROM events WHERE mutation_type = 'ADD_FAV' ORDER BY pk"
    )
    assert [tuple(row) for row in rows] == [(first.study, [first.series]), (first.study, [second.series])]


def test_marks_in_the_inbox_are_the_persons_own_and_tell_nobody(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    series = world.series(world.inbox(alice), world.inbox(bob))
    assert world.mark(alice, series, None) == "ok"
    assert world.is_favorite(series, alice, None)
    assert not world.is_favorite(series, bob, None)
    assert world.scalar("SELECT count(*) FROM events") == 0
    assert world.audit()[-1] == ("favorite-changed", None, [series.series])


def test_a_plain_member_marks_only_where_members_may_add_series(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob, flags=AlbumFlags(add_series=False))
    series = world.series(world.key(album))
    assert world.mark(bob, series, album) == "ForbiddenError"
    # The role is refused before any UID is looked up.
    assert world.mark(bob, NOWHERE, album) == "ForbiddenError"
    assert world.mark(alice, series, album) == "ok"


def test_hidden_and_absent_answer_alike(world: HistoryWorld) -> None:
    alice, bob, eve = world.person("alice"), world.person("bob"), world.person("eve")
    album = world.album(alice, bob)
    inside, outside = world.series(world.key(album)), world.series(world.inbox(alice))
    hidden = world.series(world.inbox(alice), study=inside.study)
    for selection in (outside, hidden, NOWHERE):
        assert world.mark(bob, selection, album) == "NotFoundError"
        assert world.mark(bob, selection, None) == "NotFoundError"
    assert world.mark(bob, inside, None) == "NotFoundError"
    for target in (album, AlbumId("absent0000")):
        assert world.mark(eve, inside, target) == "AlbumNotFoundError"
    assert world.mark(bob, Selection(inside.study), album) == "ok"
    assert not world.is_favorite(hidden, alice, None)


@pytest.mark.parametrize("state", ["reserved", "deleting", "orphan"])
def test_what_is_not_confirmed_cannot_be_marked(world: HistoryWorld, state: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert world.mark(alice, world.series(world.key(album), state=state), album) == "NotFoundError"


@pytest.mark.parametrize(
    ("letters", "expected"),
    [("", "ForbiddenError"), ("r", "ForbiddenError"), ("w", "ForbiddenError"), ("rw", "ok")],
)
def test_a_token_of_user_scope_needs_to_read_as_well_as_write(
    world: HistoryWorld, letters: str, expected: str
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.key(album), world.inbox(alice))
    token = world.user_token(alice, letters)
    assert world.mark(token, series, album) == expected
    assert world.mark(token, series, None) == expected


def test_a_token_of_the_album_marks_nothing(world: HistoryWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.key(album), world.inbox(alice))
    token = world.album_token(alice, album, "rwa")
    assert world.mark(token, series, album) == world.mark(token, series, None) == "ForbiddenError"


def test_the_mark_goes_with_the_series(world: HistoryWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.key(album), world.inbox(alice))
    assert world.mark(alice, series, album) == "ok"
    assert world.drop(alice, series, album) == "ok"
    assert world.put(alice, series, album) == "ok"
    assert not world.is_favorite(series, alice, album)


def test_marking_twice_at_once_is_one_event(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for _ in range(5):
        album = world.album(alice, bob)
        series = world.series(world.key(album))
        marked = at_once(
            lambda: world.mark(alice, series, album),  # noqa: B023 - run before the next round
            lambda: world.mark(bob, series, album),  # noqa: B023
        )
        assert marked == ["ok", "ok"]
        assert world.events(album) == ["CREATE_ALBUM", "ADD_FAV"]


def test_marking_and_removing_at_once_end_without_a_mark_on_nothing(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for _ in range(5):
        album = world.album(alice, bob)
        series = world.series(world.key(album))
        marked, removed = at_once(
            lambda: world.mark(bob, series, album),  # noqa: B023 - run before the next round
            lambda: world.drop(alice, series, album),  # noqa: B023
        )
        assert (marked in {"ok", "NotFoundError"}, removed) == (True, "ok")
        assert ("ADD_FAV" in world.events(album)) == (marked == "ok")
