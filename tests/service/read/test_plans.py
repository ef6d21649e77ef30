"""The study list reads what its reader has, by indexes, however much others have."""

from collections.abc import Iterator
from typing import Any

import pytest

from kheops.ids import UserPk
from kheops.storage.engine import Database, connection_arguments
from tests.benchmarks.large_catalog import STUDIES_OF_THE_READER, Size, fill
from tests.benchmarks.qido import LISTS, Asked, plans_of
from tests.postgres import Server

# Large enough for the planner to see that reading a table whole is dear: 100,000 series.
SIZE = Size(studies=20_000, people=200, albums=500)
LARGE = {"series", "instances", "album_series", "events", "audit"}


@pytest.fixture(scope="module")
def filled(postgres: Server) -> Iterator[tuple[Database, UserPk]]:
    url = postgres.migrated()
    database = Database({**connection_arguments(url), "timeout": 600}, size=1)
    yield database, fill(database, SIZE)
    database.close()
    postgres.drop(url)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the node type and table of every scan of a plan."""
    if "Relation Name" in plan:
        yield plan["Node Type"], plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from scans(below)


@pytest.mark.parametrize("asked", LISTS, ids=lambda asked: asked.name)
def test_no_large_table_is_read_whole(filled: tuple[Database, UserPk], asked: Asked) -> None:
    database, reader = filled
    page, plans = database.run_blocking(lambda tx: plans_of(tx, reader, asked))
    assert page.found
    found = [scan for plan in plans for scan in scans(plan["Plan"])]
    assert {table for _, table in found} >= {"series", "album_series"}
    assert [scan for scan in found if scan[0] == "Seq Scan" and scan[1] in LARGE] == []


def rows_read(plan: dict[str, Any], table: str) -> int:
    """Return how many rows of a table the scans of a plan gave."""
    given = plan["Actual Rows"] * plan["Actual Loops"] if plan.get("Relation Name") == table else 0
    return round(given) + sum(rows_read(below, table) for below in plan.get("Plans", ()))


def test_a_list_reads_each_pointer_once_and_series_for_its_studies_only(filled: tuple[Database, UserPk]) -> None:
    database, reader = filled
    _, (listing, page) = database.run_blocking(lambda tx: plans_of(tx, reader, LISTS[0]))
    # 52,500; the plan has the rounded mean of a scan of each album.
    assert 50_000 < rows_read(listing["Plan"], "album_series") < 55_000
    assert rows_read(listing["Plan"], "series") == STUDIES_OF_THE_READER
    # Of the 25 studies of the page.
    assert rows_read(page["Plan"], "album_series") <= 10 * 25


def test_statements_are_not_compiled(filled: tuple[Database, UserPk]) -> None:
    database, _ = filled
    assert database.run_blocking(lambda tx: tx.exec_driver_sql("SHOW jit").scalar_one()) == "off"


def test_every_study_of_the_reader_is_counted_once(filled: tuple[Database, UserPk]) -> None:
    # A tenth of half of them is in the inbox and in an album as well.
    database, reader = filled
    page, _ = database.run_blocking(lambda tx: plans_of(tx, reader, LISTS[0]))
    assert page.total == STUDIES_OF_THE_READER
    assert {found["NumberOfStudyRelatedSeries"] for found in page.found} == {5}
