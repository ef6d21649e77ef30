"""Reading an album's history: its events and comments, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.groups import Group
from kheops.domain.history import HistoryFilter, MutationFilter
from kheops.domain.mutations import MutationType
from kheops.domain.policy import PermittedAlbum, ReadScope
from kheops.ids import CapabilityId, ReportProviderId, SeriesInstanceUID, StudyInstanceUID, UserPk
from kheops.storage.comments import Comment, readable_comment
from kheops.storage.participants import PARTICIPANT_WIDTH, Participant, participant_columns, participant_of
from kheops.storage.visibility import HOLDS, scope_parameters

__all__ = ["Event", "NamedProvider", "SeriesPresent", "list_history", "series_present"]


@dataclass(frozen=True, slots=True)
class NamedProvider:
    """A report provider by which something was done, or which was registered, changed or removed."""

    provider: ReportProviderId
    name: str
    is_removed: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an album."""

    at: datetime
    kind: MutationType
    by: Participant | None
    """``None`` for somebody who was erased."""
    to: Participant | None
    capability: tuple[CapabilityId, str] | None
    """Id and title of the token of album scope by which it was done, if it was."""
    provider: NamedProvider | None
    study: StudyInstanceUID | None
    series: Sequence[SeriesInstanceUID]
    group: Group | None
    """The group that was added or removed."""


@dataclass(frozen=True, slots=True)
class SeriesPresent:
    """A series that is in the album now, and what describes it."""

    series_description: str | None
    study_description: str | None


_COMMENTS: Final = f"""
    SELECT c.at, 0 AS kind, c.pk, c.user_pk, c.to_user_pk, CAST(NULL AS bigint) AS capability_pk,
           CAST(NULL AS bigint) AS report_provider_pk, c.comment,
           c.is_private, CAST(NULL AS text) AS mutation_type, CAST(NULL AS text) AS study_instance_uid,
           CAST(NULL AS text[]) AS series_instance_uids,
           CAST(NULL AS text) COLLATE "C" AS group_iss, CAST(NULL AS text) AS group_value
    FROM comments c WHERE c.album_pk = :album AND {readable_comment()}
"""  # noqa: S608 - constants only
_MUTATIONS: Final = """
    SELECT e.at, 1 AS kind, e.pk, e.user_pk, e.to_user_pk, e.capability_pk, e.report_provider_pk,
           CAST(NULL AS text) AS comment,
           CAST(NULL AS boolean) AS is_private, e.mutation_type, e.study_instance_uid, e.series_instance_uids,
           e.group_iss, e.group_value
    FROM events e WHERE e.album_pk = :album
      AND (CAST(:kinds AS text[]) IS NULL OR e.mutation_type = ANY (CAST(:kinds AS text[])))
      AND (CAST(:studies AS text[]) IS NULL OR e.study_instance_uid = ANY (CAST(:studies AS text[])))
      AND (CAST(:series AS text[]) IS NULL OR e.series_instance_uids && CAST(:series AS text[]) COLLATE "C")
      AND (CAST(:start AS timestamptz) IS NULL OR e.at >= CAST(:start AS timestamptz))
      AND (CAST(:end AS timestamptz) IS NULL OR date_trunc('second', e.at) <= CAST(:end AS timestamptz))
      AND (CAST(:capabilities AS text[]) IS NULL OR e.capability_pk IN (
          SELECT pk FROM capabilities WHERE id = ANY (CAST(:capabilities AS text[]))))
      AND (CAST(:providers AS text[]) IS NULL OR e.report_provider_pk IN (
          SELECT pk FROM report_providers WHERE client_id = ANY (CAST(:providers AS text[]))))
      AND (CAST(:subs AS text[]) IS NULL OR e.user_pk IN (
          SELECT u.pk FROM users u
          JOIN unnest(CAST(:issuers AS text[]), CAST(:subs AS text[])) AS n (iss, sub)
            ON u.iss = n.iss AND u.sub = n.sub
          UNION ALL
          SELECT pk FROM users WHERE email_verified AND lower(email) = ANY (CAST(:emails AS text[]))))
"""
_ORDER: Final = "ORDER BY at DESC, kind, pk DESC"
_ORDER_AGAIN: Final = "ORDER BY n.at DESC, n.kind, n.pk DESC"
_BY: Final = participant_columns("f", can_access="fm.user_pk IS NOT NULL", is_admin="fm.is_admin")
_TO: Final = participant_columns("t", can_access="tm.user_pk IS NOT NULL", is_admin="tm.is_admin")


