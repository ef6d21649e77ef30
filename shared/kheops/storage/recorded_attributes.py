"""The attributes on record of a series that somebody reads, to compare an upload with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import ReadScope
from kheops.domain.resources import SeriesRef
from kheops.ids import SeriesInstanceUID
from kheops.storage.columns import SERIES_COLUMNS
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = ["RecordedSeries", "find"]

_COLUMNS: Final = ", ".join(f"s.{column}" for column in SERIES_COLUMNS.values())
_FIND: Final = text(f"""
    SELECT s.series_instance_uid, {_COLUMNS}
    FROM series s
    WHERE s.pk IN ({VISIBLE_SERIES} AND s.study_instance_uid = :study)
      AND NOT (CAST(:others AS boolean) AND s.series_instance_uid = :series)
    ORDER BY s.series_instance_uid = :series DESC, s.confirmed_at, s.pk
    LIMIT 1
""")  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """A series and what the catalog has of its bytes, by keyword; what it has not is absent."""

    ref: SeriesRef
    attributes: Mapping[str, str]


def find(tx: Connection, scope: ReadScope, ref: SeriesRef, *, but_of_series: bool = False) -> RecordedSeries | None:
    """Return a series as it is on record, or else the one of its study that a search takes its attributes from.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller reads.
    ref
        The series.
    but_of_series
        Whether the series itself is passed over.

    Returns
    -------
    RecordedSeries or None
        ``None`` if the caller reads no series of the study.
    """
    row = (
        tx.execute(
            _FIND,
            {
                **scope_parameters(scope),
                "study": ref.study_instance_uid,
                "series": ref.series_instance_uid,
                "others": but_of_series,
            },
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    return RecordedSeries(
        SeriesRef(ref.study_instance_uid, SeriesInstanceUID(row["series_instance_uid"])),
        {keyword: str(row[column]) for keyword, column in SERIES_COLUMNS.items() if row[column] is not None},
    )
