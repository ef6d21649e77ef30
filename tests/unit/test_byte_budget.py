"""The process-wide limit on held bytes."""

import asyncio

import pytest

from kheops.services.byte_budget import ByteBudget


def test_who_asks_for_more_than_is_left_waits_in_the_order_of_asking() -> None:
    async def run() -> list[str]:
        budget = ByteBudget(10)
        order: list[str] = []

        async def take(name: str, amount: int) -> None:
            await budget.take(amount)
            order.append(name)

        await take("first", 8)
        waiting = [asyncio.create_task(take("large", 9)), asyncio.create_task(take("small", 1))]
        await asyncio.sleep(0)
        assert order == ["first"], "the small one may not overtake the large one for ever"
        budget.give_back(8)
        await asyncio.gather(*waiting)
        assert budget.held == 10
        return order

    assert asyncio.run(run()) == ["first", "large", "small"]


def test_who_gives_up_waiting_takes_nothing() -> None:
    async def run() -> int:
        budget = ByteBudget(10)
        await budget.take(10)
        task = asyncio.create_task(budget.take(5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        budget.give_back(10)
        return budget.held

    assert asyncio.run(run()) == 0


def test_who_is_cancelled_in_the_moment_of_getting_gives_back() -> None:
    async def run() -> int:
        budget = ByteBudget(10)
        await budget.take(10)
        task = asyncio.create_task(budget.take(5))
        await asyncio.sleep(0)
        budget.give_back(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return budget.held

    assert asyncio.run(run()) == 0
