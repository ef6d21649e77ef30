"""A PostgreSQL that ends connections, or has none left: 503 and nothing else, soon, and all is well afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import Connection, text

from kheops.errors import DatabaseUnavailableError
from kheops.identity.keyring import Keyring
from kheops.identity.sealed_keys import KeySealer
from kheops.storage.engine import Database, check_arithmetic, connection_arguments
from kheops.storage.lookup import HotLookup
from kheops.web.errors import problem
from tests.postgres import Server, start_server

HASH = b"c" * 32


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """Give a server that takes 20 connections, 17 of them from us."""
    with start_server(max_connections=20) as server:
        yield server


@pytest.fixture
def url(small: Server) -> Iterator[str]:
    url = small.migrated()
    yield url
    small.drop(url)


def _slow(tx: Connection) -> int:
    found: int = tx.execute(text("SELECT 1 FROM pg_sleep(0.05)")).scalar_one()
    return found


async def _settled(*calls: Awaitable[object]) -> tuple[int, int]:
    """Return how many were answered and how many were refused as they should be; anything else fails."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in results if isinstance(one, DatabaseUnavailableError)]
    assert [one for one in results if isinstance(one, BaseException) and one not in refused] == []
    return len(results) - len(refused), len(refused)


def test_burst_of_ten_replicas_on_twenty_connections_is_answered_or_503(url: str) -> None:
    arguments = connection_arguments(url)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            replicas = []
            for _ in range(10):
                database, lookup = Database(arguments, size=4), HotLookup(arguments, threads=4)
                stack.push_async_callback(database.aclose)
                stack.push_async_callback(lookup.aclose)
                replicas.append((database, lookup))
            begun = time.monotonic()
            answered, refused = await _settled(
                *(database.run(_slow) for database, _ in replicas for _ in range(8)),
                *(lookup.capability(HASH) for _, lookup in replicas for _ in range(8)),
            )
            assert time.monotonic() - begun < 30
            assert answered > 0
            assert refused > 0, "80 connections were wanted"
        # The others have gone: one replica has what it needs at once.
        database, lookup = Database(arguments, size=4), HotLookup(arguments, threads=4)
        assert await _settled(*(database.run(_slow) for _ in range(8)), lookup.capability(HASH)) == (9, 0)
        assert "KHEOPS_MAX_INSTANCES" in (
            await database.run(lambda tx: check_arithmetic(tx, per_instance=8, instances=10)) or ""
        )
        await lookup.aclose()
        await database.aclose()

    asyncio.run(run())


def test_killed_backends_are_503_at_most_and_replaced(url: str) -> None:
    arguments = connection_arguments(url)
    kill = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    async def run() -> None:
        database, lookup, killer = (
            Database(arguments, size=4),
            HotLookup(arguments, threads=4),
            Database(arguments, size=1),
        )
        for _ in range(3):
            work = asyncio.ensure_future(  # noqa: RUF006 - awaited below
                _settled(
                    *(database.run(_slow) for _ in range(8)),
                    *(lookup.capability(HASH) for _ in range(40)),
                )
            )
            await asyncio.sleep(0.03)
            await killer.run(lambda tx: tx.execute(kill))
            answered, _ = await work
            assert answered > 0
            assert await _settled(database.run(_slow), lookup.capability(HASH)) == (2, 0)
        for each in (database, killer):
            await each.aclose()
        await lookup.aclose()

    asyncio.run(run())


def test_unavailable_database_is_503_with_retry_after() -> None:
    response = problem(DatabaseUnavailableError(), realm="")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


def test_sealed_key_opens_under_the_pepper_before_and_no_longer_without_it() -> None:
    ring = Keyring(b"1" * 32)
    sealer = KeySealer(ring)
    sealed = sealer.seal("a webhook's secret")
    ring.exchange(b"2" * 32, b"1" * 32)
    assert sealer.open(sealed) == "a webhook's secret"
    later = sealer.seal("another")
    ring.exchange(b"2" * 32)
    assert sealer.open(sealed) is None
    assert sealer.open(later) == "another"
