"""Counting everything there is, for administrators of the installation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

__all__ = ["Histogram", "Metrics", "count_everything"]

Histogram = Sequence[tuple[int, int]]
"""Pairs of a size, and how many have it."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts by KHEOPS's names, and how sizes are spread."""

    counts: Mapping[str, int]
    users_in_albums: Histogram
    series_in_albums: Histogram
    series_in_studies: Histogram


_POPULATED: Final = "state IN ('confirmed', 'orphan') AND number_of_instances > 0"
_ACTIVE: Final = "revoked_at IS NULL AND not_before <= :at AND expires_at > :at"
_COUNTS: Final = f"""
    SELECT
      (SELECT count(*) FROM albums WHERE kind = 'album') AS number_of_albums,
      (SELECT count(*) FROM users) AS number_of_users,
      (SELECT count(*) FROM report_providers WHERE removed_at IS NULL) AS number_of_report_providers,
      c.active_user AS number_of_active_user_capability_tokens,
      c.of_user - c.active_user AS number_of_inactive_user_capability_tokens,
      c.of_user AS number_of_user_capability_tokens,
      c.active_album AS number_of_active_album_capability_tokens,
      c.of_album - c.active_album AS number_of_inactive_album_capability_tokens,
      c.of_album AS number_of_album_capability_tokens,
      c.of_user + c.of_album AS number_of_capability_tokens,
      t.populated AS number_of_studies,
      t.every - t.populated AS number_of_unpopulated_studies,
      s.populated AS number_of_series,
      s.orphans AS number_of_orphan_series,
      s.every - s.populated AS number_of_unpopulated_series,
      s.instances AS number_of_instances,
      (SELECT count(*) FROM album_members m JOIN albums a ON a.pk = m.album_pk AND a.kind = 'album'
       WHERE m.is_favorite) AS number_of_fav_albums,
      (SELECT count(*) FROM album_series WHERE is_favorite) AS number_of_fav_series,
      m.every - m.private AS number_of_public_study_comments,
      m.private AS number_of_private_study_comments,
      m.every AS number_of_study_comments
    FROM
      (SELECT count(*) FILTER (WHERE scope_type = 'user') AS of_user,
              count(*) FILTER (WHERE scope_type = 'user' AND {_ACTIVE}) AS active_user,
              count(*) FILTER (WHERE scope_type = 'album') AS of_album,
              count(*) FILTER (WHERE scope_type = 'album' AND {_ACTIVE}) AS active_album FROM capabilities) c,
      (SELECT count(*) AS every, count(*) FILTER (WHERE {_POPULATED}) AS populated,
              count(*) FILTER (WHERE state = 'orphan') AS orphans,
              CAST(coalesce(sum(number_of_instances) FILTER (WHERE {_POPULATED}), 0) AS bigint) AS instances
       FROM series) s,
      (SELECT count(DISTINCT study_instance_uid) AS every,
              count(DISTINCT study_instance_uid) FILTER (WHERE {_POPULATED}) AS populated FROM series) t,
      (SELECT count(*) AS every, count(*) FILTER (WHERE is_private) AS private
       FROM comments WHERE study_instance_uid IS NOT NULL) m
"""  # noqa: S608 - constants only
_USERS_IN_ALBUMS: Final = """
    SELECT size, count(*) FROM (
        SELECT count(*) AS size FROM albums a JOIN album_members m ON m.album_pk = a.pk
        WHERE a.kind = 'album' GROUP BY a.pk) sizes
    GROUP BY size ORDER BY size
"""
_SERIES_IN_ALBUMS: Final = """
    SELECT size, count(*) FROM (
        SELECT count(x.series_pk) AS size FROM albums a LEFT JOIN album_series x ON x.album_pk = a.pk
        WHERE a.kind = 'album' GROUP BY a.pk) sizes
    GROUP BY size ORDER BY size
"""
_SERIES_IN_STUDIES: Final = f"""
    SELECT size, count(*) FROM (
        SELECT count(*) AS size FROM series WHERE {_POPULATED} GROUP BY study_instance_uid) sizes
    GROUP BY size ORDER BY size
"""  # noqa: S608 - constants only


def count_everything(tx: Connection, at: datetime) -> Metrics:
    """Return how much there is of everything; ``at`` tells which tokens are active."""
    counts = tx.execute(text(_COUNTS), {"at": at}).mappings().one()
    return Metrics(
        counts={name: int(number) for name, number in counts.items()},
        users_in_albums=_histogram(tx, _USERS_IN_ALBUMS),
        series_in_albums=_histogram(tx, _SERIES_IN_ALBUMS),
        series_in_studies=_histogram(tx, _SERIES_IN_STUDIES),
    )


def _histogram(tx: Connection, sql: str) -> Histogram:
    return [(row[0], row[1]) for row in tx.execute(text(sql)).all()]
