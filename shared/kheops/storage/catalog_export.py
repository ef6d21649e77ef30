"""What the catalog knows of series and instances that somebody takes away as files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from kheops.dicomweb.dicomdir import DirectoryPatient, DirectorySeries, DirectoryStudy
from kheops.domain.policy import ReadableSeries, ReadScope
from kheops.domain.resources import SeriesFacts, SeriesRef
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage.role_rows import ROLE_COLUMNS, role_of
from kheops.storage.visibility import HOLDS, scope_parameters

__all__ = ["ExportedInstance", "ExportedSeries", "instances_to_export", "series_to_export"]

# A study's own values are those of the series that was put on record first, as in every search.
_SERIES: Final = text(f"""
    WITH held AS (
        SELECT {ROLE_COLUMNS}, s.pk AS series_pk {HOLDS}
        AND (CAST(:study AS text) IS NULL OR s.study_instance_uid = CAST(:study AS text))
        AND (CAST(:chosen AS text[]) IS NULL OR s.series_instance_uid = ANY (CAST(:chosen AS text[])))
    ), first_of_study AS (
        SELECT DISTINCT ON (s.study_instance_uid) s.*
        FROM series s WHERE s.pk IN (SELECT series_pk FROM held)
        ORDER BY s.study_instance_uid, s.pk
    )
    SELECT held.*, s.study_instance_uid, s.series_instance_uid, s.modality, s.series_number,
           f.patient_id, f.patient_name, f.study_date, f.study_time, f.study_description, f.study_id,
           f.accession_number
    FROM held JOIN series s ON s.pk = held.series_pk
    JOIN first_of_study f ON f.study_instance_uid = s.study_instance_uid
    ORDER BY f.patient_id NULLS FIRST, f.patient_name NULLS FIRST, s.study_instance_uid, s.confirmed_at, s.pk
""")  # noqa: S608 - constants only

_INSTANCES: Final = text("""
    SELECT i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.instance_number, i.size, i.crc32
    FROM series s JOIN instances i ON i.series_pk = s.pk AND i.state = 'confirmed'
    WHERE s.study_instance_uid = :study AND s.series_instance_uid = :series AND s.state = 'confirmed'
    ORDER BY CASE WHEN i.instance_number ~ '^-?[0-9]{1,10}$' THEN CAST(i.instance_number AS bigint) END,
             i.sop_instance_uid
""")


@dataclass(frozen=True, slots=True)
class ExportedSeries:
    """A series that a scope reaches, with what a DICOMDIR says of it."""

    facts: SeriesFacts
    patient: DirectoryPatient
    study: DirectoryStudy
    series: DirectorySeries


@dataclass(frozen=True, slots=True)
class ExportedInstance:
    """A confirmed instance; size (bytes) and CRC-32 of the received file are ``None`` where it came by another way."""

    sop_instance_uid: SopInstanceUID
    sop_class_uid: str | None
    transfer_syntax_uid: str | None
    instance_number: str | None
    size: int | None
    crc32: int | None


def series_to_export(
    tx: Connection, scope: ReadScope, *, study: StudyInstanceUID | None, chosen: Collection[SeriesInstanceUID] | None
) -> list[ExportedSeries]:
    """Return the series that ``scope`` reaches, by patient and study.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller may read.
    study
        The one study that counts, or ``None`` for all.
    chosen
        The series that count, or ``None`` for all.
    """
    rows = tx.execute(
        _SERIES,
        {**scope_parameters(scope), "study": study, "chosen": None if chosen is None else sorted(chosen)},
    ).all()
    return [_series(list(same)) for _, same in groupby(rows, key=lambda row: row.series_instance_uid)]


def instances_to_export(tx: Connection, ref: ReadableSeries) -> list[ExportedInstance]:
    """Return the confirmed instances of a series, by Instance Number."""
    rows = tx.execute(_INSTANCES, {"study": ref.study_instance_uid, "series": ref.series_instance_uid})
    return [ExportedInstance(SopInstanceUID(row[0]), *row[1:]) for row in rows]


def _series(rows: Sequence[Row[Any]]) -> ExportedSeries:
    row = rows[0]
    study, series = StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)
    return ExportedSeries(
        SeriesFacts(SeriesRef(study, series), tuple(map(role_of, rows))),
        DirectoryPatient(row.patient_id, row.patient_name),
        DirectoryStudy(
            study, row.study_date, row.study_time, row.study_description, row.study_id, row.accession_number
        ),
        DirectorySeries(series, row.modality, row.series_number),
    )
