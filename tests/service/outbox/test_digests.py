"""Mails about what is new: to whom, of what, and without a word of a patient."""

from datetime import timedelta

from sqlalchemy import text

from kheops.domain.albums import AlbumEdit
from kheops.domain.comments import CommentDraft
from kheops.domain.principals import Person
from kheops.ids import AlbumId
from kheops.storage import holdings
from tests.service.outbox.world import HOST, OutboxWorld

DAY = timedelta(hours=24)


def wants(world: OutboxWorld, person: Person, album: AlbumId, *, series: bool = True, comments: bool = True) -> None:
    edit = AlbumEdit(notification_new_series=series, notification_new_comment=comments)
    assert world.outcome(world.albums.edit(person, album, edit, asked=world.use(person))) == "ok"


def say(world: OutboxWorld, by: Person, album: AlbumId, to: str | None = None) -> None:
    draft = CommentDraft("The tumour of Mr Smith", to)
    assert world.outcome(world.comments.on_album(by, album, draft, asked=world.use(by))) == "ok"


def store(world: OutboxWorld, by: Person, album: AlbumId) -> None:
    series = world.series(world.inbox(by))
    world.execute("UPDATE series SET patient_name = 'Smith^John', study_description = 'Smith'")
    assert world.put(by, series, album) == "ok"


def a_day_later(world: OutboxWorld) -> list[str]:
    """Let a day pass, deliver what is due, and return the texts of the mails that came of it."""
    before = len(world.mailer.mails)
    world.moved += DAY
    world.run(world.digests().add_due())
    world.deliver()
    return [mail.text for mail in world.mailer.mails[before:]]


def begun(world: OutboxWorld) -> tuple[Person, Person, AlbumId]:
    """Return Alice, and Bob who wants notifications, and their album, at the beginning of a day."""
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    wants(world, bob, album)
    world.run(world.digests().add_due())
    return alice, bob, album


