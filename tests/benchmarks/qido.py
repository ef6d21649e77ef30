"""How long the database takes for the study list of a person with 10,000 studies, in a large catalog and a small one.

``python -m tests.benchmarks.qido [--studies N]``. Times are the database's own (``EXPLAIN ANALYZE`` of the statements
that `kheops.storage.catalog_search.find` sends), the median of several runs. The ratio of the large catalog to the
small one, for the same person with the same studies, says how the cost grows with what others have.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import Connection, event

from kheops.dicomweb.attributes import Level
from kheops.dicomweb.query import parse_query
from kheops.domain.policy import Denied, Source, read_scope
from kheops.domain.principals import Person
from kheops.ids import UserPk
from kheops.storage.catalog_search import Criteria, Page, find
from kheops.storage.engine import Database, connection_arguments
from tests.benchmarks.large_catalog import STUDIES_OF_THE_READER, Size, fill
from tests.postgres import Server, start_server

__all__ = ["LISTS", "Asked", "plans_of"]

LARGE = Size(studies=200_000, people=2_000, albums=5_000)
SMALL = Size(studies=20_000, people=200, albums=500)
ROUNDS = 7
TARGET_MS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A list that somebody asks for."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    offset: int = 0


LISTS: tuple[Asked, ...] = (
    Asked("first page"),
    Asked("last page", offset=STUDIES_OF_THE_READER - 25),
    Asked("by name", (("PatientName", "Family1*"),)),
    Asked("by date", (("StudyDate", "20100101-20101231"),)),
    Asked("by modality", (("ModalitiesInStudy", "SR"),)),
    Asked("sorted by name", (("sort", "PatientName"),)),
)


def plans_of(tx: Connection, reader: UserPk, asked: Asked) -> tuple[Page, list[dict[str, Any]]]:
    """Search, and return what was found with the executed plan of each statement that it took."""
    query = parse_query(Level.STUDY, asked.parameters)
    criteria = Criteria(level=Level.STUDY, matches=query.matches, sort=query.sort, limit=25, offset=asked.offset)
    scope = read_scope(Person(reader, "https://idp.example", "reader", "token"), Source())
    assert not isinstance(scope, Denied)
    statements: list[tuple[str, Sequence[Any]]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Sequence[Any], *_rest: object) -> None:
        statements.append((statement, parameters))

    event.listen(tx.engine, "before_cursor_execute", note)
    try:
        page = find(tx, scope, criteria)
    finally:
        event.remove(tx.engine, "before_cursor_execute", note)
    plans = []
    cursor = tx.connection.cursor()
    for statement, parameters in statements:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
        row = cursor.fetchone()
        assert row is not None
        explained = row[0]
        plans.append((explained if isinstance(explained, list) else json.loads(explained))[0])
    return page, plans


def _times(server: Server, size: Size) -> dict[str, float]:
    url = server.migrated()
    database = Database({**connection_arguments(url), "timeout": 3600}, size=1)
    try:
        reader = fill(database, size)
        found = {}
        for asked in LISTS:
            runs = []
            for _ in range(ROUNDS):
                page, plans = database.run_blocking(partial(plans_of, reader=reader, asked=asked))
                assert page.found, asked
                runs.append(sum(plan["Execution Time"] + plan["Planning Time"] for plan in plans))
            found[asked.name] = median(runs)
        return found
    finally:
        database.close()
        server.drop(url)


def main() -> int:
    """Print the table; 1 if a list takes longer than the target at the median."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--studies", type=int, default=LARGE.studies, help="studies of the large catalog")
    studies = arguments.parse_args().studies
    with start_server() as server:
        small, large = _times(server, SMALL), _times(server, Size(studies, LARGE.people, LARGE.albums))
    print(f"{STUDIES_OF_THE_READER:,} studies of one person, among {SMALL.studies:,} and among {studies:,}; median of")
    print(f"{ROUNDS} runs, milliseconds of the database (planning and executing)\n")
    print(f"{'list':16} {'small':>8} {'large':>8} {'ratio':>6}")
    for name, milliseconds in large.items():
        print(f"{name:16} {small[name]:8.1f} {milliseconds:8.1f} {milliseconds / small[name]:6.2f}")
    slow = [name for name, milliseconds in large.items() if milliseconds > TARGET_MS]
    print(f"\nover {TARGET_MS} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
