"""Fixtures of the outbox's tests."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server
from tests.service.outbox.world import OutboxWorld
from tests.unit.outbound.receiver import Receiver, receiver


@pytest.fixture(scope="module")
def shared_world(postgres: Server) -> Iterator[OutboxWorld]:
    """Give a world for tests that each begin by emptying it."""
    url = postgres.migrated()
    made = OutboxWorld(url)
    yield made
    made.close()
    postgres.drop(url)


@pytest.fixture
def world(shared_world: OutboxWorld) -> OutboxWorld:
    """Give an empty world."""
    shared_world.empty()
    return shared_world


@pytest.fixture
def far() -> Iterator[Receiver]:
    """Give a receiver of webhooks."""
    with receiver() as running:
        yield running
