"""The hot lookup keeps working when connections are lost, and says 503 when it cannot."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from kheops import clock
from kheops.domain import policy
from kheops.domain.policy import ReadScope, Source
from kheops.domain.principals import Person
from kheops.domain.profiles import Profile
from kheops.domain.resources import SeriesRef
from kheops.errors import DatabaseUnavailableError
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage import people
from kheops.storage.engine import Database, connection_arguments
from kheops.storage.lookup import HotLookup
from tests.postgres import Server

REF = SeriesRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.3"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(connection_arguments(database_url), size=1)
    yield database
    database.close()


def _scope(database: Database) -> ReadScope:
    """Make a person who holds one series with one instance."""
    record = database.run_blocking(
        lambda tx: people.create_user(
            tx, iss="i", sub="s", profile=Profile(None, email_verified=False, name=None), at=clock.now()
        )
    )
    database.run_blocking(
        lambda tx: tx.execute(
            text(
                "WITH s AS (INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, "
                "updated_at, confirmed_at, number_of_instances) VALUES ('1.2', '1.2.3', 'confirmed', now(), now(), "
                "now(), 1) RETURNING pk), i AS (INSERT INTO instances (series_pk, sop_instance_uid, state, "
                "created_at) SELECT pk, '1.2.3.4', 'confirmed', now() FROM s) "
                "INSERT INTO album_series (album_pk, series_pk, added_at) SELECT :inbox, pk, now() FROM s"
            ),
            {"inbox": record.inbox},
        )
    )
    scope = policy.read_scope(Person(record.user, "i", "s", "t"), Source())
    assert not isinstance(scope, policy.Denied)
    return scope


def _kill_others(database: Database) -> int:
    sql = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    killed: int = database.run_blocking(lambda tx: tx.execute(sql).scalar_one())
    return killed


def test_a_killed_connection_is_opened_again_without_the_caller_noticing(
    database: Database, database_url: str
) -> None:
    scope = _scope(database)

    async def run() -> None:
        lookup = HotLookup(connection_arguments(database_url), threads=1)
        assert await lookup.series(scope, REF) is not None
        assert _kill_others(database) == 1
        facts = await lookup.instance(scope, REF, SopInstanceUID("1.2.3.4"))
        assert facts.confirmed == "1.2.3.4"
        await lookup.aclose()

    asyncio.run(run())


def test_hidden_and_absent_give_no_row(database: Database, database_url: str) -> None:
    scope = _scope(database)

    async def run() -> None:
        lookup = HotLookup(connection_arguments(database_url), threads=2)
        other_series = SeriesRef(REF.study_instance_uid, SeriesInstanceUID("9.9"))
        other_study = SeriesRef(StudyInstanceUID("9.9"), REF.series_instance_uid)
        assert await lookup.series(scope, other_series) is None
        assert await lookup.series(scope, other_study) is None
        facts = await lookup.instance(scope, REF, SopInstanceUID("9.9"))
        assert facts.series is None
        assert facts.confirmed is None
        database.run_blocking(lambda tx: tx.execute(text("UPDATE users SET suspended_at = now()")))
        assert await lookup.series(scope, REF) is None
        await lookup.aclose()

    asyncio.run(run())


def test_many_lookups_use_no_more_connections_than_threads(database: Database, database_url: str) -> None:
    scope = _scope(database)

    async def run() -> int:
        lookup = HotLookup(connection_arguments(database_url), threads=3)
        found = await asyncio.gather(*(lookup.series(scope, REF) for _ in range(100)))
        assert all(facts is not None for facts in found)
        sql = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        connections: int = database.run_blocking(lambda tx: tx.execute(sql).scalar_one())
        await lookup.aclose()
        return connections

    assert asyncio.run(run()) <= 4


def test_no_database_is_503_and_not_a_hang(postgres: Server) -> None:
    url = postgres.migrated()
    postgres.drop(url)

    async def run() -> None:
        lookup = HotLookup(connection_arguments(url), threads=1)
        with pytest.raises(DatabaseUnavailableError):
            await asyncio.wait_for(lookup.capability(b"x" * 32), 10)
        await lookup.aclose()

    asyncio.run(run())


def test_each_of_many_waiting_lookups_gets_its_own_answer_though_some_have_gone(
    database: Database, database_url: str
) -> None:
    scope = _scope(database)

    async def run() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        lookup = HotLookup(connection_arguments(database_url), threads=2)
        asking = [
            asyncio.ensure_future(lookup.instance(scope, REF, SopInstanceUID(f"1.2.3.{number % 8}")))
            for number in range(200)
        ]
        await asyncio.sleep(0)
        for gone in asking[::7]:
            gone.cancel()
        answers = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 20)
        for number, answer in enumerate(answers):
            if number % 7 == 0:
                assert isinstance(answer, asyncio.CancelledError)
            else:
                assert not isinstance(answer, BaseException)
                assert answer.confirmed == ("1.2.3.4" if number % 8 == 4 else None)
        assert not failures
        await lookup.aclose()

    asyncio.run(run())


def test_a_lookup_serves_one_event_loop_after_the_other(database: Database, database_url: str) -> None:
    scope = _scope(database)
    lookup = HotLookup(connection_arguments(database_url), threads=1)
    for _ in range(2):
        assert asyncio.run(asyncio.wait_for(lookup.series(scope, REF), 10)) is not None
    asyncio.run(lookup.aclose())


def test_what_the_server_refuses_is_503_and_leaves_the_connection_in_step(
    database: Database, database_url: str
) -> None:
    scope = _scope(database)
    backends = text("SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()")

    async def run() -> None:
        lookup = HotLookup(connection_arguments(database_url), threads=1)
        assert await lookup.series(scope, REF) is not None
        before = database.run_blocking(lambda tx: tx.execute(backends).scalar_one())
        with pytest.raises(DatabaseUnavailableError):
            # No text of PostgreSQL's holds it; it is refused when it is bound.
            await lookup.instance(scope, REF, SopInstanceUID("1.2\x003"))
        facts = await lookup.instance(scope, REF, SopInstanceUID("1.2.3.4"))
        assert facts.confirmed == "1.2.3.4"
        assert sorted(database.run_blocking(lambda tx: tx.execute(backends).scalar_one())) == sorted(before)
        await lookup.aclose()

    asyncio.run(run())
