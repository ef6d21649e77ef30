"""Allowances: so often in so long, for all processes together."""

import threading
from datetime import timedelta

from kheops.storage.allowances import Allowance, clear, use_allowance
from tests.service.outbox.world import OutboxWorld

ALLOWANCE = Allowance("test", most=2, within=timedelta(minutes=10))


def use(world: OutboxWorld, whose: str = "1", allowance: Allowance = ALLOWANCE) -> timedelta | None:
    return world.database.run_blocking(lambda tx: use_allowance(tx, allowance, whose, world.now()))


def test_what_is_used_comes_back_one_by_one_and_the_wait_says_when(world: OutboxWorld) -> None:
    assert use(world) is None
    world.moved += timedelta(minutes=4)
    assert use(world) is None
    wait = use(world)
    assert wait is not None
    assert timedelta(minutes=5) < wait < timedelta(minutes=6)
    world.moved += timedelta(minutes=6)
    assert use(world) is None
    assert use(world) is not None


def test_each_holder_and_each_allowance_counts_by_itself(world: OutboxWorld) -> None:
    assert [use(world), use(world)] == [None, None]
    assert use(world) is not None
    assert use(world, "2") is None
    assert use(world, allowance=Allowance("other", 1, timedelta(minutes=1))) is None


def test_two_at_once_do_not_both_have_the_last(world: OutboxWorld) -> None:
    assert use(world) is None
    came: list[timedelta | None] = []
    with world.database.connect() as connection, connection.begin():
        assert use_allowance(connection, ALLOWANCE, "1", world.now()) is None
        other = threading.Thread(target=lambda: came.append(use(world)))
        other.start()
        other.join(0.3)
        assert came == []
    other.join(10)
    assert came[0] is not None


def test_what_was_rolled_back_was_not_used(world: OutboxWorld) -> None:
    with world.database.connect() as connection, connection.begin() as tx:
        assert use_allowance(connection, ALLOWANCE, "1", world.now()) is None
        tx.rollback()
    assert [use(world), use(world)] == [None, None]


def test_what_counts_no_longer_is_deleted(world: OutboxWorld) -> None:
    use(world)
    world.moved += timedelta(hours=23)
    use(world)
    assert world.database.run_blocking(lambda tx: clear(tx, at=world.now())) == 0
    world.moved += timedelta(hours=2)
    assert world.database.run_blocking(lambda tx: clear(tx, at=world.now())) == 1
