"""The hot lookup: prepared statements on connections of their own, for the pixel path.

pg8000 is as fast as any driver with prepared statements and three to five times dearer without (measured), and
SQLAlchemy prepares none. Each thread owns one connection; a lost connection is opened again and the statement run
once more, which is safe since all of them only read.
"""

import asyncio
import contextlib
import queue
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pg8000.dbapi
import pg8000.native

from kheops.domain.policy import ReadScope, Source
from kheops.domain.principals import CapabilityPermissions, LinkVisit
from kheops.domain.resources import SeriesFacts, SeriesRef
from kheops.errors import DatabaseUnavailableError
from kheops.ids import (
    AlbumPk,
    CapabilityId,
    LinkId,
    LinkPk,
    LinkVisitPk,
    ReportProviderId,
    ReportTokenPk,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)
from kheops.observability import get_logger
from kheops.storage.connections import ConnectionSource, DirectConnections
from kheops.storage.link_standing import LINK_STANDS
from kheops.storage.role_rows import ROLE_COLUMNS, ROLE_WIDTH, role_of
from kheops.storage.visibility import holds, scope_parameters

__all__ = [
    "CapabilityOnRecord",
    "HotLookup",
    "InstanceFacts",
    "LinkVisitOnRecord",
    "ReportTokenOnRecord",
    "ViewerTokenOnRecord",
]

_LOG = get_logger(__name__)

_STATEMENT_TIMEOUT: Final = "2s"
_QUEUE_LIMIT: Final = 2048
"""Lookups that may wait; beyond it the answer is 503 at once."""

_CAPABILITY_COLUMNS: Final = (
    "c.id, c.user_pk, u.iss, u.sub, c.album_pk, c.read_permission, c.write_permission, c.appropriate_permission, "
    "c.download_permission, c.not_before, c.expires_at, c.pk"
)
_CAPABILITY_WIDTH: Final = 12
_CAPABILITY_STANDS: Final = """
    c.revoked_at IS NULL AND (c.album_pk IS NULL OR EXISTS (
        SELECT 1 FROM album_members m WHERE m.user_pk = c.user_pk AND m.album_pk = c.album_pk AND m.is_admin))
"""
"""It is not revoked, and its owner still stands behind it."""

_INSTANCES: Final = "JOIN instances i ON i.series_pk = s.pk AND i.state = 'confirmed'"
_OF_SERIES: Final = "AND s.study_instance_uid = :study AND s.series_instance_uid = :series"


def _series(*, by_group: bool) -> str:
    return f"SELECT {ROLE_COLUMNS}, NULL::text {holds(by_group=by_group, listed=True)} {_OF_SERIES}"


def _instance(*, by_group: bool) -> str:
    held = holds(by_group=by_group, listed=True, joined=_INSTANCES)
    columns = f"{ROLE_COLUMNS}, i.sha256, i.transfer_syntax_uid"
    return f"SELECT {columns} {held} {_OF_SERIES} AND i.sop_instance_uid = :instance"  # noqa: S608 - constants only


