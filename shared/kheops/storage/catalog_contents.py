"""What the catalog has of the series that somebody reads: the series of a study, the instances of a series."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.domain.policy import ReadableSeries, ReadScope
from kheops.domain.resources import SeriesFacts, SeriesRef
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage.role_rows import ROLE_COLUMNS, role_of
from kheops.storage.visibility import HOLDS, scope_parameters

__all__ = ["SeriesContents", "contents_of_series", "reach_of_series", "series_of_study"]

_SERIES_OF_STUDY: Final = text(f"""
    SELECT {ROLE_COLUMNS}, s.series_instance_uid
    {HOLDS} AND s.study_instance_uid = :study
    ORDER BY s.confirmed_at, s.pk
""")

_CONTENTS: Final = text("""
    SELECT i.sop_instance_uid, i.state = 'confirmed' AS is_confirmed
    FROM series s JOIN instances i ON i.series_pk = s.pk
    WHERE s.study_instance_uid = :study AND s.series_instance_uid = :series AND s.state = 'confirmed'
    ORDER BY CASE WHEN i.instance_number ~ '^-?[0-9]{1,10}$' THEN CAST(i.instance_number AS bigint) END,
             i.sop_instance_uid
""")


@dataclass(frozen=True, slots=True)
class SeriesContents:
    """The instances of a series as the catalog has them at one moment."""

    confirmed: tuple[SopInstanceUID, ...]
    """By Instance Number."""
    reserved: frozenset[SopInstanceUID]
    """Being stored: they may be in the store already, and are nobody's to read yet."""


def series_of_study(tx: Connection, scope: ReadScope, study: StudyInstanceUID) -> list[SeriesFacts]:
    """Return the series of a study that ``scope`` reaches, the one confirmed first at the head.

    Empty for a study that is hidden and for one that does not exist.
    """
    rows = tx.execute(_SERIES_OF_STUDY, {**scope_parameters(scope), "study": study}).all()
    return [
        SeriesFacts(SeriesRef(study, SeriesInstanceUID(uid)), tuple(map(role_of, holdings)))
        for uid, holdings in groupby(rows, key=lambda row: row.series_instance_uid)
    ]


def reach_of_series(tx: Connection, scope: ReadScope, ref: SeriesRef) -> SeriesFacts | None:
    """Return a series as ``scope`` reaches it; ``None`` if it is hidden or absent."""
    found = [facts for facts in series_of_study(tx, scope, ref.study_instance_uid) if facts.ref == ref]
    return found[0] if found else None


def contents_of_series(tx: Connection, ref: ReadableSeries) -> SeriesContents:
    """Return the instances of a series."""
    rows: Sequence[Row[Any]] = tx.execute(
        _CONTENTS, {"study": ref.study_instance_uid, "series": ref.series_instance_uid}
    ).all()
    return SeriesContents(
        confirmed=tuple(SopInstanceUID(row.sop_instance_uid) for row in rows if row.is_confirmed),
        reserved=frozenset(SopInstanceUID(row.sop_instance_uid) for row in rows if not row.is_confirmed),
    )
