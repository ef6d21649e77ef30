"""The SQL of "may read": one fragment, used by every search, count and lookup.

The rule is `kheops.domain.policy`'s; a `ReadScope` says which holdings count and this module puts that into SQL. A
query that reads cataloged series on behalf of a caller joins `VISIBLE_SERIES` and nothing else (a test compares what
it lists with what the policy decides).
"""

from typing import Final

from kheops.domain.policy import ReadScope

__all__ = ["HOLDS", "VISIBLE_SERIES", "scope_parameters"]

HOLDS: Final = """
    FROM album_members m
    JOIN users u ON u.pk = m.user_pk AND u.suspended_at IS NULL
    JOIN albums a ON a.pk = m.album_pk
    JOIN album_series x ON x.album_pk = a.pk
    JOIN series s ON s.pk = x.series_pk AND s.state = 'confirmed' AND s.number_of_instances > 0
    WHERE m.user_pk = :scope_user
      AND (CAST(:scope_album AS bigint) IS NULL OR a.pk = CAST(:scope_album AS bigint))
      AND (NOT CAST(:scope_inbox AS boolean) OR a.kind = 'inbox')
      AND (NOT CAST(:scope_admin AS boolean) OR m.is_admin)
      AND (CAST(:scope_study AS text) IS NULL OR s.study_instance_uid = CAST(:scope_study AS text))
"""
"""Every (member, album, series) by which the scope's user reaches a confirmed series; a series may occur often."""

VISIBLE_SERIES: Final = f"SELECT DISTINCT s.pk {HOLDS}"
"""The keys of the series in the scope, each once."""


def scope_parameters(scope: ReadScope) -> dict[str, object]:
    """Return the bound parameters of `HOLDS` for ``scope``."""
    return {
        "scope_user": scope.user,
        "scope_album": scope.album,
        "scope_inbox": scope.inbox,
        "scope_admin": scope.admin,
        "scope_study": scope.study,
    }