_STATEMENTS: Final = {
    # Who presents no group is not made to pay for those who do.
    "series": _series(by_group=False),
    "series by group": _series(by_group=True),
    "instance": _instance(by_group=False),
    "instance by group": _instance(by_group=True),
    "capability": f"""
        SELECT {_CAPABILITY_COLUMNS}
        FROM capabilities c JOIN users u ON u.pk = c.user_pk AND u.suspended_at IS NULL
        WHERE c.secret_hash = :secret_hash AND {_CAPABILITY_STANDS}
    """,  # noqa: S608 - constants only
    "viewer token": f"""
        SELECT {_CAPABILITY_COLUMNS}, v.pk, v.user_pk, v.acting_party, v.study_instance_uid, v.source_inbox,
               v.source_album_pk, v.read_permission, v.write_permission, v.expires_at, v.group_values, v.groups_until
        FROM viewer_tokens v JOIN users u ON u.pk = v.user_pk AND u.suspended_at IS NULL
        LEFT JOIN capabilities c ON c.pk = v.capability_pk
        WHERE v.secret_hash = :secret_hash AND v.revoked_at IS NULL
          AND (v.capability_pk IS NULL OR ({_CAPABILITY_STANDS}))
    """,  # noqa: S608 - constants only
    "link visit": f"""
        SELECT v.pk, l.pk, l.id, l.user_pk, u.iss, u.sub, l.album_pk, l.download_permission, v.expires_at
        FROM link_visits v JOIN links l ON l.pk = v.link_pk
        JOIN users u ON u.pk = l.user_pk AND u.suspended_at IS NULL
        WHERE v.secret_hash = :secret_hash AND {LINK_STANDS}
    """,  # noqa: S608 - constants only
    # Only a membership of one's own counts: own tokens inherit no groups.
    "report token": f"""
        SELECT {_CAPABILITY_COLUMNS}, r.pk, r.user_pk, r.acting_party, p.client_id, p.album_pk,
               r.study_instance_uids, r.read_permission, r.write_permission, r.expires_at
        FROM report_tokens r JOIN users u ON u.pk = r.user_pk AND u.suspended_at IS NULL
        JOIN report_providers p ON p.pk = r.provider_pk AND p.removed_at IS NULL
        JOIN album_members n ON n.user_pk = r.user_pk AND n.album_pk = p.album_pk
        LEFT JOIN capabilities c ON c.pk = r.capability_pk
        WHERE r.secret_hash = :secret_hash AND r.revoked_at IS NULL
          AND (r.capability_pk IS NULL OR ({_CAPABILITY_STANDS}))
    """,  # noqa: S608 - constants only
}
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What storage found of an instance for a scope: the series, and the instance if it is confirmed in it."""

    series: SeriesFacts | None
    confirmed: SopInstanceUID | None
    sha256: bytes | None = None
    """Of the file as it was received; not known of one that came by another way."""
    transfer_syntax_uid: str | None = None


@dataclass(frozen=True, slots=True)
class CapabilityOnRecord:
    """A capability token that is not revoked and whose owner still stands behind it; its times are not checked."""

    pk: int
    capability: CapabilityId
    user: UserPk
    iss: str
    sub: str
    album: AlbumPk | None
    permissions: CapabilityPermissions
    not_before: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LinkVisitOnRecord:
    """A visit by a link that still stands; its time is not checked."""

    visitor: LinkVisit
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ViewerTokenOnRecord:
    """A viewer token that nothing has ended but perhaps time, which is not checked."""

    viewer: ViewerTokenPk
    user: UserPk
    iss: str
    sub: str
    acting_party: str | None
    capability: CapabilityOnRecord | None
    """The capability token that it comes from, if it does; its times are not checked either."""
    study: StudyInstanceUID
    source: Source
    read: bool
    write: bool
    expires_at: datetime
    groups: frozenset[str]
    """What its person presented when it was made."""
    groups_until: datetime | None
    """When that ended or will end; ``None`` as long as the token lives."""


@dataclass(frozen=True, slots=True)
class ReportTokenOnRecord:
    """A report token that nothing has ended but perhaps time, which is not checked."""

    report: ReportTokenPk
    user: UserPk
    iss: str
    sub: str
    acting_party: str | None
    capability: CapabilityOnRecord | None
    """The capability token by which the report was asked for, if it was; its times are not checked either."""
    provider: ReportProviderId
    album: AlbumPk
    studies: tuple[StudyInstanceUID, ...]
    read: bool
    write: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Job:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Sequence[Sequence[Any]]]
    statement: str
    parameters: dict[str, object]


class HotLookup:
    """Answers the questions that every pixel request asks.

    Parameters
    ----------
    source
        What opens connections; or what `kheops.storage.connections.connection_arguments` returned, for direct ones.
    threads
        Worker threads, each with one connection.
    """

    def __init__(self, source: ConnectionSource | dict[str, Any], *, threads: int) -> None:
        self._source = DirectConnections(source) if isinstance(source, dict) else source
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"lookup-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def series(self, scope: ReadScope, ref: SeriesRef) -> SeriesFacts | None:
        """Return the holdings by which ``scope`` reaches a series; ``None`` if hidden or absent alike."""
        rows = await self._ask(
            _by_group("series", scope),
            {**_scope(scope), "study": ref.study_instance_uid, "series": ref.series_instance_uid},
        )
        return _facts(ref, rows)

    async def instance(self, scope: ReadScope, ref: SeriesRef, instance: SopInstanceUID) -> InstanceFacts:
        """Return as `series` does, with the instance if the catalog has it as confirmed in that series."""
        rows = await self._ask(
            _by_group("instance", scope),
            {
                **_scope(scope),
                "study": ref.study_instance_uid,
                "series": ref.series_instance_uid,
                "instance": instance,
            },
        )
        facts = _facts(ref, rows)
        if facts is None:
            return InstanceFacts(None, None)
        return InstanceFacts(facts, instance, *rows[0][ROLE_WIDTH:])

    async def capability(self, secret_hash: bytes) -> CapabilityOnRecord | None:
        """Return the capability whose secret has this hash, unless it is revoked or its owner has lost the right."""
        rows = await self._ask("capability", {"secret_hash": secret_hash})
        return _capability(rows[0]) if rows else None

    async def viewer_token(self, secret_hash: bytes) -> ViewerTokenOnRecord | None:
        """Return the viewer token whose secret has this hash, unless it or what it comes from has been ended."""
        rows = await self._ask("viewer token", {"secret_hash": secret_hash})
        return _viewer_token(rows[0]) if rows else None

    async def report_token(self, secret_hash: bytes) -> ReportTokenOnRecord | None:
        """Return the report token whose secret has this hash, unless it or what it comes from has been ended."""
        rows = await self._ask("report token", {"secret_hash": secret_hash})
        return _report_token(rows[0]) if rows else None

    async def link_visit(self, secret_hash: bytes) -> LinkVisitOnRecord | None:
        """Return the visit whose token has this hash, unless it or its link has been ended."""
        rows = await self._ask("link visit", {"secret_hash": secret_hash})
        return _link_visit(rows[0]) if rows else None

    async def aclose(self) -> None:
        """End the threads and close their connections."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 5)

    async def _ask(self, statement: str, parameters: dict[str, object]) -> Sequence[Sequence[Any]]:
        if self._jobs.qsize() >= _QUEUE_LIMIT:
            raise DatabaseUnavailableError("Too many requests wait for the database.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Sequence[Any]]] = loop.create_future()
        self._jobs.put(_Job(loop, future, statement, parameters))
        return await future

    def _work(self) -> None:
        worker = _Worker(self._source)
        while (job := self._jobs.get()) is not None:
            try:
                rows = worker.run(job.statement, job.parameters)
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiting request must hear of it
                _deliver(job, None, error)
            else:
                _deliver(job, rows, None)
        worker.close()


class _Worker:
    """One connection with its prepared statements; used by one thread."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        self._connection: pg8000.dbapi.Connection | None = None
        self._prepared: dict[str, Any] = {}

    def run(self, statement: str, parameters: dict[str, object]) -> Sequence[Sequence[Any]]:
        fresh = self._connection is None
        try:
            return self._run(statement, parameters)
        except pg8000.native.DatabaseError as error:
            # The server's word about the statement; the connection survives, unless the server is going away.
            code = error.args[0].get("C", "") if error.args and isinstance(error.args[0], dict) else ""
            if not code.startswith("57P"):
                _LOG.warning("lookup.failed", statement=statement, sqlstate=code)
                raise DatabaseUnavailableError from None
        except (pg8000.native.InterfaceError, OSError) as error:
            _LOG.warning("lookup.connection_lost", error=type(error).__name__)
        self.close()
        if fresh:
            raise DatabaseUnavailableError
        try:
            return self._run(statement, parameters)
        except (pg8000.native.DatabaseError, pg8000.native.InterfaceError, OSError) as error:
            _LOG.warning("lookup.unavailable", error=type(error).__name__)
            self.close()
            raise DatabaseUnavailableError from None

    def close(self) -> None:
        self._prepared.clear()
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _run(self, statement: str, parameters: dict[str, object]) -> Sequence[Sequence[Any]]:
        if self._connection is None:
            connection = self._source.open()
            self._connection = connection
            # Not by a cursor, which would begin a transaction.
            connection.execute_simple(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'")
            connection.execute_simple("SET default_transaction_read_only = on")
            connection.execute_simple("SET timezone = 'UTC'")
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = pg8000.native.PreparedStatement(self._connection, _typed(_STATEMENTS[statement]))
            self._prepared[statement] = prepared
        rows: Sequence[Sequence[Any]] = prepared.run(**parameters)
        return rows


_TYPES: Final = {
    "scope_user": "bigint",
    "scope_groups": "text[]",
    "scope_album": "bigint",
    "scope_inbox": "boolean",
    "scope_admin": "boolean",
    "scope_sending": "boolean",
    "scope_link": "bigint",
    "scope_studies": "text[]",
    "study": "text",
    "series": "text",
    "instance": "text",
    "secret_hash": "bytea",
}


def _by_group(statement: str, scope: ReadScope) -> str:
    return f"{statement} by group" if scope.groups else statement


def _scope(scope: ReadScope) -> dict[str, object]:
    parameters = scope_parameters(scope)
    if not scope.groups:
        del parameters["scope_groups"]
    return parameters


def _typed(sql: str) -> str:
    """Cast each parameter, since a statement is prepared before the driver sees a value to infer a type from."""
    return _PARAMETER.sub(lambda match: f"CAST(:{match[1]} AS {_TYPES[match[1]]})", sql)


def _deliver(job: _Job, rows: Sequence[Sequence[Any]] | None, error: Exception | None) -> None:
    def settle() -> None:
        if job.future.cancelled():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(rows if rows is not None else ())

    # The loop is closed when the process ends before the answer: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        job.loop.call_soon_threadsafe(settle)


def _facts(ref: SeriesRef, rows: Sequence[Sequence[Any]]) -> SeriesFacts | None:
    if not rows:
        return None
    return SeriesFacts(ref, tuple(map(role_of, rows)))


def _capability(row: Sequence[Any]) -> CapabilityOnRecord:
    return CapabilityOnRecord(
        pk=row[11],
        capability=CapabilityId(row[0]),
        user=UserPk(row[1]),
        iss=row[2],
        sub=row[3],
        album=None if row[4] is None else AlbumPk(row[4]),
        permissions=CapabilityPermissions(read=row[5], write=row[6], appropriate=row[7], download=row[8]),
        not_before=row[9],
        expires_at=row[10],
    )


def _link_visit(row: Sequence[Any]) -> LinkVisitOnRecord:
    visit, pk, link, user, iss, sub, album, download, expires_at = row
    visitor = LinkVisit(
        visit=LinkVisitPk(visit),
        link=LinkId(link),
        pk=LinkPk(pk),
        user=UserPk(user),
        iss=iss,
        sub=sub,
        album=None if album is None else AlbumPk(album),
        download=download,
    )
    return LinkVisitOnRecord(visitor, expires_at)


def _viewer_token(row: Sequence[Any]) -> ViewerTokenOnRecord:
    pk, user, acting_party, study, inbox, album, read, write, expires_at, groups, groups_until = row[
        _CAPABILITY_WIDTH:
    ]
    return ViewerTokenOnRecord(
        viewer=ViewerTokenPk(pk),
        user=UserPk(user),
        iss=row[2],
        sub=row[3],
        acting_party=acting_party,
        capability=None if row[0] is None else _capability(row),
        study=StudyInstanceUID(study),
        source=Source(inbox=inbox, album=None if album is None else AlbumPk(album)),
        read=read,
        write=write,
        expires_at=expires_at,
        groups=frozenset(groups),
        groups_until=groups_until,
    )


def _report_token(row: Sequence[Any]) -> ReportTokenOnRecord:
    pk, user, acting_party, provider, album, studies, read, write, expires_at = row[_CAPABILITY_WIDTH:]
    return ReportTokenOnRecord(
        report=ReportTokenPk(pk),
        user=UserPk(user),
        iss=row[2],
        sub=row[3],
        acting_party=acting_party,
        capability=None if row[0] is None else _capability(row),
        provider=ReportProviderId(provider),
        album=AlbumPk(album),
        studies=tuple(map(StudyInstanceUID, studies)),
        read=read,
        write=write,
        expires_at=expires_at,
    )
