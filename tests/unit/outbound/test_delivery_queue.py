"""Waking the deliverer by Cloud Tasks: once a second, soon after what is due, and never in the way."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kheops.errors import ArchiveUnavailableError
from kheops.outbound.delivery_queue import DeliveryQueue
from tests.fakes.cloud_tasks import QUEUE, CloudTasks, run_cloud_tasks

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
NEXT = NOW.replace(second=1, microsecond=0)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def _use(
    tasks: CloudTasks,
    use: Callable[[DeliveryQueue, Clock], None],
    authorization: Callable[[], Awaitable[str | None]] | None = None,
) -> None:
    async def token() -> str:
        return f"Bearer {tasks.token}"

    async def main() -> None:
        clock = Clock()
        async with httpx.AsyncClient(trust_env=False) as client:
            queue = DeliveryQueue(tasks.queue, client=client, authorization=authorization or token, clock=clock)
            use(queue, clock)
            await queue.aclose()

    asyncio.run(main())


def test_what_is_due_now_has_a_task_in_the_next_second() -> None:
    with run_cloud_tasks() as tasks:
        _use(tasks, lambda queue, _: queue.wake(NOW))
        assert tasks.due == [NEXT]
        (task,) = tasks.tasks.values()
    assert task["httpRequest"] == {"url": "https://events.invalid/tasks/deliver", "httpMethod": "POST"}
    assert task["name"].startswith(f"{QUEUE}/tasks/deliver-")


def test_what_is_overdue_has_one_in_the_next_second_too_and_what_is_due_later_then() -> None:
    def use(queue: DeliveryQueue, _: Clock) -> None:
        queue.wake(NOW - timedelta(days=1))
        queue.wake(NOW + timedelta(minutes=30))

    with run_cloud_tasks() as tasks:
        _use(tasks, use)
        assert tasks.due == [NEXT, NEXT + timedelta(minutes=30)]


def test_one_second_is_asked_for_once_by_a_process_and_is_one_task_of_all() -> None:
    def many(queue: DeliveryQueue, clock: Clock) -> None:
        for _ in range(1000):
            queue.wake(clock.now)

    with run_cloud_tasks() as tasks:
        for _ in range(3):
            _use(tasks, many)
        assert len(tasks.asked) == 3
        assert len(tasks.tasks) == 1


def test_next_second_is_asked_for_anew() -> None:
    def use(queue: DeliveryQueue, clock: Clock) -> None:
        queue.wake(clock.now)
        clock.now += timedelta(seconds=1)
        queue.wake(clock.now)

    with run_cloud_tasks() as tasks:
        _use(tasks, use)
        assert tasks.due == [NEXT, NEXT + timedelta(seconds=1)]


def test_what_is_due_in_hours_is_left_to_the_sweep() -> None:
    with run_cloud_tasks() as tasks:
        _use(tasks, lambda queue, _: queue.wake(NOW + timedelta(hours=2)))
        assert tasks.asked == []


def test_calls_under_way_are_bounded() -> None:
    def use(queue: DeliveryQueue, _: Clock) -> None:
        for second in range(200):
            queue.wake(NOW + timedelta(seconds=second))

    with run_cloud_tasks() as tasks:
        _use(tasks, use)
        assert len(tasks.asked) == 16


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_refusal_is_logged_and_nothing_else(caplog: pytest.LogCaptureFixture, status: int) -> None:
    caplog.set_level("WARNING")
    with run_cloud_tasks() as tasks:
        tasks.status = status
        _use(tasks, lambda queue, _: queue.wake(NOW))
        assert tasks.tasks == {}
    assert "outbox.not_woken" in caplog.text
    assert tasks.token not in caplog.text


def test_nobody_there_or_no_token_is_logged_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")

    async def none() -> str:
        raise ArchiveUnavailableError

    with run_cloud_tasks() as tasks:
        _use(tasks, lambda queue, _: queue.wake(NOW), none)
        assert tasks.asked == []
    _use(tasks, lambda queue, _: queue.wake(NOW))
    assert caplog.text.count("outbox.not_woken") == 2


def test_a_task_says_nothing_of_what_is_to_be_sent() -> None:
    with run_cloud_tasks() as tasks:
        _use(tasks, lambda queue, _: queue.wake(NOW))
        (asked,) = tasks.asked
    assert set(json.loads(asked.body)["task"]) == {"name", "scheduleTime", "httpRequest"}
