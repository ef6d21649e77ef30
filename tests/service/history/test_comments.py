"""Comments: who may write them, who reads them, and when they go."""

from datetime import timedelta

import pytest

from kheops.domain.albums import Page
from kheops.domain.principals import Person
from kheops.domain.resources import AlbumFlags
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.storage.holdings import Selection
from tests.service.control.world import at_once
from tests.service.history.world import HistoryWorld

NOWHERE = Selection(StudyInstanceUID("1.2.999"))


def test_members_comment_and_all_members_read(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    assert world.say(alice, album, "first") == "ok"
    assert world.say(bob, album, "second") == "ok"
    for reader in (alice, bob):
        assert world.seen(reader, album) == ["second", "first", "CREATE_ALBUM"]
        assert world.run(world.albums.get(reader, album, None)).record.number_of_comments == 2
    assert world.audit()[-1][:2] == ("comment-written", album)


def test_a_plain_member_comments_only_where_the_album_lets_members(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob, flags=AlbumFlags(write_comments=False))
    assert world.say(bob, album, "no") == "ForbiddenError"
    assert world.say(alice, album, "yes") == "ok"
    assert world.seen(bob, album) == ["yes", "CREATE_ALBUM"]


def test_an_album_is_hidden_from_who_is_no_member(world: HistoryWorld) -> None:
    alice, eve = world.person("alice"), world.person("eve")
    album = world.album(alice)
    for target in (album, AlbumId("absent0000")):
        assert world.say(eve, target, "hello") == "AlbumNotFoundError"
        assert world.say(eve, target, "hello", to="alice") == "AlbumNotFoundError"
    assert world.seen(alice, album) == ["CREATE_ALBUM"]


def test_a_private_comment_is_seen_and_counted_by_two_only(world: HistoryWorld) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob, carol)
    assert world.say(bob, album, "psst", to="carol@example.org") == "ok"
    for reader, sees in ((bob, True), (carol, True), (alice, False)):
        assert world.seen(reader, album) == (["psst"] if sees else []) + ["CREATE_ALBUM"]
        assert world.events_seen(reader, album).total == 1 + sees
        assert world.run(world.albums.get(reader, album, None)).record.number_of_comments == sees


