"""Searching albums: filters and orders over what the caller is a member of."""

from datetime import UTC, date, datetime

import pytest

from kheops.domain.albums import ALBUM_SORTS, AlbumDraft, AlbumFilter, AlbumSort, Days, Page
from kheops.domain.principals import Person
from kheops.ids import AlbumId
from tests.service.history.world import HistoryWorld


def named(world: HistoryWorld, owner: Person, name: str) -> AlbumId:
    return world.run(world.albums.create(owner, AlbumDraft(name), asked=world.use(owner))).record.album


def found(world: HistoryWorld, person: Person, wanted: AlbumFilter) -> list[str]:
    views, total = world.run(world.albums.list(person, wanted, AlbumSort("name", descending=False), Page()))
    assert total == len(views)
    return [view.record.name for view in views]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("heart", ["Heart"]),
        ("heart*", ["Heart", "Hearts 100%"]),
        ("*100%", ["Hearts 100%"]),
        ("h%", []),
        ("H____", []),
        ("*", ["Heart", "Hearts 100%", "Lungs"]),
        ("*a*s*", ["Hearts 100%"]),
    ],
)
def test_a_name_matches_whole_with_stars_for_anything(world: HistoryWorld, pattern: str, expected: list[str]) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    for name in ("Heart", "Hearts 100%", "Lungs"):
        named(world, alice, name)
    named(world, bob, "Heart of Bob")
    assert found(world, alice, AlbumFilter(name=pattern)) == expected


def test_fuzzy_matching_adds_names_that_sound_alike(world: HistoryWorld) -> None:
    alice = world.person("alice")
    for name in ("Robert", "Lungs", "123", "456"):
        named(world, alice, name)
    assert found(world, alice, AlbumFilter(name="Rupert")) == []
    assert found(world, alice, AlbumFilter(name="Rupert", sounds_like=True)) == ["Robert"]
    assert found(world, alice, AlbumFilter(name="Lungs", sounds_like=True)) == ["Lungs"]
    assert found(world, alice, AlbumFilter(name="123", sounds_like=True)) == ["123"]
    assert found(world, alice, AlbumFilter(name="Å*ü", sounds_like=True)) == []


def test_days_are_those_of_utc_with_both_ends(world: HistoryWorld) -> None:
    alice = world.person("alice")
    named(world, alice, "late")
    named(world, alice, "early")
    world.execute(
        "UPDATE albums SET created_at = :at, last_event_at = :at WHERE name = 'early'",
        at=datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    )
    world.execute(
        "UPDATE albums SET created_at = :at, last_event_at = :at WHERE name = 'late'",
        at=datetime(2026, 2, 1, tzinfo=UTC),
    )
    january, february = date(2026, 1, 31), date(2026, 2, 1)
    for days, expected in (
        (Days(january, january), ["early"]),
        (Days(february, None), ["late"]),
        (Days(None, january), ["early"]),
        (Days(january, february), ["early", "late"]),
        (Days(date.max, None), []),
        (Days(None, date.max), ["early", "late"]),
    ):
        assert found(world, alice, AlbumFilter(created=days)) == expected
        assert found(world, alice, AlbumFilter(last_event=days)) == expected


def test_a_modality_is_that_of_a_series_which_the_album_holds_now(world: HistoryWorld) -> None:
    alice = world.person("alice")
    for name in ("ct", "mr", "reserved"):
        named(world, alice, name)
    key = {name: world.scalar("SELECT pk FROM albums WHERE name = :name", name=name) for name in ("ct", "mr")}
    world.series(key["ct"], modality="CT")
    world.series(key["mr"], world.inbox(alice), modality="MR")
    world.series(world.scalar("SELECT pk FROM albums WHERE name = 'reserved'"), modality="CT", state="reserved")
    assert found(world, alice, AlbumFilter(modality="ct")) == ["ct"]
    assert found(world, alice, AlbumFilter(modality="MR")) == ["mr"]
    assert found(world, alice, AlbumFilter(modality="C*")) == []


def test_numbers_order_albums_by_what_the_caller_sees(world: HistoryWorld) -> None:
    alice, bob, carol = (world.person(sub) for sub in ("alice", "bob", "carol"))
    albums = [world.album(alice), world.album(alice, bob), world.album(alice, bob, carol)]
    for number, album in enumerate(albums):
        for _ in range(3 - number):
            world.series(world.key(album))
    one = world.series(world.key(albums[2]))
    for _ in range(3):
        world.series(world.key(albums[2]), study=one.study)
    assert world.say(alice, albums[1], "aloud") == "ok"
    for _ in range(3):
        assert world.say(bob, albums[2], "psst", to="carol") == "ok"

    def ordered(key: str, *, descending: bool) -> list[AlbumId]:
        views, _ = world.run(world.albums.list(alice, AlbumFilter(), AlbumSort(key, descending=descending), Page()))
        return [view.record.album for view in views]

    assert ordered("number_of_users", descending=True) == albums[::-1]
    assert ordered("number_of_users", descending=False) == albums
    # Albums 1 and 2 hold two studies each; of the private comments in album 2 Alice knows nothing.
    assert ordered("number_of_studies", descending=True)[0] == albums[0]
    assert ordered("number_of_studies", descending=False)[-1] == albums[0]
    assert ordered("number_of_comments", descending=True)[0] == albums[1]


@pytest.mark.parametrize("key", ALBUM_SORTS)
def test_pages_of_each_order_neither_repeat_nor_skip(world: HistoryWorld, key: str) -> None:
    alice = world.person("alice")
    albums = {named(world, alice, "same") for _ in range(5)}
    world.execute("UPDATE albums SET created_at = now(), last_event_at = now()")
    for descending in (True, False):
        seen = []
        for offset in (0, 2, 4):
            views, total = world.run(
                world.albums.list(alice, AlbumFilter(), AlbumSort(key, descending=descending), Page(2, offset))
            )
            assert total == 5
            seen += [view.record.album for view in views]
        assert (len(seen), set(seen)) == (5, albums)
