"""What large answers of searches may hold in one process, and that small ones are never refused for their sake."""

import asyncio

import pytest

from kheops.services import search
from tests.service.read.client import Answer, request
from tests.service.read.conftest import Running, Service


def test_large_answers_that_somebody_takes_slowly_refuse_large_ones_and_no_small_ones(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_HELD", 700)
    alice = service.catalog.person("alice")
    service.catalog.series(alice, study="1.2", series="1.2.3", instances=500)
    path = "/studies/1.2/series/1.2.3/instances"

    async def use(running: Running) -> tuple[list[Answer], list[int]]:
        held = []
        slow = Answer()
        began, goes_on = asyncio.Event(), asyncio.Event()

        async def slowly(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            async def sent(message):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
                began.set()
                await goes_on.wait()
                await send(message)

            await running.app(scope, receive, sent)

        first = asyncio.create_task(request(slowly, f"/api{path}", token=alice.token, answer=slow))
        await began.wait()
        held.append(running.process.search.held)
        second = await running.get(path, alice.token)
        small = await running.get(f"{path}?limit=200", alice.token)
        goes_on.set()
        await first
        held.append(running.process.search.held)
        third = await running.get(path, alice.token)
        left = await running.get(path, alice.token, leave_after=1)
        head = await running.get(path, alice.token, method="HEAD")
        held.append(running.process.search.held)
        return [slow, second, small, third, left, head], held

    answers, held = service.run(use)
    assert [answer.status for answer in answers] == [200, 503, 200, 200, 200, 200]
    assert [len(answer.json) for answer in (answers[0], *answers[2:4])] == [500, 200, 500]
    assert answers[1].header("retry-after") is not None
    assert held == [500, 0, 0]
