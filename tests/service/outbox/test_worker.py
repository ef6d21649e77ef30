"""The outbox: at least once, never twice at once, and over at the fifth attempt."""

import asyncio
from datetime import timedelta

import pytest

from kheops.domain.mail import Mail
from kheops.services.outbox import WAITS, Outbox, Sent
from kheops.storage import outbox
from kheops.storage.outbox import MOST_ATTEMPTS, Task
from tests.service.control.world import at_once
from tests.service.outbox.world import OutboxWorld

MAIL = Mail("bob@example.org", "Subject", "Text")


def add(world: OutboxWorld, number: int = 1) -> None:
    for _ in range(number):
        world.database.run_blocking(lambda tx: outbox.add_mail(tx, MAIL, due=world.now()))


def worker(world: OutboxWorld, send: object, lease: timedelta = timedelta(minutes=2)) -> Outbox:
    return Outbox(world.database, world.now, {outbox.MAIL: send}, lease=lease)  # type: ignore[dict-item]


def test_a_mail_goes_out_once_and_leaves_nothing_behind(world: OutboxWorld) -> None:
    add(world)
    assert world.deliver() == 1
    assert world.mailer.mails == [MAIL]
    assert world.deliver() == 0
    assert world.rows("SELECT payload, done_at IS NOT NULL, failed_at FROM outbox") == [({}, True, None)]


def test_a_mail_of_a_transaction_that_failed_does_not_go_out(world: OutboxWorld) -> None:
    def work(tx: object) -> None:
        outbox.add_mail(tx, MAIL, due=world.now())  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        world.database.run_blocking(work)
    assert world.deliver() == 0


def test_a_mail_is_not_sent_before_it_is_due(world: OutboxWorld) -> None:
    world.database.run_blocking(lambda tx: outbox.add_mail(tx, MAIL, due=world.now() + timedelta(minutes=5)))
    assert world.deliver() == 0
    world.moved = timedelta(minutes=6)
    assert world.deliver() == 1


def test_five_attempts_with_growing_waits_then_none(world: OutboxWorld) -> None:
    add(world)
    world.mailer.down = True
    for number, wait in enumerate(WAITS, start=1):
        assert world.deliver() == 1
        assert world.waiting() == [("mail", number)]
        world.moved += wait - timedelta(seconds=1)
        assert world.deliver() == 0, "it did not wait"
        world.moved += wait * 0.1 + timedelta(seconds=2)
    assert list(WAITS) == sorted(WAITS)
    assert len(WAITS) == MOST_ATTEMPTS - 1
    assert world.deliver() == 1
    assert world.waiting() == []
    world.moved += timedelta(days=1)
    assert world.deliver() == 0
    assert world.rows("SELECT attempts, payload, failed_at IS NOT NULL FROM outbox") == [(5, {}, True)]


def test_a_mail_that_is_refused_for_good_is_not_sent_again(world: OutboxWorld) -> None:
    add(world)
    world.mailer.refuses = True
    assert world.deliver() == 1
    assert (world.waiting(), world.failed()) == ([], 1)


def test_several_workers_never_have_the_same_attempt(world: OutboxWorld) -> None:
    add(world, 40)
    seen: list[tuple[int, int]] = []

    async def send(task: Task) -> Sent:
        seen.append((task.pk, task.attempt))
        await asyncio.sleep(0.005)
        return Sent(delivered=False)

    async def both() -> None:
        await asyncio.gather(*(worker(world, send).run_once() for _ in range(4)))

    asyncio.run(both())
    assert len(seen) == 40
    assert len(set(seen)) == 40


def test_claims_at_once_share_the_tasks(world: OutboxWorld) -> None:
    add(world, 20)
    claimed: list[int] = []

    def claim() -> str:
        tasks = world.database.run_blocking(
            lambda tx: outbox.claim(tx, most={"mail": 8}, at=world.now(), lease=timedelta(minutes=1))
        )
        claimed.extend(task.pk for task in tasks)
        return ""

    at_once(claim, claim, claim)
    assert len(claimed) == len(set(claimed)) == 20


def test_a_worker_that_dies_leaves_its_task_to_the_next_when_the_lease_is_over(world: OutboxWorld) -> None:
    add(world)
    lease = timedelta(minutes=2)
    dead = world.database.run_blocking(lambda tx: outbox.claim(tx, most={"mail": 1}, at=world.now(), lease=lease))
    assert [task.attempt for task in dead] == [1]
    world.moved += lease - timedelta(seconds=1)
    assert world.deliver() == 0
    world.moved += timedelta(seconds=2)
    assert world.deliver() == 1
    assert len(world.mailer.mails) == 1
    # It was not dead but slow: what it says now counts no longer.
    at = world.now()
    assert not world.database.run_blocking(lambda tx: outbox.finish(tx, dead[0], at=at, delivered=False))
    assert not world.database.run_blocking(lambda tx: outbox.put_off(tx, dead[0], until=at))
    assert (world.waiting(), world.failed()) == ([], 0)


def test_what_dies_in_its_last_attempt_is_given_up(world: OutboxWorld) -> None:
    add(world)
    lease = timedelta(minutes=2)
    for _ in range(MOST_ATTEMPTS):
        assert world.database.run_blocking(lambda tx: outbox.claim(tx, most={"mail": 1}, at=world.now(), lease=lease))
        world.moved += lease
    assert world.deliver() == 0
    guard = world.guard(None)
    world.run(world.worker(guard).clear())
    assert (world.waiting(), world.failed()) == ([], 1)


def test_one_task_that_fails_for_a_fault_of_ours_keeps_no_other(world: OutboxWorld) -> None:
    world.execute(
        "INSERT INTO outbox (kind, payload, created_at, due_at) VALUES ('mail', '{}', now(), now() - interval '1 h')"
    )
    add(world, 3)
    assert world.deliver() == 4
    assert len(world.mailer.mails) == 3
    assert world.waiting() == [("mail", 1)]


def test_kinds_that_this_worker_does_not_send_wait_for_another(world: OutboxWorld) -> None:
    add(world)
    assert world.run(Outbox(world.database, world.now, {}).run_once()) == 0
    assert world.waiting() == [("mail", 0)]


def test_what_ended_is_forgotten_after_a_week(world: OutboxWorld) -> None:
    add(world)
    world.deliver()
    cleaner = world.worker(world.guard(None))
    world.run(cleaner.clear())
    assert world.scalar("SELECT count(*) FROM outbox") == 1
    world.moved += timedelta(days=8)
    add(world)
    world.run(cleaner.clear())
    assert world.waiting() == [("mail", 0)]
    assert world.scalar("SELECT count(*) FROM outbox") == 1


def test_a_watching_worker_sends_within_two_seconds(world: OutboxWorld) -> None:
    async def body() -> int:
        guard = world.guard(None)
        running = asyncio.create_task(world.worker(guard).run_forever())
        await asyncio.sleep(0.3)
        await world.database.run(lambda tx: outbox.add_mail(tx, MAIL, due=world.now()))
        for _ in range(20):
            await asyncio.sleep(0.1)
            if world.mailer.mails:
                break
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return len(world.mailer.mails)

    assert asyncio.run(body()) == 1
