"""One instance of each study or series that a search found, for attributes that the catalog does not keep."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.policy import ReadScope
from kheops.domain.resources import InstanceRef
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from kheops.storage.visibility import VISIBLE_SERIES, scope_parameters

__all__ = ["examples_of_series", "examples_of_studies"]

_FIRST: Final = """
    SELECT DISTINCT ON ({grouped}) s.study_instance_uid, s.series_instance_uid, i.sop_instance_uid
    FROM visible v JOIN series s ON s.pk = v.pk JOIN instances i ON i.series_pk = s.pk AND i.state = 'confirmed'
    ORDER BY {grouped}, s.pk, i.sop_instance_uid
"""
_OF_STUDIES: Final = text(
    f"WITH visible AS ({VISIBLE_SERIES} AND s.study_instance_uid = ANY (CAST(:uids AS text[]))) "
    + _FIRST.format(grouped="s.study_instance_uid")
)
_OF_SERIES: Final = text(
    f"WITH visible AS ({VISIBLE_SERIES} AND s.series_instance_uid = ANY (CAST(:uids AS text[]))) "
    + _FIRST.format(grouped="s.series_instance_uid")
)


def examples_of_studies(
    tx: Connection, scope: ReadScope, uids: Sequence[StudyInstanceUID]
) -> dict[StudyInstanceUID, InstanceRef]:
    """Return a confirmed instance of each study's first series in ``scope``; the same one each time."""
    rows = tx.execute(_OF_STUDIES, {**scope_parameters(scope), "uids": list(uids)})
    return {StudyInstanceUID(row.study_instance_uid): _ref(*row) for row in rows}


def examples_of_series(
    tx: Connection, scope: ReadScope, uids: Sequence[SeriesInstanceUID]
) -> dict[SeriesInstanceUID, InstanceRef]:
    """Return a confirmed instance of each series in ``scope``; the same one each time."""
    rows = tx.execute(_OF_SERIES, {**scope_parameters(scope), "uids": list(uids)})
    return {SeriesInstanceUID(row.series_instance_uid): _ref(*row) for row in rows}


def _ref(study: str, series: str, instance: str) -> InstanceRef:
    return InstanceRef(StudyInstanceUID(study), SeriesInstanceUID(series), SopInstanceUID(instance))
