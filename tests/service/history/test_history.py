"""Histories of albums: what they tell, to whom, and by which filters."""

from datetime import UTC, datetime, timedelta

import pytest

from kheops.domain.albums import Page
from kheops.domain.history import HistoryFilter, MutationFilter
from kheops.domain.mutations import FAMILIES, MutationType
from kheops.domain.named_people import NamedPerson
from kheops.domain.principals import Person
from kheops.ids import AlbumId, CapabilityId, StudyInstanceUID
from kheops.services.history import Comment, Event
from kheops.storage.holdings import Selection
from tests.service.history.world import HistoryWorld


def mutations(wanted: MutationFilter) -> HistoryFilter:
    return HistoryFilter(comments=False, mutations=wanted)


@pytest.fixture
def scene(world: HistoryWorld) -> tuple[Person, Person, AlbumId, Selection, Selection]:
    """Give an album into which Alice put two studies, and Bob removed the second."""
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    assert world.outcome(world.albums.members.promote(alice, album, "bob", asked=world.use(alice))) == "ok"
    first, second = world.series(world.inbox(alice)), world.series(world.inbox(alice))
    world.execute(
        "UPDATE series SET study_description = 'Thorax', series_description = series_instance_uid WHERE true"
    )
    assert world.put(alice, first, album) == "ok"
    assert world.put(alice, Selection(second.study), album) == "ok"
    assert world.say(bob, album, "thanks") == "ok"
    assert world.drop(bob, second, album) == "ok"
    return alice, bob, album, first, second


Scene = tuple[Person, Person, AlbumId, Selection, Selection]


def test_events_and_comments_come_newest_first(world: HistoryWorld, scene: Scene) -> None:
    alice, bob, album, *_ = scene
    expected = ["REMOVE_SERIES", "thanks", "IMPORT_STUDY", "IMPORT_SERIES", "ADD_ADMIN", "CREATE_ALBUM"]
    assert world.seen(alice, album) == world.seen(bob, album) == expected
    assert world.seen(alice, album, HistoryFilter(mutations=None)) == ["thanks"]
    assert world.seen(alice, album, mutations(MutationFilter())) == [each for each in expected if each != "thanks"]


def test_pages_neither_repeat_nor_skip(world: HistoryWorld, scene: Scene) -> None:
    alice, _, album, *_ = scene
    whole = world.events_seen(alice, album)
    pages = [world.events_seen(alice, album, page=Page(2, offset)) for offset in (0, 2, 4)]
    assert [entry for page in pages for entry in page.entries] == list(whole.entries)
    assert {page.total for page in pages} == {whole.total} == {6}


def test_only_series_that_are_still_in_the_album_are_described(world: HistoryWorld, scene: Scene) -> None:
    alice, bob, album, first, second = scene
    assert first.series is not None
    page = world.events_seen(bob, album)
    events = [entry for entry in page.entries if isinstance(entry, Event) and entry.series]
    assert [(event.kind.value, event.study, list(event.series)) for event in events] == [
        ("REMOVE_SERIES", second.study, [second.series]),
        ("IMPORT_STUDY", second.study, [second.series]),
        ("IMPORT_SERIES", first.study, [first.series]),
    ]
    # Alice still has the second in her inbox: what describes it is told to nobody through the album.
    for reader in (alice, bob):
        present = world.events_seen(reader, album).present
        assert {uid: each.study_description for uid, each in present.items()} == {first.series: "Thorax"}


def test_people_show_with_what_they_are_in_the_album_now(world: HistoryWorld, scene: Scene) -> None:
    alice, _, album, *_ = scene
    assert world.outcome(world.albums.members.remove(alice, album, "bob", asked=world.use(alice))) == "ok"
    page = world.events_seen(alice, album)
    by = {(entry.author if isinstance(entry, Comment) else entry.by) for entry in page.entries}
    assert {(each.sub, each.email, each.can_access, each.is_admin) for each in by if each} == {
        ("alice", "alice@example.org", True, True),
        ("bob", "bob@example.org", False, None),
    }
    removed = page.entries[0]
    assert isinstance(removed, Event)
    assert (removed.kind.value, removed.to and removed.to.sub) == ("REMOVE_USER", "bob")


def test_an_address_that_nobody_vouches_for_does_not_show(world: HistoryWorld) -> None:
    alice = world.person("alice", verified=False)
    album = world.album(alice)
    event = world.events_seen(alice, album).entries[0]
    assert isinstance(event, Event)
    assert event.by is not None
    assert (event.by.sub, event.by.email) == ("alice", None)


