"""The audit trail: no first use is lost, repetitions are counted, and the chain shows what was changed."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from kheops import clock
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import DatabaseUnavailableError
from kheops.ids import SeriesInstanceUID
from kheops.services.audit import AuditTrail
from kheops.storage import audit
from kheops.storage.engine import Database, connection_arguments
from tests.postgres import Server

USE = Use(
    user=User("https://idp.example", "alice", "token-1"),
    kind=UseKind.READ_PIXELS,
    outcome=Outcome.GRANTED,
    source_address="192.0.2.1",
    request_id="r1",
    series=(SeriesInstanceUID("1.2.3"),),
)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(connection_arguments(database_url), size=2)
    yield database
    database.close()


def _rows(database: Database) -> list[tuple[object, ...]]:
    sql = text("SELECT outcome, uses FROM audit ORDER BY pk")
    return [tuple(row) for row in database.run_blocking(lambda tx: tx.execute(sql).all())]


def test_the_first_use_is_committed_at_once_and_repetitions_are_counted(database: Database) -> None:
    async def run() -> None:
        trail = AuditTrail(database, clock.now)
        await trail.record(USE)
        assert _rows(database) == [("granted", 1)]
        for _ in range(3):
            await trail.record(replace(USE, request_id="another"))
        assert _rows(database) == [("granted", 1)]
        await trail.aclose()

    asyncio.run(run())
    assert _rows(database) == [("granted", 4)]


@pytest.mark.parametrize(
    "other",
    [
        replace(USE, user=User("https://idp.example", "bob", "token-1")),
        replace(USE, user=User("https://idp.example", "alice", "token-2")),
        replace(USE, kind=UseKind.READ_METADATA),
        replace(USE, series=(SeriesInstanceUID("1.2.4"),)),
    ],
    ids=["person", "token", "kind", "series"],
)
def test_another_use_is_a_row_of_its_own(database: Database, other: Use) -> None:
    async def run() -> None:
        trail = AuditTrail(database, clock.now)
        await trail.record(USE)
        await trail.record(other)
        await trail.aclose()

    asyncio.run(run())
    assert _rows(database) == [("granted", 1), ("granted", 1)]


def test_each_refusal_is_a_row(database: Database) -> None:
    async def run() -> None:
        trail = AuditTrail(database, clock.now)
        for _ in range(2):
            await trail.record(replace(USE, outcome=Outcome.REFUSED, reason="not-found"))
        await trail.aclose()

    asyncio.run(run())
    assert _rows(database) == [("refused", 1), ("refused", 1)]


def test_after_fifteen_minutes_a_use_is_a_first_one_again(database: Database) -> None:
    moved = timedelta()

    def now() -> datetime:
        return clock.now() + moved

    async def run() -> None:
        nonlocal moved
        trail = AuditTrail(database, now)
        await trail.record(USE)
        moved = timedelta(minutes=14)
        await trail.record(USE)
        moved = timedelta(minutes=16)
        await trail.record(USE)
        await trail.aclose()

    asyncio.run(run())
    assert _rows(database) == [("granted", 2), ("granted", 1)]


def test_many_first_uses_at_once_are_one_row(database: Database) -> None:
    async def run() -> None:
        trail = AuditTrail(database, clock.now)
        await asyncio.gather(*(trail.record(USE) for _ in range(50)))
        await trail.aclose()

    asyncio.run(run())
    assert _rows(database) == [("granted", 50)]


def test_a_use_that_cannot_be_written_is_an_error_for_all_who_wait(postgres: Server) -> None:
    url = postgres.migrated()
    database = Database(connection_arguments(url), size=1)

    async def run() -> list[object]:
        trail = AuditTrail(database, clock.now)
        postgres.drop(url)
        return await asyncio.gather(*(trail.record(USE) for _ in range(3)), return_exceptions=True)

    results = asyncio.run(run())
    database.close()
    assert all(isinstance(result, Exception) for result in results), results
    assert any(isinstance(result, DatabaseUnavailableError) for result in results)


def test_the_chain_is_whole_until_a_sealed_row_is_changed(database: Database) -> None:
    for number in range(5):
        database.run_blocking(partial(audit.insert_use, use=replace(USE, request_id=str(number)), at=clock.now()))
    assert database.run_blocking(lambda tx: audit.seal(tx, clock.now(), limit=3)) == 3
    assert database.run_blocking(lambda tx: audit.seal(tx, clock.now())) == 2
    assert database.run_blocking(lambda tx: audit.seal(tx, clock.now())) == 0
    database.run_blocking(lambda tx: tx.execute(text("UPDATE audit SET uses = uses + 1")))
    assert database.run_blocking(audit.verify_chain) is None
    database.run_blocking(lambda tx: tx.execute(text("UPDATE audit SET sub = 'mallory' WHERE request_id = '2'")))
    assert database.run_blocking(audit.verify_chain) == 3


def test_a_removed_row_breaks_the_chain(database: Database) -> None:
    for number in range(3):
        database.run_blocking(partial(audit.insert_use, use=replace(USE, request_id=str(number)), at=clock.now()))
    database.run_blocking(lambda tx: audit.seal(tx, clock.now()))
    database.run_blocking(lambda tx: tx.execute(text("DELETE FROM audit_chain WHERE number = 2")))
    assert database.run_blocking(audit.verify_chain) == 2
