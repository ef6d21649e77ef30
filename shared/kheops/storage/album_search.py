"""Searching somebody's albums."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

from kheops.domain.albums import AlbumFilter, AlbumSort, Days, Page
from kheops.domain.policy import ReadScope
from kheops.storage.albums import ALBUM_COLUMNS, MEMBERSHIPS, AlbumRecord, album_record
from kheops.storage.visibility import HOLDS, scope_parameters

__all__ = ["list_albums"]

_SORTS: Final[Mapping[str, str]] = {
    "created_time": "f.created_at",
    "last_event_time": "f.last_event_at",
    "name": "lower(f.name)",
    "number_of_users": "f.number_of_users",
    "number_of_studies": "coalesce(t.number_of_studies, 0)",
    "number_of_comments": "f.number_of_comments",
}
_STUDIES: Final = f"""
    LEFT JOIN (SELECT a.pk AS album, count(DISTINCT s.study_instance_uid) AS number_of_studies {HOLDS} GROUP BY a.pk) t
      ON t.album = f.pk
"""


def list_albums(
    tx: Connection, scope: ReadScope, wanted: AlbumFilter, sort: AlbumSort, page: Page
) -> tuple[list[AlbumRecord], int]:
    """Return a page of the albums of the scope's user, and how many there are in all.

    Parameters
    ----------
    tx
        The transaction.
    scope
        What the caller may read: what albums hold is matched and counted over it.
    wanted
        Which albums.
    sort
        Their order; ties are broken by the last event, the newest first.
    page
        Which part.

    Raises
    ------
    KeyError
        If ``sort`` names no order of `kheops.domain.albums.ALBUM_SORTS`.
    """
    conditions, parameters = _conditions(wanted)
    parameters |= scope_parameters(scope)
    body = f"{MEMBERSHIPS} {''.join(f' AND {each}' for each in conditions)}"
    direction = "DESC" if sort.descending else "ASC"
    # The key ends the order, so that pages neither repeat nor skip an album.
    order = f"{_SORTS[sort.key]} {direction}, f.last_event_at DESC, f.pk {direction}"
    studies = _STUDIES if sort.key == "number_of_studies" else ""
    rows = tx.execute(
        text(
            f"SELECT f.* FROM (SELECT {ALBUM_COLUMNS} {body}) f {studies} "  # noqa: S608 - constants only
            f"ORDER BY {order} LIMIT :limit OFFSET :offset"
        ),
        {**parameters, "limit": page.limit, "offset": page.offset},
    ).all()
    total: int = tx.execute(text(f"SELECT count(*) {body}"), parameters).scalar_one()
    return [album_record(row) for row in rows], total


def _conditions(wanted: AlbumFilter) -> tuple[list[str], dict[str, object]]:
    """Return what each album must satisfy, of `MEMBERSHIPS`, with the bound values."""
    conditions = []
    parameters: dict[str, object] = {}
    if wanted.favorite:
        conditions.append("o.is_favorite")
    if wanted.can_add_series:
        conditions.append("(m.is_admin OR a.add_series)")
    if wanted.can_create_capability:
        conditions.append("m.is_admin")
    if wanted.name is not None:
        parameters["name"] = wanted.name.translate(_LIKE)
        named = "lower(a.name) LIKE lower(:name)"
        if wanted.sounds_like:
            # What has no letters has no sound, and would be like everything else that has none.
            parameters["sound"] = wanted.name
            named = f"({named} OR (soundex(a.name) = soundex(:sound) AND soundex(:sound) <> ''))"
        conditions.append(named)
    for name, days in (("created_at", wanted.created), ("last_event_at", wanted.last_event)):
        conditions += _within(name, days, parameters)
    if wanted.modality is not None:
        parameters["modality"] = wanted.modality
        conditions.append(f"a.pk IN (SELECT a.pk {HOLDS} AND upper(s.modality) = upper(:modality))")
    return conditions, parameters


def _within(column: str, days: Days, parameters: dict[str, object]) -> list[str]:
    conditions = []
    for end, sign, day in (("first", ">=", days.first), ("last", "<=", days.last)):
        if day is not None:
            parameters[f"{column}_{end}"] = day
            conditions.append(f"CAST(a.{column} AT TIME ZONE 'UTC' AS date) {sign} :{column}_{end}")
    return conditions


_LIKE: Final = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%"})