def test_one_mail_a_day_names_albums_and_counts_only(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    world.moved += timedelta(hours=1)
    for _ in range(2):
        store(world, alice, album)
    say(world, alice, album)
    [text] = a_day_later(world)
    assert "- An album: 2 new series, 1 new comment\n" in text
    assert f"{HOST}/\n" in text
    assert world.mailer.mails[0].recipient == "bob@example.org"
    for word in ("Smith", "tumour", "1.2.", "Alice"):
        assert word not in text + world.mailer.mails[0].subject
    assert a_day_later(world) == []


def test_nothing_new_is_no_mail(world: OutboxWorld) -> None:
    begun(world)
    assert a_day_later(world) == []
    assert world.waiting() == []


def test_it_is_not_sent_before_the_interval_is_over(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    say(world, alice, album)
    world.moved += timedelta(hours=23)
    assert world.run(world.digests().add_due()) == 0


def test_own_doings_are_no_news(world: OutboxWorld) -> None:
    _, bob, album = begun(world)
    store(world, bob, album)
    say(world, bob, album)
    assert a_day_later(world) == []


def test_only_what_was_asked_for(world: OutboxWorld) -> None:
    alice, bob, album = begun(world)
    wants(world, bob, album, series=False)
    world.moved += timedelta(hours=1)
    store(world, alice, album)
    say(world, alice, album)
    [text] = a_day_later(world)
    assert "1 new comment" in text
    assert "series" not in text


def test_private_comments_of_others_are_not_counted(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    carol = world.person("carol")
    world.execute(
        "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) VALUES (:a, :u, false, now())",
        a=world.key(album),
        u=carol.user,
    )
    world.moved += timedelta(hours=1)
    say(world, alice, album, "carol")
    assert a_day_later(world) == []
    say(world, alice, album, "bob")
    assert "1 new comment" in a_day_later(world)[0]


def test_who_has_left_hears_nothing(world: OutboxWorld) -> None:
    alice, bob, album = begun(world)
    world.moved += timedelta(hours=1)
    say(world, alice, album)
    world.moved += DAY
    assert world.run(world.digests().add_due()) == 1
    # Between the task and its sending.
    assert world.outcome(world.albums.members.remove(bob, album, "bob", asked=world.use(bob))) == "ok"
    world.deliver()
    assert world.mailer.mails == []


def test_who_is_suspended_or_unverified_hears_nothing(world: OutboxWorld) -> None:
    for change in ("suspended_at = now()", "email_verified = false", "email = NULL"):
        world.empty()
        alice, bob, album = begun(world)
        world.moved += timedelta(hours=1)
        say(world, alice, album)
        world.execute(f"UPDATE users SET {change} WHERE pk = :pk", pk=bob.user)
        assert a_day_later(world) == [], change


def test_what_was_before_one_joined_or_asked_is_no_news(world: OutboxWorld) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    say(world, alice, album)
    world.moved += timedelta(hours=1)
    wants(world, bob, album)
    world.run(world.digests().add_due())
    assert a_day_later(world) == []


def test_what_came_while_one_wanted_nothing_is_no_news(world: OutboxWorld) -> None:
    alice, bob, album = begun(world)
    wants(world, bob, album, series=False, comments=False)
    say(world, alice, album)
    assert a_day_later(world) == []
    wants(world, bob, album)
    world.run(world.digests().add_due())
    assert a_day_later(world) == []


def test_several_workers_add_one_digest(world: OutboxWorld) -> None:
    begun(world)
    world.moved += DAY
    digests = world.digests()

    async def both() -> int:
        import asyncio

        return sum(await asyncio.gather(digests.add_due(), digests.add_due(), digests.add_due()))

    assert world.run(both()) == 1


def test_a_name_of_an_album_makes_no_lines(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    world.execute("UPDATE albums SET name = E'A\\nB\\u202e' WHERE kind = 'album'")
    world.moved += timedelta(hours=1)
    say(world, alice, album)
    assert "- A B: 1 new comment\n" in a_day_later(world)[0]


def test_what_is_committed_late_is_in_one_digest_all_the_same(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    series = world.series(world.inbox(alice))
    pk = world.scalar("SELECT pk FROM series WHERE series_instance_uid = :uid", uid=series.series)
    world.moved += DAY - timedelta(seconds=1)
    with world.database.connect() as connection, connection.begin():
        holdings.add_series(connection, album=world.key(album), series_pk=pk, by=alice.user, at=world.now())
        connection.execute(
            text("INSERT INTO comments (album_pk, user_pk, comment, is_private, at) VALUES (:a, :u, 'x', false, :at)"),
            {"a": world.key(album), "u": alice.user, "at": world.now()},
        )
        world.moved += timedelta(seconds=1)
        world.run(world.digests().add_due())
        world.deliver()
    assert world.mailer.mails == []
    [told] = a_day_later(world)
    assert "1 new series, 1 new comment" in told
    assert a_day_later(world) == []


def test_each_thing_is_told_once_over_many_digests(world: OutboxWorld) -> None:
    alice, _, album = begun(world)
    for minutes in (1, 4, 5, 6, 700, 1434, 1436, 1439):
        world.execute(
            "INSERT INTO comments (album_pk, user_pk, comment, is_private, at) VALUES (:a, :u, 'x', false, :at)",
            a=world.key(album),
            u=alice.user,
            at=world.now() + timedelta(minutes=minutes),
        )
    texts = [*a_day_later(world), *a_day_later(world), *a_day_later(world)]
    told = [int(line.split(": ")[1].split()[0]) for each in texts for line in each.splitlines() if "new com" in line]
    assert told == [6, 2]


def test_what_was_there_before_one_joined_is_no_news(world: OutboxWorld) -> None:
    alice, bob, album = begun(world)
    other = world.album(alice)
    world.moved += timedelta(hours=1)
    say(world, alice, other)
    store(world, alice, other)
    world.moved += timedelta(hours=1)
    assert world.outcome(world.albums.members.add(alice, other, "bob", asked=world.use(alice))) == "ok"
    wants(world, bob, other)
    say(world, alice, album)
    [told] = a_day_later(world)
    assert [line for line in told.splitlines() if line.startswith("- ")] == ["- An album: 1 new comment"]
