"""Fixtures that several tiers use."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server, start_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Give a real PostgreSQL for the whole run."""
    with start_server() as server:
        yield server


@pytest.fixture
def database_url(postgres: Server) -> Iterator[str]:
    """Give a fresh database with our schema."""
    url = postgres.migrated()
    yield url
    postgres.drop(url)
