"""What the catalog has of instances that are to be shown: what they are, and which one stands for a series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.dicomweb.renderable import CLASSES
from kheops.domain.policy import ReadableInstance, ReadableSeries
from kheops.ids import SeriesInstanceUID, SopInstanceUID

__all__ = ["RenderableInstance", "describe", "representative"]

_DIGITS: Final = "'^[0-9]{1,9}$'"
_COLUMNS: Final = f"""
    s.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid,
    CASE WHEN i.number_of_frames ~ {_DIGITS} THEN CAST(i.number_of_frames AS integer) END AS number_of_frames,
    CASE WHEN i."rows" ~ {_DIGITS} THEN CAST(i."rows" AS integer) END AS image_rows,
    CASE WHEN i."columns" ~ {_DIGITS} THEN CAST(i."columns" AS integer) END AS image_columns
"""
_DESCRIBE: Final = text(f"""
    SELECT {_COLUMNS} FROM instances i JOIN series s ON s.pk = i.series_pk
    WHERE i.sop_instance_uid = :instance AND s.series_instance_uid = :series AND s.study_instance_uid = :study
      AND s.state = 'confirmed' AND i.state = 'confirmed'
""")  # noqa: S608 - constants only
_REPRESENTATIVE: Final = text(f"""
    WITH chosen AS (
        SELECT s.pk FROM series s
        WHERE s.study_instance_uid = :study AND s.series_instance_uid = ANY(:series) AND s.state = 'confirmed'
          AND EXISTS (SELECT 1 FROM instances i WHERE i.series_pk = s.pk AND i.state = 'confirmed'
                      AND i.sop_class_uid = ANY(:classes))
        ORDER BY CASE WHEN s.series_number ~ '^-?[0-9]{{1,10}}$' THEN CAST(s.series_number AS bigint) END,
                 s.confirmed_at, s.pk
        LIMIT 1
    ), ordered AS (
        SELECT {_COLUMNS}, count(*) OVER () AS total,
               row_number() OVER (
                   ORDER BY CASE WHEN i.instance_number ~ '^-?[0-9]{{1,10}}$'
                                 THEN CAST(i.instance_number AS bigint) END, i.sop_instance_uid
               ) AS place
        FROM chosen c JOIN series s ON s.pk = c.pk JOIN instances i ON i.series_pk = s.pk
        WHERE i.state = 'confirmed' AND i.sop_class_uid = ANY(:classes)
    )
    SELECT * FROM ordered WHERE place = (total + 1) / 2
""")  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class RenderableInstance:
    """What an instance is; numbers are ``None`` where the catalog has none."""

    series: SeriesInstanceUID
    instance: SopInstanceUID
    sop_class_uid: str | None
    transfer_syntax_uid: str | None
    number_of_frames: int | None
    rows: int | None
    columns: int | None


def describe(tx: Connection, ref: ReadableInstance) -> RenderableInstance | None:
    """Return what an instance is; ``None`` if it has gone meanwhile."""
    row = tx.execute(
        _DESCRIBE,
        {"study": ref.study_instance_uid, "series": ref.series_instance_uid, "instance": ref.sop_instance_uid},
    ).one_or_none()
    return None if row is None else _of(row)


def representative(tx: Connection, series: Sequence[ReadableSeries]) -> RenderableInstance | None:
    """Return the instance that stands for series of one study: the middle one of the first series with an image.

    The first is that of the smallest Series Number, then the one confirmed first. Where none has an image, videos and
    documents count. ``None`` if there is nothing that can be shown.
    """
    for classes in CLASSES:
        row = tx.execute(
            _REPRESENTATIVE,
            {
                "study": series[0].study_instance_uid,
                "series": [each.series_instance_uid for each in series],
                "classes": list(classes),
            },
        ).one_or_none()
        if row is not None:
            return _of(row)
    return None


def _of(row: Row[Any]) -> RenderableInstance:
    return RenderableInstance(
        series=SeriesInstanceUID(row.series_instance_uid),
        instance=SopInstanceUID(row.sop_instance_uid),
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        number_of_frames=row.number_of_frames,
        rows=row.image_rows,
        columns=row.image_columns,
    )
