"""Fixtures of the control plane's tests."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server
from tests.service.control.world import World


@pytest.fixture(scope="module")
def shared_url(postgres: Server) -> Iterator[str]:
    """Give one database for all tests of a module: copying one for each takes longer than the tests."""
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def shared_world(shared_url: str) -> Iterator[World]:
    """Give a world for tests that each make people and albums of their own."""
    made = World(shared_url)
    yield made
    made.close()


@pytest.fixture
def world(shared_world: World) -> World:
    """Give an empty world."""
    shared_world.empty()
    return shared_world
