"""The SQL of "may read": one fragment, used by every search, count and lookup.

The rule is `kheops.domain.policy`'s; a `ReadScope` says which holdings count and this module puts that into SQL. A
query that reads cataloged series on behalf of a caller joins `VISIBLE_SERIES` and nothing else (a test compares what
it lists with what the policy decides).
"""

from typing import Final

from kheops.domain.policy import ReadScope

__all__ = ["HOLDS", "POINTERS", "VISIBLE_SERIES", "holds", "membership", "scope_parameters"]

_OWN: Final = """
    SELECT n.album_pk, n.is_admin, false AS by_group FROM album_members n WHERE n.user_pk = :scope_user
"""
_BY_GROUP: Final = """
    SELECT DISTINCT g.album_pk, false, true FROM users v JOIN album_groups g ON g.iss = v.iss
    WHERE v.pk = :scope_user AND g.value = ANY (CAST(:scope_groups AS text[])) AND NOT EXISTS (
        SELECT 1 FROM album_members n WHERE n.user_pk = :scope_user AND n.album_pk = g.album_pk)
"""


def membership(*, by_group: bool = True, listed: bool = False) -> str:
    """Return the derived table ``m`` of the scope's memberships: album, whether administrator, whether by a group.

    Each album is in it once, so that what it holds is counted once; a membership of one's own goes first.

    Parameters
    ----------
    by_group
        Whether the groups count that the caller presented. Without any, leaving them out changes nothing in what is
        found and spares the hot lookup the looking.
    listed
        Whether they are listed once, before anything is joined to them: for prepared statements, whose plan is made
        without knowing the values and would list them again for each album.
    """
    if not by_group:
        return f"({_OWN}) m"
    both = f"{_OWN} UNION ALL {_BY_GROUP}"
    if not listed:
        return f"({both}) m"
    return f"(WITH own AS MATERIALIZED ({both}) SELECT * FROM own) m"  # noqa: S608 - constants only


_SERIES: Final = "JOIN series s ON s.pk = x.series_pk AND s.state = 'confirmed' AND s.number_of_instances > 0"


def holds(*, by_group: bool = True, listed: bool = False, pointers: bool = False, joined: str = "") -> str:
    """Return the FROM and WHERE of every (membership, album, series) that a scope has.

    Parameters
    ----------
    by_group, listed
        As in `membership`.
    pointers
        Whether ``x`` tells of the series what a list of studies needs (its key, study and modality, and whether it is
        confirmed and has instances, which triggers keep in step) and no ``s`` is joined.
    joined
        Further joins, to ``s`` and what stands before it.
    """
    series, study = ("x.series_pk", "x.study_instance_uid") if pointers else ("s.pk", "s.study_instance_uid")
    return f"""
    FROM {membership(by_group=by_group, listed=listed)}
    JOIN users u ON u.pk = :scope_user AND u.suspended_at IS NULL
    JOIN albums a ON a.pk = m.album_pk
    JOIN album_series x ON x.album_pk = a.pk {"AND x.is_shown" if pointers else _SERIES}
    {joined}
    WHERE (CAST(:scope_album AS bigint) IS NULL OR a.pk = CAST(:scope_album AS bigint))
      AND (NOT CAST(:scope_inbox AS boolean) OR a.kind = 'inbox')
      AND (NOT CAST(:scope_admin AS boolean) OR m.is_admin)
      AND (CAST(:scope_studies AS text[]) IS NULL OR {study} = ANY (CAST(:scope_studies AS text[])))
      AND (NOT CAST(:scope_sending AS boolean) OR a.kind = 'inbox' OR m.is_admin OR a.send_series)
      AND (CAST(:scope_link AS bigint) IS NULL OR EXISTS (
          SELECT 1 FROM link_series k WHERE k.link_pk = CAST(:scope_link AS bigint) AND k.series_pk = {series}))
"""  # noqa: S608 - constants only


HOLDS: Final = holds()
"""Every (membership, album, series) by which the scope's user reaches a confirmed series; a series may occur often."""

POINTERS: Final = holds(pointers=True)
"""The same from the pointers alone, for lists of studies: a fifth of the work, and no columns of ``series``."""

VISIBLE_SERIES: Final = f"SELECT DISTINCT s.pk {HOLDS}"
"""The keys of the series in the scope, each once."""


def scope_parameters(scope: ReadScope) -> dict[str, object]:
    """Return the bound parameters of `HOLDS` for ``scope``."""
    return {
        "scope_user": scope.user,
        "scope_groups": sorted(scope.groups),
        "scope_album": scope.album,
        "scope_inbox": scope.inbox,
        "scope_admin": scope.admin,
        "scope_studies": None if scope.studies is None else list(scope.studies),
        "scope_sending": scope.sending,
        "scope_link": scope.link,
    }
