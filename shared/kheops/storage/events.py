"""The history of albums."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.groups import Group
from kheops.domain.mutations import MutationType
from kheops.domain.principals import AlbumCapability, Principal, ReportToken, parent_of
from kheops.ids import AlbumPk, ReportProviderId, SeriesInstanceUID, StudyInstanceUID, UserPk

__all__ = ["Mutation", "add_event", "touch_album"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """Something that happened to an album."""

    kind: MutationType
    to_user: UserPk | None = None
    """Whom it concerns, where it concerns somebody."""
    study: StudyInstanceUID | None = None
    series: Sequence[SeriesInstanceUID] = ()
    provider: ReportProviderId | None = None
    """The report provider that was created, edited or removed."""
    group: Group | None = None
    """The group that was added or removed."""


def add_event(tx: Connection, album: AlbumPk, mutation: Mutation, *, by: Principal | None, at: datetime) -> None:
    """Write an event in the transaction of what it tells of, and move the album's time of last event.

    A token of album scope is named as the source; one of user scope counts as its person, as in KHEOPS, and a viewer
    token as what it comes from. Of what a report provider does, it is named beside the person who asked for it.
    ``None`` names nobody: who administers the installation is not made known to the members of albums.
    """
    source = None if by is None else parent_of(by)
    tx.execute(
        text(
            "INSERT INTO events (album_pk, at, mutation_type, user_pk, capability_pk, to_user_pk, "
            "study_instance_uid, series_instance_uids, report_provider_pk, group_iss, group_value) "
            "VALUES (:album, :at, :kind, :user, (SELECT pk FROM capabilities WHERE id = :capability), :to_user, "
            ":study, :series, (SELECT pk FROM report_providers WHERE client_id = CAST(:provider AS text)), "
            ":group_iss, :group_value)"
        ),
        {
            "album": album,
            "at": at,
            "kind": mutation.kind.value,
            "user": None if by is None else by.user,
            "capability": source.capability if isinstance(source, AlbumCapability) else None,
            "to_user": mutation.to_user,
            "study": mutation.study,
            "series": list(mutation.series),
            "provider": by.provider if isinstance(by, ReportToken) else mutation.provider,
            "group_iss": None if mutation.group is None else mutation.group.iss,
            "group_value": None if mutation.group is None else mutation.group.value,
        },
    )
    touch_album(tx, album, at)


def touch_album(tx: Connection, album: AlbumPk, at: datetime) -> None:
    """Move the album's time of last event, never back."""
    tx.execute(
        text("UPDATE albums SET last_event_at = greatest(last_event_at, :at) WHERE pk = :album"),
        {"at": at, "album": album},
    )