def test_a_private_comment_does_not_move_the_time_of_last_event(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    before = world.run(world.albums.get(alice, album, None)).record.last_event_at
    world.moved = timedelta(hours=1)
    assert world.say(alice, album, "psst", to="bob") == "ok"
    assert world.run(world.albums.get(alice, album, None)).record.last_event_at == before
    assert world.say(alice, album, "aloud") == "ok"
    assert world.run(world.albums.get(alice, album, None)).record.last_event_at > before


def test_a_private_comment_is_for_a_member(world: HistoryWorld) -> None:
    alice = world.person("alice")
    world.person("eve")
    album = world.album(alice)
    assert world.say(alice, album, "psst", to="eve") == "UserNotFoundError"
    assert world.say(alice, album, "psst", to="nobody@example.org") == "UserNotFoundError"
    assert world.seen(alice, album) == ["CREATE_ALBUM"]


@pytest.mark.parametrize(
    ("letters", "reads", "writes"),
    [
        ("r", "ok", "ForbiddenError"),
        ("w", "ForbiddenError", "ForbiddenError"),
        ("rw", "ok", "ok"),
        ("", "ForbiddenError", "ForbiddenError"),
    ],
)
def test_a_token_of_user_scope_needs_to_read_as_well_as_write(
    world: HistoryWorld, letters: str, reads: str, writes: str
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    series = world.series(world.inbox(alice))
    token = world.user_token(alice, letters)
    assert world.say(token, album, "x") == writes
    assert world.say(token, series, "x") == writes
    assert world.outcome(world.comments.of_study(token, series.study, Page())) == reads


def test_a_token_of_an_album_neither_reads_nor_writes_comments_on_its_studies(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    inside, outside = world.series(world.key(album)), world.series(world.inbox(alice))
    assert world.say(alice, inside, "aloud") == "ok"
    assert world.say(alice, inside, "psst", to="bob") == "ok"
    token = world.album_token(alice, album, "rwa")
    for study in (inside.study, outside.study, NOWHERE.study):
        assert world.outcome(world.comments.of_study(token, study, Page())) == "ForbiddenError"
    assert world.say(token, inside, "x") == "ForbiddenError"
    assert world.say(token, album, "x") == "ForbiddenError"
    writing = world.comments.of_study(world.album_token(alice, album, "w"), inside.study, Page())
    assert world.outcome(writing) == "ForbiddenError"


def test_a_study_is_commented_on_by_whoever_reads_a_series_of_it(world: HistoryWorld) -> None:
    alice, bob, eve = world.person("alice"), world.person("bob"), world.person("eve")
    album = world.album(alice, bob)
    series = world.series(world.key(album))
    assert world.say(alice, series, "from alice") == "ok"
    assert world.say(bob, series, "from bob") == "ok"
    assert world.said_of(alice, series.study) == world.said_of(bob, series.study) == ["from bob", "from alice"]
    assert world.audit()[-1][0] == "comment-written"
    for study in (series, NOWHERE):
        assert world.say(eve, study, "hello") == "NotFoundError"
        assert world.say(eve, study, "hello", to="nobody") == "NotFoundError"
        assert world.outcome(world.comments.of_study(eve, study.study, Page())) == "NotFoundError"


@pytest.mark.parametrize("state", ["reserved", "orphan", "deleting"])
def test_a_study_that_is_not_confirmed_has_no_comments(world: HistoryWorld, state: str) -> None:
    alice = world.person("alice")
    series = world.series(world.inbox(alice), state=state)
    assert world.say(alice, series, "hello") == "NotFoundError"


def test_a_private_comment_on_a_study_is_for_somebody_who_reads_the_same_series(world: HistoryWorld) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob)
    series = world.series(world.key(album))
    # Carol reads the study too, by a series that Bob does not know of.
    world.series(world.inbox(carol), study=series.study)
    assert world.say(bob, series, "psst", to="carol") == "UserNotFoundError"
    assert world.say(bob, series, "psst", to="nobody") == "UserNotFoundError"
    assert world.say(bob, series, "psst", to="alice@example.org") == "ok"
    assert world.say(carol, series, "aloud") == "ok"
    assert world.said_of(bob, series.study) == world.said_of(alice, series.study) == ["psst"]
    assert world.said_of(carol, series.study) == ["aloud"]


def test_a_public_comment_on_a_study_shows_while_its_author_reads_a_series_that_the_reader_reads(
    world: HistoryWorld,
) -> None:
    alice, bob, dave = world.person("alice"), world.person("bob"), world.person("dave")
    common = world.series(world.inbox(alice), world.inbox(bob))
    world.series(world.inbox(alice), world.inbox(dave), study=common.study)
    for person in (alice, bob, dave):
        assert world.say(person, common, f"by {person.sub}") == "ok"

    def said(person: Person) -> tuple[list[str], int]:
        texts = world.said_of(person, common.study)
        assert world.run(world.comments.of_study(person, common.study, Page()))[1] == len(texts)
        return texts, world.counted(person, common.study)

    assert said(alice) == (["by dave", "by bob", "by alice"], 3)
    assert said(bob) == (["by bob", "by alice"], 2)
    assert said(dave) == (["by dave", "by alice"], 2)
    world.suspend(alice)
    comments, _ = world.run(world.comments.of_study(bob, common.study, Page()))
    seen = [(each.author and each.author.sub, each.author and each.author.can_access) for each in comments]
    assert seen == [("bob", True), ("alice", False)], "a suspended author's stays"
    assert world.drop(bob, common) == "ok"
    assert world.take(bob, common) == "NotFoundError"
    assert said(dave) == (["by dave", "by alice"], 2)


def test_comments_come_in_pages_the_newest_first(world: HistoryWorld) -> None:
    alice = world.person("alice")
    series = world.series(world.inbox(alice))
    for text in ("1", "2", "3", "4", "5"):
        assert world.say(alice, series, text) == "ok"
    pages = [world.said_of(alice, series.study, Page(2, offset)) for offset in (0, 2, 4, 6)]
    assert pages == [["5", "4"], ["3", "2"], ["1"], []]
    assert world.run(world.comments.of_study(alice, series.study, Page(2, 4)))[1] == 5


def test_comments_go_with_the_last_series_of_a_study(world: HistoryWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    first = world.series(world.inbox(alice))
    second = world.series(world.inbox(alice), study=first.study)
    assert world.say(alice, first, "of the first life") == "ok"
    world.execute("DELETE FROM series WHERE series_instance_uid = :uid", uid=first.series)
    assert world.said_of(alice, first.study) == ["of the first life"]
    world.execute("DELETE FROM series WHERE series_instance_uid = :uid", uid=second.series)
    world.series(world.inbox(bob), study=first.study)
    assert world.said_of(bob, first.study) == []


def test_a_private_comment_stays_private_when_the_other_is_erased(world: HistoryWorld) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob, carol)
    series = world.series(world.key(album))
    assert world.say(alice, album, "psst", to="carol") == "ok"
    assert world.say(alice, series, "psst", to="carol") == "ok"
    world.execute("DELETE FROM users WHERE sub = 'carol'")
    assert world.seen(bob, album) == ["CREATE_ALBUM"]
    assert world.said_of(bob, series.study) == []
    assert world.seen(alice, album) == ["psst", "CREATE_ALBUM"]


def test_a_comment_is_not_for_somebody_who_leaves_at_the_same_time(world: HistoryWorld) -> None:
    for round_ in range(5):
        alice, bob = world.person(f"alice{round_}"), world.person(f"bob{round_}")
        album = world.album(alice, bob)
        said, left = at_once(
            lambda: world.say(alice, album, "psst", to=bob.sub),  # noqa: B023 - run before the next round
            lambda: world.outcome(world.albums.members.remove(alice, album, bob.sub, asked=world.use(alice))),  # noqa: B023
        )
        assert (said in {"ok", "UserNotFoundError"}, left) == (True, "ok")
        written = world.scalar("SELECT count(*) FROM comments WHERE album_pk = :pk", pk=world.key(album))
        assert written == (said == "ok")
