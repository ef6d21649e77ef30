"""Orphans: series that nobody holds, as their origin sees them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from kheops.domain.albums import Page
from kheops.domain.policy import PermittedAlbum
from kheops.domain.resources import AlbumRole, SeriesRef
from kheops.ids import AlbumId, AlbumPk, SeriesInstanceUID, StudyInstanceUID, UserPk
from kheops.storage.role_rows import ROLE_COLUMNS, role_of
from kheops.storage.visibility import membership

__all__ = ["OwnOrphan", "list_orphans", "roles_in_albums"]


@dataclass(frozen=True, slots=True)
class OwnOrphan:
    """An orphan that its origin may take back."""

    ref: SeriesRef
    modality: str | None
    number_of_instances: int
    orphaned_at: datetime
    album: AlbumId | None
    """The album that is its origin; ``None`` where it is the person."""


def roles_in_albums(tx: Connection, user: UserPk, groups: frozenset[str]) -> list[AlbumRole]:
    """Return what somebody in good standing is in each of their albums, by themselves or by a group."""
    rows = tx.execute(
        text(
            f"SELECT {ROLE_COLUMNS} FROM {membership()} "  # noqa: S608 - constants only
            "JOIN users u ON u.pk = :scope_user AND u.suspended_at IS NULL "
            "JOIN albums a ON a.pk = m.album_pk AND a.kind = 'album'"
        ),
        {"scope_user": user, "scope_groups": sorted(groups)},
    ).all()
    return [role_of(row) for row in rows]


def list_orphans(
    tx: Connection, user: UserPk | None, albums: Collection[PermittedAlbum], page: Page
) -> tuple[Sequence[OwnOrphan], int]:
    """Return a page of the orphans of a person and of albums, the next to be purged first, and how many there are.

    Parameters
    ----------
    tx
        The transaction.
    user
        Whose uploads; ``None`` for albums alone.
    albums
        Albums whose uploads the caller may take back.
    page
        Which part.
    """
    parameters: dict[str, object] = {"user": user, "albums": [AlbumPk(each) for each in albums]}
    body = (
        "FROM series s LEFT JOIN albums a ON a.pk = s.origin_album_pk "
        "WHERE s.state = 'orphan' AND s.number_of_instances > 0 "
        "AND (s.origin_user_pk = CAST(:user AS bigint) OR s.origin_album_pk = ANY (CAST(:albums AS bigint[])))"
    )
    rows = tx.execute(
        text(
            "SELECT s.study_instance_uid, s.series_instance_uid, s.modality, s.number_of_instances, s.orphaned_at, "
            f"a.id {body} ORDER BY s.orphaned_at, s.pk LIMIT :limit OFFSET :offset"
        ),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(text(f"SELECT count(*) {body}"), parameters).scalar_one()
    found = [
        OwnOrphan(
            ref=SeriesRef(StudyInstanceUID(row.study_instance_uid), SeriesInstanceUID(row.series_instance_uid)),
            modality=row.modality,
            number_of_instances=row.number_of_instances,
            orphaned_at=row.orphaned_at,
            album=None if row.id is None else AlbumId(row.id),
        )
        for row in rows
    ]
    return found, total
