"""Who wakes the deliverer is told after the commit of what put something into the outbox, and of nothing else."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from kheops import clock
from kheops.archive import google_credentials
from kheops.config import IssuerSettings, Settings
from kheops.domain.mail import Mail
from kheops.factory import Process
from kheops.storage import outbox
from kheops.storage.engine import Database, connection_arguments
from tests.fakes.cloud_tasks import run_cloud_tasks

AT = datetime(2026, 3, 1, tzinfo=UTC)
MAIL = Mail("a@example.org", "s", "t")


class Told:
    def __init__(self) -> None:
        self.dues: list[datetime] = []

    def __call__(self, due: datetime) -> None:
        self.dues.append(due)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def database(database_url: str, told: Told) -> Iterator[Database]:
    database = Database(connection_arguments(database_url), size=1, on_due=told)
    yield database
    database.close()


def test_commit_tells_the_earliest_once(database: Database, told: Told) -> None:
    def work(tx: Connection) -> None:
        for minutes in (5, 1, 3):
            outbox.add_mail(tx, MAIL, due=AT + timedelta(minutes=minutes))
        assert told.dues == []

    asyncio.run(database.run(work))
    assert told.dues == [AT + timedelta(minutes=1)]
    asyncio.run(database.run(lambda tx: tx.execute(text("SELECT 1"))))
    assert len(told.dues) == 1


def test_rolled_back_work_tells_nobody_not_even_later(database: Database, told: Told) -> None:
    def work(tx: Connection) -> None:
        outbox.add_mail(tx, MAIL, due=AT)
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(database.run(work))
    asyncio.run(database.run(lambda tx: tx.execute(text("SELECT 1"))))
    assert told.dues == []


def test_task_that_is_put_off_tells_when_it_is_due_again(database: Database, told: Told) -> None:
    def claim(tx: Connection) -> outbox.Task:
        outbox.add_mail(tx, MAIL, due=AT)
        return outbox.claim(tx, most={outbox.MAIL: 1}, at=AT, lease=timedelta(minutes=1))[0]

    task = asyncio.run(database.run(claim))
    asyncio.run(database.run(lambda tx: outbox.put_off(tx, task, until=AT + timedelta(seconds=10))))
    assert told.dues == [AT, AT + timedelta(seconds=10)]


def _settings(database_url: str, queue: str | None) -> Settings:
    return Settings(
        public_url="https://kheops.example",
        database_url=database_url,  # type: ignore[arg-type]
        store_kind="dicomweb",
        store_url="https://pacs.example/dicom-web",
        issuers=(IssuerSettings(issuer="https://idp.example", audiences=("a",), access_token_typ="at+jwt"),),
        token_pepper="pepper-0123456789abcdefghijklmnopqrst",  # type: ignore[arg-type]
        session_key="session-0123456789abcdefghijklmnopqrs",  # type: ignore[arg-type]
        delivery_queue=queue,
    )


def _add_a_mail(settings: Settings) -> None:
    async def main() -> None:
        process = Process(settings)
        try:
            await process.check()
            await process.database.run(lambda tx: outbox.add_mail(tx, MAIL, due=clock.now()))
        finally:
            await process.aclose()

    asyncio.run(main())


def test_process_wakes_the_deliverer_with_the_token_of_its_account_and_waits_for_that_at_its_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_cloud_tasks() as tasks:
        source = (tasks.token, clock.now() + timedelta(hours=1))
        monkeypatch.setattr(google_credentials, "application_default", lambda: lambda: source)
        _add_a_mail(_settings(database_url, tasks.queue))
        assert len(tasks.tasks) == 1
        assert abs(tasks.due[0] - clock.now()) < timedelta(seconds=5)


def test_process_without_a_queue_asks_nobody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise AssertionError

    monkeypatch.setattr(google_credentials, "application_default", fails)
    _add_a_mail(_settings(database_url, None))
