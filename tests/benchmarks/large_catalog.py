"""A large catalog: studies, people and albums in numbers of a hospital, made by the database itself.

One person (the reader) has 10,000 studies: half of them in the inbox, half in two albums of 2,500 each, with a tenth
of the first half in both. Everybody else shares the rest. Values are spread by multiplication with primes, so that two
catalogs of the same size are the same.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from kheops.ids import UserPk
from kheops.storage.engine import Database

__all__ = ["Size", "fill"]

SERIES_OF_A_STUDY = 5
STUDIES_OF_THE_READER = 10_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is; of series five times as many as of studies."""

    studies: int
    people: int
    albums: int


_PEOPLE = """
    WITH inboxes AS (
        INSERT INTO albums (id, kind, name, created_at, last_event_at)
        SELECT 'inbox' || lpad(CAST(n AS text), 5, '0'), 'inbox', '', now(), now() FROM generate_series(1, :people) n
        RETURNING pk, id
    )
    INSERT INTO users (iss, sub, name, inbox_pk, created_at)
    SELECT 'https://idp.example', 'person-' || id, 'Person ' || id, pk, now() FROM inboxes ORDER BY id
"""
_INBOX_MEMBERS = """
    INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at)
    SELECT inbox_pk, pk, false, now() FROM users
"""
_ALBUMS = """
    INSERT INTO albums (id, kind, name, created_at, last_event_at)
    SELECT 'album' || lpad(CAST(n AS text), 5, '0'), 'album', 'Album ' || n, now(), now()
    FROM generate_series(1, :albums) n
"""
# Five members each; the reader is in the first fifty.
_MEMBERS = """
    INSERT INTO album_members (album_pk, user_pk, is_admin, joined_at)
    SELECT DISTINCT ON (a.pk, u.pk) a.pk, u.pk, k = 0, now()
    FROM (SELECT pk, row_number() OVER (ORDER BY pk) AS n FROM albums WHERE kind = 'album') a
    CROSS JOIN generate_series(0, 4) k
    JOIN (SELECT pk, row_number() OVER (ORDER BY pk) AS n FROM users) u
      ON u.n = CASE WHEN k = 0 AND a.n <= 50 THEN 1 ELSE 2 + mod(a.n * 7919 + k * 104729, :people - 1) END
"""
_SERIES = """
    INSERT INTO series (study_instance_uid, series_instance_uid, state, created_at, confirmed_at, updated_at,
        number_of_instances, study_date, study_time, accession_number, referring_physician_name, patient_name,
        patient_id, patient_birth_date, patient_sex, study_id, study_description, modality, series_description,
        series_number)
    SELECT '1.2.826.0.1.' || s, '1.2.826.0.1.' || s || '.' || k, 'confirmed', now(), now(), now(),
        1 + mod(s * 31, 300),
        to_char(date '2000-01-01' + CAST(mod(s * CAST(7919 AS bigint), 9500) AS int), 'YYYYMMDD'),
        lpad(CAST(mod(s * CAST(104729 AS bigint), 24) AS text), 2, '0') ||
            lpad(CAST(mod(s, 60) AS text), 2, '0') || '00',
        'A' || s, 'Doctor^' || mod(s, 400),
        'Family' || mod(s * CAST(15485863 AS bigint), 40000) || '^Given' || mod(s, 700),
        'P' || mod(s * CAST(15485863 AS bigint), 40000), '19700101',
        CASE mod(s, 2) WHEN 0 THEN 'F' ELSE 'M' END, 'S' || s,
        'Description ' || mod(s, 300),
        (ARRAY['CT', 'MR', 'PT', 'SR', 'US', 'CR'])[1 + mod(s + k, 6)], 'Series ' || k, CAST(k AS text)
    FROM generate_series(1, :studies) s CROSS JOIN generate_series(1, 5) k
"""
_INSTANCES = """
    INSERT INTO instances (series_pk, sop_instance_uid, state, created_at, confirmed_at, instance_number)
    SELECT pk, series_instance_uid || '.1', 'confirmed', now(), now(), '1' FROM series
"""
_STUDY_NUMBER = "CAST(split_part(s.study_instance_uid, '.', 6) AS bigint)"
_HOLDINGS = f"""
    INSERT INTO album_series (album_pk, series_pk, added_at, study_instance_uid, modality, is_shown)
    SELECT u.inbox_pk, s.pk, now(), s.study_instance_uid, s.modality, true
    FROM series s
    JOIN (SELECT inbox_pk, row_number() OVER (ORDER BY pk) AS n FROM users) u
      ON u.n = CASE WHEN {_STUDY_NUMBER} <= :readers THEN 1 ELSE 2 + mod({_STUDY_NUMBER}, :people - 1) END
    WHERE {_STUDY_NUMBER} > :readers OR {_STUDY_NUMBER} <= :readers / 2
"""
_IN_ALBUMS = f"""
    INSERT INTO album_series (album_pk, series_pk, added_at, study_instance_uid, modality, is_shown)
    SELECT a.pk, s.pk, now(), s.study_instance_uid, s.modality, true
    FROM series s
    JOIN (SELECT pk, row_number() OVER (ORDER BY pk) AS n FROM albums WHERE kind = 'album') a
      ON a.n = CASE WHEN {_STUDY_NUMBER} <= :readers THEN 1 + mod({_STUDY_NUMBER}, 2)
                    ELSE 51 + mod({_STUDY_NUMBER}, :albums - 50) END
    WHERE ({_STUDY_NUMBER} > :readers / 2 AND {_STUDY_NUMBER} <= :readers)
       OR ({_STUDY_NUMBER} <= :readers / 2 AND mod({_STUDY_NUMBER}, 10) = 0)
       OR ({_STUDY_NUMBER} > :readers AND mod({_STUDY_NUMBER}, 3) = 0)
"""


def fill(database: Database, size: Size) -> UserPk:
    """Fill an empty, migrated database and return the reader.

    Parameters
    ----------
    database
        Opened without a timeout of the connection: each statement takes a minute.
    size
        At least 10,000 studies, 2 people and 51 albums.
    """

    def work(tx: Connection) -> UserPk:
        tx.execute(text("SET LOCAL statement_timeout = 0"))
        # Row by row, triggers would take minutes for what the statements above do themselves.
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        parameters = {
            "studies": size.studies,
            "people": size.people,
            "albums": size.albums,
            "readers": min(STUDIES_OF_THE_READER, size.studies),
        }
        for statement in (
            _PEOPLE,
            _INBOX_MEMBERS,
            _ALBUMS,
            _MEMBERS,
            _SERIES,
            _INSTANCES,
            _HOLDINGS,
            _IN_ALBUMS,
        ):
            named = {name: value for name, value in parameters.items() if f":{name}" in statement}
            tx.execute(text(statement), named)
        return UserPk(tx.execute(text("SELECT min(pk) FROM users")).scalar_one())

    reader = database.run_blocking(work)
    # As autovacuum leaves a catalog that grows: index-only scans need to know which pages all may see.
    with database.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        # The pool's ping has begun a transaction.
        for statement in ("ROLLBACK", "SET statement_timeout = 0", "VACUUM (ANALYZE)"):
            connection.execute(text(statement))
    return reader
