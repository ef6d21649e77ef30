"""Legal hold: series that are deleted from the store by nobody, whoever has them or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from kheops.domain.albums import Page
from kheops.domain.resources import SeriesRef, SeriesState
from kheops.ids import SeriesInstanceUID, StudyInstanceUID

__all__ = ["HeldSeries", "clear_hold", "list_holds", "lock_for_hold", "set_hold"]


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A series that is, or may be put, on legal hold."""

    ref: SeriesRef
    state: SeriesState
    is_held: bool
    reason: str | None
    since: datetime | None


_COLUMNS = "study_instance_uid, series_instance_uid, state, legal_hold, legal_hold_reason, legal_hold_at"


def lock_for_hold(tx: Connection, series: SeriesInstanceUID) -> HeldSeries | None:
    """Lock a series, so that no purge takes it meanwhile, and return it; ``None`` if it is not on record."""
    row = tx.execute(
        text(f"SELECT {_COLUMNS} FROM series WHERE series_instance_uid = :series FOR UPDATE"),  # noqa: S608 - constant
        {"series": series},
    ).one_or_none()
    return None if row is None else _held(row)


def set_hold(tx: Connection, series: SeriesInstanceUID, *, reason: str, at: datetime) -> None:
    """Put a series on hold, or give a hold another reason; its beginning stays."""
    tx.execute(
        text(
            "UPDATE series SET legal_hold = true, legal_hold_reason = :reason, "
            "legal_hold_at = coalesce(legal_hold_at, :at) WHERE series_instance_uid = :series"
        ),
        {"series": series, "reason": reason, "at": at},
    )


def clear_hold(tx: Connection, series: SeriesInstanceUID) -> None:
    """End the hold of a series."""
    tx.execute(
        text(
            "UPDATE series SET legal_hold = false, legal_hold_reason = NULL, legal_hold_at = NULL "
            "WHERE series_instance_uid = :series"
        ),
        {"series": series},
    )


def list_holds(tx: Connection, page: Page) -> tuple[Sequence[HeldSeries], int]:
    """Return a page of the series on hold, the oldest hold first, and how many there are in all."""
    rows = tx.execute(
        text(
            f"SELECT {_COLUMNS} FROM series WHERE legal_hold "  # noqa: S608 - constant
            "ORDER BY legal_hold_at, pk LIMIT :limit OFFSET :offset"
        ),
        {"limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(text("SELECT count(*) FROM series WHERE legal_hold")).scalar_one()
    return [_held(row) for row in rows], total


def _held(row: Row[Any]) -> HeldSeries:
    return HeldSeries(
        ref=SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)),
        state=SeriesState(row.state),
        is_held=row.legal_hold,
        reason=row.legal_hold_reason,
        since=row.legal_hold_at,
    )
