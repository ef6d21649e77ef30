"""The hot lookup: the questions that every pixel request asks, on prepared statements."""

from dataclasses import dataclass
from typing import Any, Final

from kheops.domain.policy import ReadScope
from kheops.domain.resources import SeriesFacts, SeriesRef
from kheops.ids import SopInstanceUID
from kheops.storage.connections import ConnectionSource, DirectConnections
from kheops.storage.prepared_statements import PreparedStatements, Rows
from kheops.storage.role_rows import ROLE_COLUMNS, ROLE_WIDTH, role_of
from kheops.storage.token_records import (
    TOKEN_STATEMENTS,
    CapabilityOnRecord,
    LinkVisitOnRecord,
    ReportTokenOnRecord,
    ViewerTokenOnRecord,
    capability_of,
    link_visit_of,
    report_token_of,
    viewer_token_of,
)
from kheops.storage.visibility import holds, scope_parameters

__all__ = ["HotLookup", "InstanceFacts"]

_INSTANCES: Final = "JOIN instances i ON i.series_pk = s.pk AND i.state = 'confirmed'"
_OF_SERIES: Final = "AND s.study_instance_uid = :study AND s.series_instance_uid = :series"


def _series(*, by_group: bool) -> str:
    return f"SELECT {ROLE_COLUMNS}, NULL::text {holds(by_group=by_group, listed=True)} {_OF_SERIES}"


def _instance(*, by_group: bool) -> str:
    held = holds(by_group=by_group, listed=True, joined=_INSTANCES)
    columns = f"{ROLE_COLUMNS}, i.sha256, i.transfer_syntax_uid"
    return f"SELECT {columns} {held} {_OF_SERIES} AND i.sop_instance_uid = :instance"


_STATEMENTS: Final = {
    # Who presents no group is not made to pay for those who do.
    "series": _series(by_group=False),
    "series by group": _series(by_group=True),
    "instance": _instance(by_group=False),
    "instance by group": _instance(by_group=True),
    **TOKEN_STATEMENTS,
}
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


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What storage found of an instance for a scope: the series, and the instance if it is confirmed in it."""

    series: SeriesFacts | None
    confirmed: SopInstanceUID | None
    sha256: bytes | None = None
    """Of the file as it was received; not known of one that came by another way."""
    transfer_syntax_uid: str | None = None


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
        opened = DirectConnections(source) if isinstance(source, dict) else source
        self._statements = PreparedStatements(opened, _STATEMENTS, _TYPES, threads=threads)

    async def series(self, scope: ReadScope, ref: SeriesRef) -> SeriesFacts | None:
        """Return the holdings by which ``scope`` reaches a series; ``None`` if hidden or absent alike."""
        rows = await self._statements.run(
            _by_group("series", scope),
            {**_scope(scope), "study": ref.study_instance_uid, "series": ref.series_instance_uid},
        )
        return _facts(ref, rows)

    async def instance(self, scope: ReadScope, ref: SeriesRef, instance: SopInstanceUID) -> InstanceFacts:
        """Return as `series` does, with the instance if the catalog has it as confirmed in that series."""
        rows = await self._statements.run(
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
        rows = await self._statements.run("capability", {"secret_hash": secret_hash})
        return capability_of(rows[0]) if rows else None

    async def viewer_token(self, secret_hash: bytes) -> ViewerTokenOnRecord | None:
        """Return the viewer token whose secret has this hash, unless it or what it comes from has been ended."""
        rows = await self._statements.run("viewer token", {"secret_hash": secret_hash})
        return viewer_token_of(rows[0]) if rows else None

    async def report_token(self, secret_hash: bytes) -> ReportTokenOnRecord | None:
        """Return the report token whose secret has this hash, unless it or what it comes from has been ended."""
        rows = await self._statements.run("report token", {"secret_hash": secret_hash})
        return report_token_of(rows[0]) if rows else None

    async def link_visit(self, secret_hash: bytes) -> LinkVisitOnRecord | None:
        """Return the visit whose token has this hash, unless it or its link has been ended."""
        rows = await self._statements.run("link visit", {"secret_hash": secret_hash})
        return link_visit_of(rows[0]) if rows else None

    async def aclose(self) -> None:
        """End the threads and close their connections."""
        await self._statements.aclose()


def _by_group(statement: str, scope: ReadScope) -> str:
    return f"{statement} by group" if scope.groups else statement


def _scope(scope: ReadScope) -> dict[str, object]:
    parameters = scope_parameters(scope)
    if not scope.groups:
        del parameters["scope_groups"]
    return parameters


def _facts(ref: SeriesRef, rows: Rows) -> SeriesFacts | None:
    if not rows:
        return None
    return SeriesFacts(ref, tuple(map(role_of, rows)))
