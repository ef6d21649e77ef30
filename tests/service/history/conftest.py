"""Fixtures of the tests of comments, histories, favourites and lookups."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server
from tests.service.history.world import HistoryWorld


@pytest.fixture(scope="module")
def shared_url(postgres: Server) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def shared_world(shared_url: str) -> Iterator[HistoryWorld]:
    made = HistoryWorld(shared_url)
    yield made
    made.close()


@pytest.fixture
def world(shared_world: HistoryWorld) -> HistoryWorld:
    """Give an empty world."""
    shared_world.empty()
    return shared_world
