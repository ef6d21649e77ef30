"""Reading the audit trail: rows by who did what to which objects when, the latest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.uses import Outcome, UseFilter, User
from kheops.ids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID

__all__ = ["COUNTED", "PAGE_BYTES", "RecordedUse", "list_uses"]

PAGE_BYTES: Final = 4 * 1024 * 1024
"""About what the rows of a page may hold: one search names up to a thousand UIDs."""

COUNTED: Final = 10_000
"""How many uses are counted: a trail of years is long, and each page would read all of it."""

_UIDS: Final = ("study_instance_uids", "series_instance_uids", "sop_instance_uids")
_ROW_BYTES: Final = f"600 + 67 * ({' + '.join(f'cardinality({column})' for column in _UIDS)})"
_CONDITIONS: Final = {
    "iss": "iss = :iss",
    "sub": "sub = :sub",
    # Members, groups and invitations of an album stand behind its id and a blank.
    "album": 'subject COLLATE "C" >= :album AND subject COLLATE "C" < :after_album',
    "study": "study_instance_uids @> ARRAY[CAST(:study AS text)]",
    "series": "series_instance_uids @> ARRAY[CAST(:series AS text)]",
    "kinds": "kind = ANY (:kinds)",
    "outcome": "outcome = :outcome",
    "since": "last_at >= :since",
    "before": "at < :before",
    "after": "(at, pk) < (SELECT at, pk FROM audit WHERE pk = :after)",
}


@dataclass(frozen=True, slots=True)
class RecordedUse:
    """A row of the audit trail."""

    number: int
    kind: str
    """A `UseKind`, or one of a newer release that wrote to the same trail."""
    outcome: Outcome
    user: User
    source_address: str | None
    request_id: str
    studies: tuple[StudyInstanceUID, ...]
    series: tuple[SeriesInstanceUID, ...]
    instances: tuple[SopInstanceUID, ...]
    subject: str | None
    reason: str | None
    at: datetime
    last_at: datetime
    """When it was repeated last; the repetitions of fifteen minutes are one row."""
    uses: int


def list_uses(tx: Connection, wanted: UseFilter, page: Page) -> tuple[Sequence[RecordedUse], int]:
    """Return a page of the uses that a filter takes, the latest first, and how many there are, `COUNTED` at most.

    A page has fewer rows than asked for once they hold `PAGE_BYTES`, but one at least.
    """
    parameters: dict[str, object] = {
        "iss": None if wanted.person is None else wanted.person[0],
        "sub": None if wanted.person is None else wanted.person[1],
        "album": wanted.album,
        "study": wanted.study,
        "series": wanted.series,
        "kinds": [kind.value for kind in wanted.kinds] or None,
        "outcome": None if wanted.outcome is None else wanted.outcome.value,
        "since": wanted.since,
        "before": wanted.before,
        "after": wanted.after,
    }
    parameters = {name: value for name, value in parameters.items() if value is not None}
    body = "FROM audit WHERE " + " AND ".join(["true", *(_CONDITIONS[name] for name in parameters)])
    if wanted.album is not None:
        parameters["after_album"] = f"{wanted.album}!"
    rows = tx.execute(
        text(
            "SELECT * FROM (SELECT page.*, row_number() OVER latest AS place, "  # noqa: S608 - constants only
            f"sum({_ROW_BYTES}) OVER latest AS held "
            f"FROM (SELECT * {body} ORDER BY at DESC, pk DESC LIMIT :limit OFFSET :offset) page "
            "WINDOW latest AS (ORDER BY at DESC, pk DESC)) measured "
            "WHERE place = 1 OR held <= :most ORDER BY place"
        ),
        {**parameters, "limit": page.limit, "offset": page.offset, "most": PAGE_BYTES},
    ).all()
    total: int = tx.execute(
        text(f"SELECT count(*) FROM (SELECT 1 {body} LIMIT :counted) counted"),  # noqa: S608 - the same
        {**parameters, "counted": COUNTED},
    ).scalar_one()
    found = [
        RecordedUse(
            number=row.pk,
            kind=row.kind,
            outcome=Outcome(row.outcome),
            user=User(row.iss, row.sub, row.token_id, row.acting_party),
            source_address=row.source_address,
            request_id=row.request_id,
            studies=tuple(map(StudyInstanceUID, row.study_instance_uids)),
            series=tuple(map(SeriesInstanceUID, row.series_instance_uids)),
            instances=tuple(map(SopInstanceUID, row.sop_instance_uids)),
            subject=row.subject,
            reason=row.reason,
            at=row.at,
            last_at=row.last_at,
            uses=row.uses,
        )
        for row in rows
    ]
    return found, total
