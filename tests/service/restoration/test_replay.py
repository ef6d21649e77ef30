"""Replaying the log of changes of grants to an older copy of the database; real PostgreSQL, no processes."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, text

from kheops.domain.grant_log import EVENT
from kheops.domain.profiles import Profile
from kheops.errors import BadRequestError, ConflictError
from kheops.services.grant_log import GrantLog
from kheops.services.restoration import Replayed, Restoring
from kheops.storage import erasure, people
from kheops.storage.engine import Database, connection_arguments
from tests.postgres import Server

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ISSUER = "https://login.example.org"
COPY = "20990101T000000000000Z-0"
ALBUM = "A" * 22


class Place:
    """A database, a copy of it that is older by what was done since, and the log."""

    def __init__(self, live: Database, old: Database) -> None:
        self.live = live
        self.old = old
        self.restoring = Restoring(old, lambda: NOW)

    def log(self) -> list[str]:
        """Return the log of the live database."""

        async def written() -> list[str]:
            log = GrantLog(self.live)
            await log.seal()
            return [json.dumps({"event": EVENT, **line.as_fields()}) async for line in log.lines(first=1)]

        return asyncio.run(written())

    def begin(self) -> int:
        return asyncio.run(self.restoring.begin()).number

    def replay(self, log: Iterable[str], *, without: tuple[str, ...] = ()) -> Replayed:
        replay = self.restoring.replay(log, with_timelines=(), without_timelines=without, gaps=False)
        return asyncio.run(replay)

    def members(self) -> set[str]:
        """Return who is in the album of the copy."""
        sql = (
            "SELECT u.sub FROM album_members m JOIN users u ON u.pk = m.user_pk "
            "JOIN albums a ON a.pk = m.album_pk WHERE a.kind = 'album'"
        )
        return set(self.old.run_blocking(lambda tx: tx.execute(text(sql)).scalars().all()))


@pytest.fixture
def place(postgres: Server) -> Iterator[Callable[[], Place]]:
    url = postgres.migrated()
    urls = [url]
    opened: list[Database] = []

    def database(at: str) -> Database:
        made = Database(connection_arguments(at), size=1)
        opened.append(made)
        return made

    def copied() -> Place:
        before = database(url)
        before.run_blocking(_before)
        asyncio.run(GrantLog(before).seal())
        before.close()
        opened.remove(before)
        urls.append(postgres.url(postgres.create(template=str(connection_arguments(url)["database"]))))
        return Place(database(url), database(urls[-1]))

    yield copied
    for each in opened:
        each.close()
    for made in urls:
        postgres.drop(made)


def _before(tx: Connection) -> None:
    _person(tx, "bob")
    tx.execute(
        text(
            "INSERT INTO albums (id, kind, name, created_at, last_event_at, add_user, download_series, send_series, "
            "delete_series, add_series, write_comments) "
            "VALUES (:id, 'album', 'Board', :at, :at, false, true, true, true, true, true)"
        ),
        {"id": ALBUM, "at": NOW},
    )


def _person(tx: Connection, sub: str) -> None:
    people.create_user(tx, iss=ISSUER, sub=sub, profile=Profile(None, email_verified=False, name=None), at=NOW)


def _join(tx: Connection, sub: str) -> None:
    tx.execute(
        text(
            "INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at) "
            "SELECT a.pk, u.pk, false, :at FROM albums a, users u WHERE a.id = :album AND u.sub = :sub"
        ),
        {"album": ALBUM, "sub": sub, "at": NOW},
    )


def _erase(tx: Connection, sub: str) -> None:
    found = people.find_by_identity(tx, iss=ISSUER, sub=sub)
    assert found is not None
    erasure.delete_person(tx, found.user, iss=ISSUER, sub=sub, at=NOW)


def _join_both(place: Place) -> None:
    place.live.run_blocking(lambda tx: _person(tx, "carol"))
    for sub in ("bob", "carol"):
        place.live.run_blocking(lambda tx, sub=sub: _join(tx, sub))  # type: ignore[misc]


def test_who_was_erased_and_came_back_is_not_in_their_former_albums(place: Callable[[], Place]) -> None:
    made = place()
    _join_both(made)
    made.live.run_blocking(lambda tx: _erase(tx, "bob"))
    made.live.run_blocking(lambda tx: _person(tx, "bob"))
    made.begin()
    assert made.replay(made.log()).unrestored == 0
    assert made.members() == {"carol"}


def test_who_came_back_and_was_taken_into_an_album_again_is_in_it(place: Callable[[], Place]) -> None:
    made = place()
    _join_both(made)
    made.live.run_blocking(lambda tx: _erase(tx, "bob"))
    made.live.run_blocking(lambda tx: _person(tx, "bob"))
    made.live.run_blocking(lambda tx: _join(tx, "bob"))
    made.begin()
    made.replay(made.log())
    assert made.members() == {"bob", "carol"}


def test_a_log_that_was_refused_does_not_stand_in_the_way_of_the_right_one(place: Callable[[], Place]) -> None:
    made = place()
    _join_both(made)
    number = made.begin()
    good = made.log()
    chosen = next(n for n, line in enumerate(good) if json.loads(line)["number"] == number + 1)
    altered = json.loads(good[chosen])
    altered["change"]["key"][-1] = "mallory"
    for bad, error, words in (
        ([*good[:chosen], json.dumps(altered), *good[chosen + 1 :]], ConflictError, "altered"),
        ([*good[:chosen], json.dumps(altered), "{"], BadRequestError, "not JSON"),
        ([json.dumps(json.loads(good[chosen]) | {"timeline": COPY})], ConflictError, COPY),
    ):
        with pytest.raises(error, match=words):
            made.replay(bad)
    assert made.members() == set()
    made.replay(good)
    assert made.members() == {"bob", "carol"}


def test_a_log_that_is_no_text_is_refused_and_does_not_stand_in_the_way(place: Callable[[], Place]) -> None:
    made = place()
    _join_both(made)
    number = made.begin()
    good = made.log()
    chosen = next(json.loads(line) for line in good if json.loads(line)["number"] == number + 1)
    chosen["change"]["key"][-1] = "mal\0lory"

    def no_text() -> Iterator[str]:
        yield from [json.dumps(json.loads(line) | {"digest": "00" * 32}) for line in good[-1:]]
        yield b"\x1f\x8b\xff".decode()

    for bad, words in (([json.dumps(chosen)], "cannot be read"), (no_text(), "not UTF-8")):
        with pytest.raises(BadRequestError, match=words):
            made.replay(bad)
    made.replay(good)
    assert made.members() == {"bob", "carol"}


def test_a_comparison_belongs_to_a_restoration(place: Callable[[], Place]) -> None:
    made = place()
    with pytest.raises(ConflictError, match="No restoration has begun"):
        asyncio.run(made.restoring.require_begun())
    made.begin()
    asyncio.run(made.restoring.require_begun())


def test_lines_of_a_copy_are_left_out_once_they_are_said_to_be(place: Callable[[], Place]) -> None:
    made = place()
    _join_both(made)
    made.begin()
    log = made.log()
    log.append(json.dumps(json.loads(log[0]) | {"timeline": COPY}))
    with pytest.raises(ConflictError, match="--not-timeline"):
        made.replay(log)
    made.replay(log, without=(COPY,))
    assert made.members() == {"bob", "carol"}
