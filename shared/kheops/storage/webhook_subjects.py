"""What webhooks tell of: series that came, who did it, and the attributes that a body names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, text

from kheops.domain.principals import AlbumCapability, Principal, ReportToken, parent_of
from kheops.domain.uses import User
from kheops.domain.webhooks import DEBOUNCE, ImportSource
from kheops.ids import (
    AlbumPk,
    CapabilityId,
    ReportProviderId,
    SeriesInstanceUID,
    SeriesPk,
    StudyInstanceUID,
    UserPk,
)
from kheops.storage.due_tasks import note_due
from kheops.storage.participants import Participant, participant_columns, participant_of

__all__ = [
    "NEW_SERIES",
    "SERIES_ATTRIBUTES",
    "STUDY_ATTRIBUTES",
    "Attributes",
    "Doer",
    "attributes_of",
    "attributes_of_gone",
    "collect_new_series",
    "doer",
    "has_series_of",
    "member",
    "participant",
    "source_facts",
    "title_of_capability",
]

NEW_SERIES: Final = "new_series"
"""The kind of task that collects new series until it has been quiet for `DEBOUNCE`."""
_LONGEST: Final = timedelta(minutes=10)
"""Collecting ends after this, however long the uploads go on."""

Attributes = Mapping[str, Any]
"""A row of `STUDY_ATTRIBUTES` and `SERIES_ATTRIBUTES`."""

STUDY_ATTRIBUTES: Final = (
    "patient_name",
    "patient_id",
    "study_date",
    "study_time",
    "timezone_offset_from_utc",
    "study_description",
    "study_id",
    "accession_number",
    "referring_physician_name",
    "patient_birth_date",
    "patient_sex",
)
SERIES_ATTRIBUTES: Final = (
    "series_instance_uid",
    "modality",
    "series_description",
    "series_number",
    "body_part_examined",
    "number_of_instances",
)
_COLUMNS: Final = ", ".join(f"s.{name}" for name in (*STUDY_ATTRIBUTES, *SERIES_ATTRIBUTES))

_COLLECT: Final = """
    INSERT INTO outbox (kind, merge_key, payload, created_at, due_at)
    SELECT 'new_series',
           concat_ws(' ', 'new_series', x.album_pk, s.study_instance_uid, CAST(:source AS text), CAST(:by AS bigint),
                     CAST(:capability AS text), CAST(:provider AS text)),
           jsonb_build_object(
               'album', x.album_pk, 'study', s.study_instance_uid, 'import_source', CAST(:source AS text),
               'by', CAST(:by AS bigint), 'capability', CAST(:capability AS text),
               'provider', CAST(:provider AS text),
               'named', x.album_pk = CAST(:target AS bigint),
               'series', jsonb_object_agg(s.series_instance_uid, coalesce(n.number, s.number_of_instances))),
           :at, :due
    FROM unnest(CAST(:series AS bigint[]), CAST(:numbers AS integer[])) AS n (pk, number)
    JOIN series s ON s.pk = n.pk
    JOIN album_series x ON x.series_pk = s.pk
    WHERE (NOT :only_target OR x.album_pk = CAST(:target AS bigint))
      AND EXISTS (SELECT 1 FROM webhooks w WHERE w.album_pk = x.album_pk AND w.enabled
                  AND 'new_series' = ANY (w.events))
    GROUP BY x.album_pk, s.study_instance_uid
    ORDER BY x.album_pk, s.study_instance_uid
    ON CONFLICT (merge_key) WHERE done_at IS NULL AND failed_at IS NULL AND attempts = 0 AND merge_key IS NOT NULL
    DO UPDATE SET
        due_at = least(excluded.due_at, outbox.created_at + CAST(:longest AS interval)),
        payload = jsonb_set(outbox.payload, '{series}', (
            SELECT jsonb_object_agg(both_.uid, least(both_.number, r.number_of_instances)) FROM (
                SELECT each_.key AS uid, sum(CAST(each_.value AS integer)) AS number FROM (
                    SELECT * FROM jsonb_each_text(outbox.payload -> 'series')
                    UNION ALL SELECT * FROM jsonb_each_text(excluded.payload -> 'series')) each_
                GROUP BY each_.key) both_
            JOIN series r ON r.series_instance_uid = both_.uid))
