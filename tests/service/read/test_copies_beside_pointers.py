"""What stands of a series beside the pointers to it is what the series is, whoever writes, and lists rest on that."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import kheops.storage.schema
from kheops.dicomweb.attributes import Level
from kheops.dicomweb.query import parse_query
from kheops.domain.policy import Denied, Source, read_scope
from kheops.domain.principals import Person
from kheops.storage.catalog_search import Criteria, Page, find
from kheops.storage.engine import Database, connection_arguments
from tests.postgres import Server
from tests.service.read.catalog import Catalog, Somebody

DIFFERING = """
    SELECT count(*) FROM album_series x JOIN series s ON s.pk = x.series_pk
    WHERE (x.study_instance_uid, x.modality, x.is_shown) IS DISTINCT FROM
          (s.study_instance_uid, s.modality, s.state = 'confirmed' AND s.number_of_instances > 0)
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(connection_arguments(database_url), size=3)
    yield opened
    opened.close()


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return Catalog(database)


def listed(database: Database, reader: Somebody, *parameters: tuple[str, str]) -> Page:
    """Return all studies that the reader's list has."""
    query = parse_query(Level.STUDY, parameters)
    scope = read_scope(Person(reader.user, "https://idp.example", "reader", "token"), Source())
    assert not isinstance(scope, Denied)
    criteria = Criteria(level=Level.STUDY, matches=query.matches, sort=query.sort, limit=10, offset=0)
    return database.run_blocking(lambda tx: find(tx, scope, criteria))


@pytest.mark.parametrize(
    ("change", "is_listed"),
    [
        ("state = 'deleting'", False),
        ("state = 'orphan', orphaned_at = now()", False),
        ("state = 'reserved', lease_until = now()", False),
        ("number_of_instances = 0", False),
        ("number_of_instances = number_of_instances + 1", True),
        ("modality = 'MR'", True),
        ("modality = NULL", True),
        ("study_instance_uid = '1.9'", True),
    ],
)
def test_a_series_that_changes_changes_in_every_place_that_holds_it(
    database: Database, catalog: Catalog, change: str, is_listed: bool
) -> None:
    reader, other = catalog.person("reader"), catalog.person("other")
    album = catalog.album(reader)
    catalog.series(reader, other, album, study="1.1", series="1.1.1", Modality="CT")
    catalog.series(reader, other, study="1.2", series="1.2.1", Modality="CT")
    catalog.execute(f"UPDATE series SET {change} WHERE series_instance_uid = '1.1.1'")
    assert catalog.value(DIFFERING) == 0
    page = listed(database, reader)
    assert (page.total, len(page.found)) == ((2, 2) if is_listed else (1, 1))


def test_a_series_is_listed_once_it_is_confirmed(database: Database, catalog: Catalog) -> None:
    reader = catalog.person("reader")
    catalog.series(reader, study="1.1", series="1.1.1", state="reserved")
    assert listed(database, reader) == Page((), 0)
    catalog.execute("UPDATE series SET state = 'confirmed'")
    assert catalog.value(DIFFERING) == 0
    assert listed(database, reader).total == 1


def test_whoever_writes_a_pointer_cannot_say_what_the_series_is(database: Database, catalog: Catalog) -> None:
    reader = catalog.person("reader")
    catalog.series(study="1.1", series="1.1.1", state="deleting", Modality="CT")
    catalog.execute(
        "INSERT INTO album_series (album_pk, series_pk, added_at, study_instance_uid, modality, is_shown) "
        "SELECT :inbox, pk, now(), '1.7', 'MR', true FROM series",
        inbox=reader.inbox,
    )
    assert catalog.rows("SELECT study_instance_uid, modality, is_shown FROM album_series") == [("1.1", "CT", False)]
    assert listed(database, reader) == Page((), 0)


def test_a_pointer_made_while_its_series_is_being_hidden_is_hidden(database: Database, catalog: Catalog) -> None:
    reader, other = catalog.person("reader"), catalog.person("other")
    catalog.series(other, study="1.1", series="1.1.1")
    adding = threading.Thread(
        target=catalog.execute,
        args=("INSERT INTO album_series (album_pk, series_pk, added_at) SELECT :inbox, pk, now() FROM series",),
        kwargs={"inbox": reader.inbox},
    )
    with database.connect() as hiding:
        hiding.execute(text("UPDATE series SET state = 'deleting'"))
        adding.start()
        deadline = time.monotonic() + 10
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while catalog.value(waiting) == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert adding.is_alive()
        hiding.commit()
    adding.join(10)
    assert catalog.value("SELECT count(*) FROM album_series") == 2
    assert catalog.value(DIFFERING) == 0


@pytest.mark.parametrize(
    ("asked", "total"),
    [("CT", 2), ("ct", 2), ("MR", 1), ("C*", 2), ("?*", 3), ("?R", 2), ("PT", 0), ("CT,MR", 2)],
)
def test_a_modality_is_looked_for_in_all_series_of_a_study(
    database: Database, catalog: Catalog, asked: str, total: int
) -> None:
    reader, other = catalog.person("reader"), catalog.person("other")
    catalog.series(reader, study="1.1", series="1.1.1", Modality="CT")
    catalog.series(reader, study="1.1", series="1.1.2", Modality="MR")
    catalog.series(reader, study="1.2", series="1.2.1", Modality="CT")
    catalog.series(reader, study="1.3", series="1.3.1", Modality="SR")
    catalog.series(reader, study="1.4", series="1.4.1", Modality="")
    catalog.series(reader, study="1.5", series="1.5.1")
    catalog.series(other, study="1.3", series="1.3.2", Modality="PT")
    page = listed(database, reader, ("ModalitiesInStudy", asked))
    assert page.total == len(page.found) == total


def test_pointers_from_before_the_migration_are_completed(postgres: Server) -> None:
    url = postgres.url(postgres.create())
    database = Database(connection_arguments(url), size=1)
    folder = Path(kheops.storage.schema.__file__).parent / "migrations"
    at = datetime(2026, 1, 1, tzinfo=UTC)

    def upgrade(revision: str) -> None:
        with database.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(folder))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()

    try:
        upgrade("0011")
        catalog = Catalog(database)
        catalog.execute(
            "INSERT INTO albums (id, kind, name, created_at, last_event_at) VALUES ('a', 'album', '', :at, :at)", at=at
        )
        catalog.execute(
            "INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, updated_at, "
            "number_of_instances, modality) VALUES ('1.1', '1.1.1', 'confirmed', :at, :at, 1, 'CT'), "
            "('1.1', '1.1.2', 'deleting', :at, :at, 1, 'MR'), ('1.2', '1.2.1', 'confirmed', :at, :at, 0, NULL)",
            at=at,
        )
        catalog.execute(
            "INSERT INTO album_series (album_pk, series_pk, added_at) SELECT a.pk, s.pk, :at FROM albums a, series s",
            at=at,
        )
        upgrade("head")
        assert catalog.rows("SELECT study_instance_uid, modality, is_shown FROM album_series ORDER BY series_pk") == [
            ("1.1", "CT", True),
            ("1.1", "MR", False),
            ("1.2", None, False),
        ]
    finally:
        database.close()
        postgres.drop(url)