def test_each_filter_finds_what_it_is_for(world: HistoryWorld, scene: Scene) -> None:
    alice, _, album, first, second = scene
    assert first.series is not None
    assert second.series is not None

    def found(wanted: MutationFilter) -> list[str]:
        return world.seen(alice, album, mutations(wanted))

    kinds = frozenset({MutationType.IMPORT_STUDY, MutationType.ADD_ADMIN})
    assert found(MutationFilter(kinds=kinds)) == ["IMPORT_STUDY", "ADD_ADMIN"]
    assert found(MutationFilter(kinds=FAMILIES["users"])) == ["ADD_ADMIN"]
    assert found(MutationFilter(kinds=FAMILIES["webhooks"])) == []
    assert found(MutationFilter(users=frozenset({NamedPerson("bob")}))) == ["REMOVE_SERIES"]
    assert found(MutationFilter(users=frozenset({NamedPerson(" BOB@example.org")}))) == ["REMOVE_SERIES"]
    assert found(MutationFilter(users=frozenset({NamedPerson("nobody"), NamedPerson("nobody@example.org")}))) == []
    assert found(MutationFilter(studies=frozenset({second.study}))) == ["REMOVE_SERIES", "IMPORT_STUDY"]
    assert found(MutationFilter(series=frozenset({first.series}))) == ["IMPORT_SERIES"]
    both = frozenset({first.series, second.series})
    assert found(MutationFilter(series=both)) == ["REMOVE_SERIES", "IMPORT_STUDY", "IMPORT_SERIES"]
    assert found(MutationFilter(series=both, studies=frozenset({first.study}))) == ["IMPORT_SERIES"]
    assert found(MutationFilter(studies=frozenset({StudyInstanceUID("1.2.999")}))) == []


def test_times_hold_to_the_second_at_both_ends(world: HistoryWorld, scene: Scene) -> None:
    alice, _, album, *_ = scene
    at = datetime(2026, 5, 4, 12, 0, 0, 900_000, tzinfo=UTC)
    world.execute("UPDATE events SET at = :at WHERE mutation_type = 'ADD_ADMIN'", at=at)
    world.execute("UPDATE events SET at = :at WHERE mutation_type <> 'ADD_ADMIN'", at=at + timedelta(days=1))
    second = at.replace(microsecond=0)
    for wanted, expected in (
        (MutationFilter(end=second), ["ADD_ADMIN"]),
        (MutationFilter(end=second - timedelta(seconds=1)), []),
        (MutationFilter(start=second, end=second), ["ADD_ADMIN"]),
        (MutationFilter(start=second + timedelta(seconds=1), end=second + timedelta(seconds=2)), []),
    ):
        assert world.seen(alice, album, mutations(wanted)) == expected


def test_what_a_token_of_the_album_did_names_it_and_is_found_by_it(world: HistoryWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.execute(
        "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, album_pk, read_permission, "
        "write_permission, appropriate_permission, download_permission, issued_at, not_before, expires_at) "
        "VALUES ('cap0000002', '\\x00', 'Scanner', 'album', :user, :album, true, true, true, false, "
        "now(), now(), now())",
        user=alice.user,
        album=world.key(album),
    )
    series = world.series(world.key(album))
    assert world.drop(world.album_token(alice, album, "rw"), series, album) == "ok"
    event = world.events_seen(alice, album).entries[0]
    assert isinstance(event, Event)
    assert event.capability == ("cap0000002", "Scanner")
    for capability, expected in (("cap0000002", ["REMOVE_SERIES"]), ("cap0000009", [])):
        wanted = MutationFilter(capabilities=frozenset({CapabilityId(capability)}))
        assert world.seen(alice, album, mutations(wanted)) == expected


def test_a_history_is_for_members_and_for_no_token_of_the_album(world: HistoryWorld, scene: Scene) -> None:
    alice, bob, album, *_ = scene
    eve = world.person("eve")

    def outcome(principal: object, of: AlbumId = album) -> str:
        return world.outcome(world.history.of_album(principal, of, HistoryFilter(), Page()))  # type: ignore[arg-type]

    assert outcome(bob) == "ok"
    assert outcome(eve) == outcome(eve, AlbumId("absent0000")) == "AlbumNotFoundError"
    assert outcome(world.album_token(alice, album, "rwa")) == "ForbiddenError"
    assert outcome(world.user_token(alice, "w")) == "ForbiddenError"
    assert outcome(world.user_token(alice, "r")) == "ok"
    world.suspend(bob)
    assert outcome(bob) == "AlbumNotFoundError"