def list_history(
    tx: Connection,
    album: PermittedAlbum,
    wanted: HistoryFilter,
    *,
    reader: UserPk | None,
    default_issuer: str,
    page: Page,
) -> tuple[list[Event | Comment], int]:
    """Return a page of what happened to an album and was said of it, newest first, and how much there is in all.

    Parameters
    ----------
    tx
        The transaction.
    album
        The album.
    wanted
        Which part of the history.
    reader
        Whose private comments count; ``None`` for public ones only.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    page
        Which part.
    """
    parameters: dict[str, object] = {"album": album}
    parts = []
    if wanted.comments:
        parts.append(_COMMENTS)
        parameters["reader"] = reader
    if wanted.mutations is not None:
        parts.append(_MUTATIONS)
        parameters |= _parameters(wanted.mutations, default_issuer)
    if not parts:
        return [], 0
    entries = " UNION ALL ".join(parts)
    total: int = tx.execute(text(f"SELECT count(*) FROM ({entries}) n"), parameters).scalar_one()  # noqa: S608 - constants only
    rows = tx.execute(
        text(
            f"WITH entries AS ({entries} {_ORDER} LIMIT :limit OFFSET :offset) "  # noqa: S608 - constants only
            "SELECT n.at, n.comment, n.is_private, n.mutation_type, n.study_instance_uid, n.series_instance_uids, "
            f"k.id, k.title, p.client_id, p.name, p.removed_at IS NOT NULL, n.group_iss, n.group_value, "
            f"{_BY}, {_TO} FROM entries n "
            "LEFT JOIN users f ON f.pk = n.user_pk "
            "LEFT JOIN album_members fm ON fm.user_pk = f.pk AND fm.album_pk = :album "
            "LEFT JOIN users t ON t.pk = n.to_user_pk "
            "LEFT JOIN album_members tm ON tm.user_pk = t.pk AND tm.album_pk = :album "
            "LEFT JOIN report_providers p ON p.pk = n.report_provider_pk "
            f"LEFT JOIN capabilities k ON k.pk = n.capability_pk {_ORDER_AGAIN}"
        ),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    return [_entry(row) for row in rows], total


def series_present(
    tx: Connection, scope: ReadScope, series: Sequence[SeriesInstanceUID]
) -> dict[SeriesInstanceUID, SeriesPresent]:
    """Return what describes those of ``series`` that the scope has; of others, nothing is told."""
    if not series:
        return {}
    rows = tx.execute(
        text(
            "SELECT DISTINCT s.series_instance_uid, s.series_description, s.study_description "
            f"{HOLDS} AND s.series_instance_uid = ANY (CAST(:present AS text[]))"
        ),
        {**scope_parameters(scope), "present": list(series)},
    ).all()
    return {SeriesInstanceUID(row[0]): SeriesPresent(row[1], row[2]) for row in rows}


def _parameters(wanted: MutationFilter, default_issuer: str) -> dict[str, object]:
    users = wanted.users
    by_sub = [each for each in users or () if not each.is_address]
    return {
        "kinds": None if wanted.kinds is None else sorted(kind.value for kind in wanted.kinds),
        "studies": None if wanted.studies is None else sorted(wanted.studies),
        "series": None if wanted.series is None else sorted(wanted.series),
        "capabilities": None if wanted.capabilities is None else sorted(wanted.capabilities),
        "providers": None if wanted.providers is None else sorted(wanted.providers),
        "start": wanted.start,
        "end": wanted.end,
        "subs": None if users is None else [each.reference for each in by_sub],
        "issuers": None if users is None else [each.issuer_or(default_issuer) for each in by_sub],
        "emails": None if users is None else sorted(filter(None, (each.mailbox for each in users))),
    }


_OTHERS: Final = 13
"""Columns before those of people."""


def _entry(row: Sequence[Any]) -> Event | Comment:
    at, comment, is_private, kind, study, series, capability, title, provider, name, is_removed, iss, group = row[
        :_OTHERS
    ]
    by = participant_of(row[_OTHERS : _OTHERS + PARTICIPANT_WIDTH])
    to = participant_of(row[_OTHERS + PARTICIPANT_WIDTH :])
    if kind is None:
        return Comment(at=at, comment=comment, is_private=is_private, author=by, addressee=to)
    return Event(
        at=at,
        kind=MutationType(kind),
        by=by,
        to=to,
        capability=None if capability is None else (CapabilityId(capability), title),
        provider=None if provider is None else NamedProvider(ReportProviderId(provider), name, is_removed),
        study=None if study is None else StudyInstanceUID(study),
        series=[SeriesInstanceUID(uid) for uid in series],
        group=None if group is None else Group(iss, group),
    )
