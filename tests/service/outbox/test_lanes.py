"""Who waits for whom in the outbox: nobody for another album's slow receiver, and mail for no webhook."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Connection

from kheops.domain.albums import Page
from kheops.domain.principals import Person
from kheops.domain.webhooks import WebhookEvent
from kheops.errors import DatabaseUnavailableError
from kheops.ids import AlbumId
from kheops.services.outbox import Outbox, Sender, Sent
from kheops.services.webhooks import TRIGGERS_BY_PERSON, TRIGGERS_OF_ALBUM
from kheops.storage import outbox
from kheops.storage.outbox import AT_ONCE_OF_LANE, MOST_ATTEMPTS, Task
from tests.service.outbox.world import OutboxWorld
from tests.unit.outbound.receiver import Receiver

LEASE = timedelta(minutes=2)


def add(world: OutboxWorld, kind: str, number: int = 1, *, lane: str = "") -> None:
    for each in range(number):
        payload = {"n": each, "lane": lane}
        world.database.run_blocking(partial(outbox.add_task, kind=kind, payload=payload, due=world.now(), lane=lane))


def claim(world: OutboxWorld, **most: int) -> list[Task]:
    claimed = world.database.run_blocking(lambda tx: outbox.claim(tx, most=most, at=world.now(), lease=LEASE))
    return sorted(claimed, key=lambda task: task.pk)


def run_once(world: OutboxWorld, **senders: Sender) -> int:
    return world.run(Outbox(world.database, world.now, senders).run_once())


def test_an_album_has_few_under_way_whoever_claims_them_and_others_go_on(world: OutboxWorld) -> None:
    add(world, "webhook", 20, lane="1")
    add(world, "webhook", 1, lane="2")
    first = claim(world, webhook=8)
    assert Counter(str(task.payload["lane"]) for task in first) == {"1": AT_ONCE_OF_LANE, "2": 1}
    assert [task.payload["n"] for task in first if task.payload["lane"] == "1"] == [0, 1]
    assert claim(world, webhook=8) == []
    at = world.now()
    assert world.database.run_blocking(lambda tx: outbox.finish(tx, first[0], at=at, delivered=True))
    assert len(claim(world, webhook=8)) == 1


def test_a_claim_takes_no_more_of_a_kind_than_it_was_asked_for(world: OutboxWorld) -> None:
    add(world, "mail", 5)
    add(world, "digest", 5)
    assert Counter(task.kind for task in claim(world, mail=2, digest=3, webhook=8)) == {"mail": 2, "digest": 3}


def test_a_lane_goes_on_after_what_died_in_its_last_attempt(world: OutboxWorld) -> None:
    add(world, "webhook", AT_ONCE_OF_LANE + 1, lane="1")
    for _ in range(MOST_ATTEMPTS):
        assert len(claim(world, webhook=8)) == AT_ONCE_OF_LANE
        world.moved += LEASE
    assert len(claim(world, webhook=8)) == 1


def test_a_lane_that_waits_for_its_next_attempt_lets_the_others_of_it_by(world: OutboxWorld) -> None:
    add(world, "webhook", AT_ONCE_OF_LANE + 1, lane="1")
    until = world.now() + timedelta(minutes=5)
    for task in claim(world, webhook=8):
        assert world.database.run_blocking(partial(outbox.put_off, task=task, until=until))
    assert [task.payload["n"] for task in claim(world, webhook=8)] == [AT_ONCE_OF_LANE]


def test_mail_waits_for_no_webhook(world: OutboxWorld) -> None:
    for lane in range(20):
        add(world, "webhook", 1, lane=str(lane))
    add(world, "mail")
    ended: list[str] = []

    async def slow(task: Task) -> Sent:
        await asyncio.sleep(0.2)
        ended.append(task.kind)
        return Sent(delivered=True)

    async def mail(task: Task) -> Sent:
        ended.append(task.kind)
        return Sent(delivered=True)

    assert run_once(world, webhook=slow, mail=mail) == 21
    assert ended[0] == "mail"


def test_what_becomes_due_is_sent_while_others_are_slow(world: OutboxWorld) -> None:
    add(world, "webhook", lane="1")
    mailed = asyncio.Event()

    async def slow(task: Task) -> Sent:
        await world.database.run(lambda tx: outbox.add_task(tx, "mail", {}, due=world.now()))
        async with asyncio.timeout(5):
            await mailed.wait()
        return Sent(delivered=True)

    async def mail(task: Task) -> Sent:
        mailed.set()
        return Sent(delivered=True)

    assert run_once(world, webhook=slow, mail=mail) == 2
    assert world.waiting() == []


def test_an_end_that_cannot_be_written_ends_no_other_attempt(world: OutboxWorld) -> None:
    add(world, "mail", 2)

    def unwritable(tx: Connection) -> None:
        raise DatabaseUnavailableError

    async def send(task: Task) -> Sent:
        if task.payload["n"] == 0:
            return Sent(delivered=True, record=unwritable)
        await asyncio.sleep(0.2)
        return Sent(delivered=True)

    assert run_once(world, mail=send) == 2
    # The one whose end is lost has its lease and four attempts left.
    assert world.rows("SELECT attempts, done_at IS NOT NULL FROM outbox ORDER BY pk") == [(1, False), (1, True)]


def test_a_database_that_goes_away_lets_what_is_on_its_way_end(world: OutboxWorld) -> None:
    add(world, "mail", 2)
    sent: list[int] = []
    gone = False

    def now() -> datetime:
        # Asked inside the transaction of a claim.
        if gone and not sent:
            raise DatabaseUnavailableError
        return world.now()

    async def send(task: Task) -> Sent:
        nonlocal gone
        gone = True
        # Longer than until the next claim.
        await asyncio.sleep(1.3)
        sent.append(task.pk)
        return Sent(delivered=True)

    with pytest.raises(DatabaseUnavailableError):
        world.run(Outbox(world.database, now, {"mail": send}).run_once())
    assert len(sent) == 2
    assert world.waiting() == []


def test_a_worker_that_was_overtaken_writes_neither_an_end_nor_a_record(world: OutboxWorld) -> None:
    add(world, "mail")
    recorded: list[str] = []

    async def send(task: Task) -> Sent:
        # It is slower than its lease, and another worker begins the next attempt meanwhile.
        world.moved += LEASE
        [again] = await world.database.run(lambda tx: outbox.claim(tx, most={"mail": 1}, at=world.now(), lease=LEASE))
        assert again.attempt == 2
        return Sent(delivered=True, record=lambda tx: recorded.append("of the overtaken"))

    assert run_once(world, mail=send) == 1
    assert recorded == []
    assert world.rows("SELECT attempts, done_at, leased_until IS NOT NULL FROM outbox") == [(2, None, True)]


def _trigger(world: OutboxWorld, owner: Person, album: AlbumId, far: Receiver, times: int) -> Counter[str]:
    hook = world.webhook(owner, album, far, WebhookEvent.NEW_USER).record.webhook
    asked = world.use(owner)
    return Counter(
        world.outcome(world.webhooks.trigger_new_user(owner, album, hook, owner.sub, asked=asked))
        for _ in range(times)
    )


def test_trying_webhooks_by_hand_is_limited_and_a_new_webhook_has_no_new_limit(
    world: OutboxWorld, far: Receiver
) -> None:
    alice, most = world.person("alice"), TRIGGERS_OF_ALBUM.most
    album = world.album(alice)
    assert _trigger(world, alice, album, far, most + 1) == {"ok": most, "TooManyRequestsError": 1}
    views, _ = world.run(world.webhooks.list(alice, album, url=None, page=Page()))
    for view in views:
        deleted = world.webhooks.delete(alice, album, view.record.webhook, asked=world.use(alice))
        assert world.outcome(deleted) == "ok"
    assert _trigger(world, alice, album, far, 1) == {"TooManyRequestsError": 1}
    world.moved += TRIGGERS_OF_ALBUM.within
    assert _trigger(world, alice, album, far, 1) == {"ok": 1}


def test_trying_webhooks_by_hand_is_limited_by_person_over_all_albums(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    came: Counter[str] = Counter()
    for _ in range(TRIGGERS_BY_PERSON.most // TRIGGERS_OF_ALBUM.most + 1):
        came += _trigger(world, alice, world.album(alice), far, TRIGGERS_OF_ALBUM.most)
    assert came["ok"] == TRIGGERS_BY_PERSON.most
    bob = world.person("bob")
    assert _trigger(world, bob, world.album(bob), far, 1) == {"ok": 1}
