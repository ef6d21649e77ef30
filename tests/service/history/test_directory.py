"""Looking people up: those whom somebody has to do with, and nobody else."""

import pytest

from kheops.domain.albums import Page
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.directory import Whereabouts
from tests.service.history.world import HistoryWorld

ABSENT = StudyInstanceUID("1.2.999")


def test_a_search_finds_those_who_share_an_album_and_nobody_else(world: HistoryWorld) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    world.person("dave")
    world.album(alice, bob)
    world.album(bob, carol)
    # An inbox is shared with nobody, whatever it holds.
    world.series(world.inbox(alice), world.inbox(carol))
    assert world.people(alice, "example.org") == []
    for wanted, expected in (("bob", ["bob"]), ("BOB", ["bob"]), ("carol", []), ("dave", []), ("alice", [])):
        assert world.people(alice, wanted) == expected
    assert world.people(bob, "carol") == ["carol"]


def test_names_match_anywhere_and_addresses_before_the_at_sign(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob", email="b.smith@example.org")
    world.album(alice, bob)
    world.execute("UPDATE users SET name = 'Bob 100%_Jones' WHERE sub = 'bob'")
    for wanted in ("Jones", "jone", "smith", "b.smith@", "b.smith@exam", "100%_J"):
        assert world.people(alice, wanted) == ["bob"]
    for wanted in ("smith@example", "example", "%%%", "___", "B__", "\\\\\\"):
        assert world.people(alice, wanted) == []


def test_an_address_that_nobody_vouches_for_is_neither_matched_nor_shown(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob", email="other@example.org", verified=False)
    world.album(alice, bob)
    assert world.people(alice, "other") == []
    (found,), _ = world.run(world.directory.search(alice, "bob", Whereabouts(), Page()))
    assert (found.sub, found.email) == ("bob", None)


def test_suspended_people_are_not_found(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    world.suspend(bob)
    assert world.people(alice, "bob") == world.people(alice, "bob", album=album) == []


def test_a_search_with_an_album_finds_its_members(world: HistoryWorld) -> None:
    alice, bob, carol, eve = (world.person(sub) for sub in ("alice", "bob", "carol", "eve"))
    first, _ = world.album(alice, bob), world.album(alice, carol)
    assert world.people(alice, "bob", album=first) == ["bob"]
    assert world.people(alice, "carol", album=first) == []
    for target in (first, AlbumId("absent0000")):
        asked = world.directory.search(eve, "bob", Whereabouts(target), Page())
        assert world.outcome(asked) == "AlbumNotFoundError"


def test_a_search_with_a_study_finds_who_reads_the_same_series(world: HistoryWorld) -> None:
    alice, bob, carol, dave = (world.person(sub) for sub in ("alice", "bob", "carol", "dave"))
    seen = world.series(world.inbox(alice), world.inbox(bob))
    # Carol reads another series of the study, of which Alice must not learn.
    world.series(world.inbox(carol), study=seen.study)
    album = world.album(alice, dave)
    other = world.album(alice, bob, carol)
    stranger = world.person("eve")
    world.execute(
        "INSERT INTO album_series (album_pk, series_pk, added_at) SELECT :inbox, pk, now() FROM series "
        "WHERE series_instance_uid = :uid",
        inbox=world.inbox(stranger),
        uid=seen.series,
    )
    assert world.people(alice, "eve", study=seen.study) == [], "a hit would tell the name of somebody unknown"
    assert world.people(alice, "bob", study=seen.study, album=other) == ["bob"]
    for sub, expected in (("bob", ["bob"]), ("carol", []), ("dave", []), ("alice", [])):
        assert world.people(alice, sub, study=seen.study) == expected
    assert world.people(alice, "bob", study=seen.study, album=album) == []
    for study in (seen.study, ABSENT):
        asked = world.directory.search(dave, "bob", Whereabouts(study=study), Page())
        assert world.outcome(asked) == "NotFoundError"


def test_people_come_in_pages_ordered_by_address(world: HistoryWorld) -> None:
    alice = world.person("alice")
    others = [world.person(f"user{number}") for number in (3, 1, 2)]
    world.album(alice, *others)
    pages = [world.people(alice, "user", page=Page(2, offset)) for offset in (0, 2, 4)]
    assert pages == [["user1", "user2"], ["user3"], []]
    assert world.run(world.directory.search(alice, "user", Whereabouts(), Page(1, 2)))[1] == 3


def test_a_reference_tells_access_to_what_the_caller_reaches(world: HistoryWorld) -> None:
    alice, bob, carol = (world.person(sub) for sub in ("alice", "bob", "carol"))
    album = world.album(alice, bob)
    series = world.series(world.inbox(alice), world.inbox(bob))
    world.series(world.inbox(carol), study=series.study)

    def access(sub: str, whereabouts: Whereabouts) -> tuple[bool | None, bool | None]:
        found = world.run(world.directory.find(alice, sub, whereabouts))
        return found.album_access, found.study_access

    assert access("bob", Whereabouts()) == (None, None)
    assert access("bob", Whereabouts(album, series.study)) == (True, True)
    assert access("carol@example.org", Whereabouts(album, series.study)) == (False, False)
    asked = world.directory.find(alice, "nobody", Whereabouts(album))
    assert world.outcome(asked) == "UserNotFoundError"
    for study in (series.study, ABSENT):
        eve = world.directory.find(world.person("eve"), "bob", Whereabouts(study=study))
        assert world.outcome(eve) == "NotFoundError"


def test_a_reference_tells_name_and_address_of_those_whom_one_has_to_do_with(world: HistoryWorld) -> None:
    alice, bob, carol = (world.person(sub) for sub in ("alice", "bob", "carol"))
    world.album(alice, bob)
    # An inbox is shared with nobody, whatever it holds.
    world.series(world.inbox(alice), world.inbox(carol))
    world.execute("UPDATE users SET name = initcap(sub)")

    def told(reference: str) -> tuple[str | None, str | None, str]:
        person = world.run(world.directory.find(alice, reference, Whereabouts())).person
        return person.email, person.name, person.sub

    assert told("bob") == ("bob@example.org", "Bob", "bob")
    assert told("alice") == ("alice@example.org", "Alice", "alice")
    # Whoever asks by the address has it already; the name lets them see that it is the right person.
    assert told("carol@example.org") == ("carol@example.org", "Carol", "carol")
    assert told("carol") == (None, None, "carol")


@pytest.mark.parametrize("letters", ["", "w", "r", "rwad"])
def test_no_token_of_a_person_looks_anybody_up(world: HistoryWorld, letters: str) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    world.album(alice, bob)
    token = world.user_token(alice, letters)
    for asked in (
        world.directory.search(token, "bob", Whereabouts(), Page()),
        world.directory.find(token, "bob", Whereabouts()),
        world.directory.find(token, "alice@example.org", Whereabouts()),
        world.directory.find(token, "nobody", Whereabouts()),
        world.directory.find(token, "bob", Whereabouts(AlbumId("absent0000"), ABSENT)),
    ):
        assert world.outcome(asked) == "ForbiddenError"


def test_a_token_of_an_album_looks_nobody_up(world: HistoryWorld) -> None:
    alice = world.person("alice")
    token = world.album_token(alice, world.album(alice), "rwa")
    assert world.outcome(world.directory.search(token, "bob", Whereabouts(), Page())) == "ForbiddenError"
    assert world.outcome(world.directory.find(token, "alice", Whereabouts())) == "ForbiddenError"
