"""A small world for storing: three people, an album, a store in memory, a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest
from sqlalchemy import text

from kheops import clock
from kheops.archive.port import Archive
from kheops.domain.policy import StoreTarget
from kheops.domain.principals import Person, Principal
from kheops.domain.profiles import Profile
from kheops.domain.resources import InstanceRef
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.reconcile import Reconciler, Reconciliation
from kheops.services.store import Storing
from kheops.services.store_report import StoreReport
from kheops.storage import people
from kheops.storage.engine import Database, connection_arguments
from tests.dicom_files import multipart
from tests.fakes.memory_archive import MemoryArchive


@dataclass
class StoreWorld:
    """Everything a test of storing needs."""

    database: Database
    archive: MemoryArchive
    moved: timedelta = field(default_factory=timedelta)
    lease_seconds: float = 60

    def now(self) -> datetime:
        return clock.now() + self.moved

    def storing(self) -> Storing:
        return Storing(
            database=self.database,
            archive=cast("Archive", self.archive),
            clock=self.now,
            lease_seconds=self.lease_seconds,
            held_bytes=64 * 1024 * 1024,
        )

    def person(self, sub: str) -> Person:
        record = self.database.run_blocking(
            lambda tx: people.create_user(
                tx,
                iss="https://idp.example",
                sub=sub,
                profile=Profile(None, email_verified=False, name=sub),
                at=self.now(),
            )
        )
        return Person(user=record.user, iss=record.iss, sub=record.sub, token_id="test")

    def store(
        self,
        principal: Principal,
        *files: bytes,
        album: AlbumId | None = None,
        study: str | None = None,
        body: AsyncIterator[bytes] | None = None,
        storing: Storing | None = None,
        target: StoreTarget | None = None,
    ) -> StoreReport:
        async def run() -> StoreReport:
            service = storing or self.storing()
            into = target or await service.target(principal, album)
            return await service.store(
                principal=principal,
                target=into,
                study=None if study is None else StudyInstanceUID(study),
                body=body if body is not None else whole(multipart(*files)),
                boundary=b"b0undary",
                use=Use(
                    user=User(principal.iss, principal.sub, principal.token_id),
                    kind=UseKind.STORE,
                    outcome=Outcome.GRANTED,
                    source_address="127.0.0.1",
                    request_id="r",
                ),
            )

        return asyncio.run(run())

    def reconcile(self) -> Reconciliation:
        reconciler = Reconciler(self.database, cast("Archive", self.archive), self.now)
        return asyncio.run(reconciler.run())

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.database.run_blocking(lambda tx: tx.execute(text(sql)).all())]

    def execute(self, sql: str, **parameters: object) -> None:
        self.database.run_blocking(lambda tx: tx.execute(text(sql), parameters))

    def states(self) -> dict[str, tuple[str, int]]:
        """Return the state and number of confirmed instances of each series."""
        return {
            str(uid): (str(state), int(str(number)))
            for uid, state, number in self.rows("SELECT series_instance_uid, state, number_of_instances FROM series")
        }

    def instance_states(self) -> dict[str, str]:
        return {str(u): str(s) for u, s in self.rows("SELECT sop_instance_uid, state FROM instances")}

    def holders(self, series: str) -> set[str]:
        return {
            str(row[0])
            for row in self.rows(
                "SELECT u.sub FROM album_series x JOIN series s ON s.pk = x.series_pk "
                "JOIN album_members m ON m.album_pk = x.album_pk JOIN users u ON u.pk = m.user_pk "
                f"WHERE s.series_instance_uid = '{series}'"
            )
        }


async def whole(body: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Give a body in chunks, as a server does."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.fixture
def world(database_url: str) -> Iterator[StoreWorld]:
    database = Database(connection_arguments(database_url), size=4)
    yield StoreWorld(database, MemoryArchive())
    database.close()


def reasons(report: StoreReport) -> dict[str, int]:
    """Return failure reasons by SOP Instance UID."""
    return {item.sop_instance_uid: item.reason for item in report.failed}


def stored(report: StoreReport) -> set[str]:
    """Return the SOP Instance UIDs that were stored."""
    return {item.ref.sop_instance_uid for item in report.stored}


def in_store(world: StoreWorld, ref: InstanceRef) -> bool:
    """Return whether the bytes lie in the store."""
    return ref in world.archive.files
