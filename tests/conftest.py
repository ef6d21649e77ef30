"""Fixtures that several tiers use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, start_server

LONGEST = (
    "system/test_leaks_of_tokens.py",
    "system/test_visibility.py",
    "system/test_leaks.py",
    "system/test_visibility_broken.py",
    "system/openapi/test_schemathesis.py",
    "system/test_matrix.py",
)
"""Modules that take minutes: they begin first, so that no process is left alone with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


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