"""


@dataclass(frozen=True, slots=True)
class Doer:
    """Who did what a webhook tells of."""

    person: Participant
    capability: tuple[CapabilityId, str] | None
    """Id and title of the token of album scope by which it was done, if it was."""
    provider: tuple[ReportProviderId, str] | None = None
    """Id and name of the report provider that did it, if one did."""


def source_facts(by: Principal | None) -> dict[str, object]:
    """Return who did it, for the facts of a task: names are looked up when it is sent; ``None`` names nobody."""
    if by is None:
        return {"by": None, "capability": None, "provider": None}
    source = parent_of(by)
    capability = source.capability if isinstance(source, AlbumCapability) else None
    provider = by.provider if isinstance(by, ReportToken) else None
    return {"by": by.user, "capability": capability, "provider": provider}


def collect_new_series(
    tx: Connection,
    series: Mapping[SeriesPk, int | None],
    *,
    by: Principal,
    source: ImportSource,
    target: AlbumPk,
    only_target: bool,
    at: datetime,
) -> None:
    """Collect new series, or new instances of series, for the webhooks of the albums that hold them.

    What comes within `DEBOUNCE` of the last, of the same study, album and source, is told of together; what came
    twice, since it was removed between, is new once: no more are than a series has. Rows of the outbox are locked in
    the order of their albums, after everything else that the transaction locks.

    Parameters
    ----------
    tx
        The transaction in which they came.
    series
        How many instances of each are new; ``None`` for all that it has.
    by
        Who did it.
    source
        How they came.
    target
        The album or inbox to which they came.
    only_target
        Whether other albums that hold them are not told.
    at
        The current time.
    """
    if not series:
        return
    facts = source_facts(by)
    due = at + DEBOUNCE
    collected = tx.execute(
        text(_COLLECT),
        {
            **facts,
            "source": source.value,
            "series": list(series),
            "numbers": list(series.values()),
            "target": target,
            "only_target": only_target,
            "at": at,
            "due": due,
            "longest": f"{_LONGEST.total_seconds()} seconds",
        },
    )
    if collected.rowcount:
        note_due(tx, due)


def attributes_of(
    tx: Connection, album: AlbumPk, study: StudyInstanceUID, series: Sequence[SeriesInstanceUID]
) -> list[Attributes]:
    """Return the attributes of those of ``series`` that the album holds now, the earliest confirmed first."""
    rows = tx.execute(
        text(
            f"SELECT {_COLUMNS} FROM album_series x JOIN series s ON s.pk = x.series_pk "  # noqa: S608 - constants only
            "WHERE x.album_pk = :album AND s.study_instance_uid = :study AND s.state = 'confirmed' "
            "AND s.series_instance_uid = ANY (CAST(:series AS text[])) ORDER BY s.confirmed_at NULLS LAST, s.pk"
        ),
        {"album": album, "study": study, "series": list(series)},
    ).all()
    return [row._asdict() for row in rows]


def attributes_of_gone(
    tx: Connection, study: StudyInstanceUID, series: Sequence[SeriesInstanceUID]
) -> list[Attributes]:
    """Return the attributes of series that this transaction took out of an album; their rows are locked by it."""
    rows = tx.execute(
        text(
            f"SELECT {_COLUMNS} FROM series s WHERE s.study_instance_uid = :study "  # noqa: S608 - constants only
            "AND s.series_instance_uid = ANY (CAST(:series AS text[])) ORDER BY s.confirmed_at NULLS LAST, s.pk"
        ),
        {"study": study, "series": list(series)},
    ).all()
    return [row._asdict() for row in rows]


def has_series_of(tx: Connection, album: AlbumPk, study: StudyInstanceUID) -> bool:
    """Return whether an album holds a series of a study."""
    found: bool = tx.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM album_series x JOIN series s ON s.pk = x.series_pk "
            "WHERE x.album_pk = :album AND s.study_instance_uid = :study)"
        ),
        {"album": album, "study": study},
    ).scalar_one()
    return found


def participant(tx: Connection, album: AlbumPk, user: UserPk) -> Participant | None:
    """Return somebody as they stand to an album; ``None`` for somebody who was erased."""
    columns = participant_columns("u", can_access="m.user_pk IS NOT NULL", is_admin="m.is_admin")
    row = tx.execute(
        text(
            f"SELECT {columns} FROM users u "  # noqa: S608 - constants only
            "LEFT JOIN album_members m ON m.user_pk = u.pk AND m.album_pk = :album WHERE u.pk = :user"
        ),
        {"album": album, "user": user},
    ).one_or_none()
    return None if row is None else participant_of(row)


def member(tx: Connection, album: AlbumPk, user: User) -> Participant | None:
    """Return a member of an album by identity; ``None`` for anybody else."""
    columns = participant_columns("u", can_access="true", is_admin="m.is_admin")
    row = tx.execute(
        text(
            f"SELECT {columns} FROM users u "  # noqa: S608 - constants only
            "JOIN album_members m ON m.user_pk = u.pk AND m.album_pk = :album WHERE u.iss = :iss AND u.sub = :sub"
        ),
        {"album": album, "iss": user.iss, "sub": user.sub},
    ).one_or_none()
    return None if row is None else participant_of(row)


def doer(tx: Connection, album: AlbumPk, facts: Mapping[str, object]) -> Doer | None:
    """Return who did it as far as the album may know them.

    Who did it in another place (``named`` is false) is told of only if they are a member of this album.
    """
    by, capability, provider = (facts.get(name) for name in ("by", "capability", "provider"))
    person = participant(tx, album, UserPk(by)) if isinstance(by, int) else None
    if person is None or not (facts.get("named", True) or person.can_access):
        return None
    title = title_of_capability(tx, album, CapabilityId(capability)) if isinstance(capability, str) else None
    name = _name_of_provider(tx, album, ReportProviderId(provider)) if isinstance(provider, str) else None
    return Doer(
        person,
        None if title is None else (CapabilityId(str(capability)), title),
        None if name is None else (ReportProviderId(str(provider)), name),
    )


def title_of_capability(tx: Connection, album: AlbumPk, capability: CapabilityId) -> str | None:
    """Return the title of a token of this album; ``None`` if it is of another, or gone."""
    title: str | None = tx.execute(
        text("SELECT title FROM capabilities WHERE id = :id AND album_pk = :album"),
        {"id": capability, "album": album},
    ).scalar_one_or_none()
    return title


def _name_of_provider(tx: Connection, album: AlbumPk, provider: ReportProviderId) -> str | None:
    """Return the name of a report provider of this album, which may be removed; ``None`` if it is of another."""
    name: str | None = tx.execute(
        text("SELECT name FROM report_providers WHERE client_id = :id AND album_pk = :album"),
        {"id": provider, "album": album},
    ).scalar_one_or_none()
    return name
