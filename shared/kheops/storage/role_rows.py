"""The columns of a role in an album, and how a row of them is read; the same wherever somebody's reach is asked."""

from collections.abc import Sequence
from typing import Any, Final

from kheops.domain.resources import AlbumFlags, AlbumRole
from kheops.ids import AlbumPk

__all__ = ["ROLE_COLUMNS", "ROLE_WIDTH", "role_of"]

ROLE_COLUMNS: Final = (
    "a.pk, a.kind = 'inbox', m.is_admin, a.add_user, a.download_series, a.send_series, a.delete_series, "
    "a.add_series, a.write_comments, m.by_group"
)
"""Of ``albums a`` and ``m`` of `kheops.storage.visibility.membership`, at the head of a SELECT."""

ROLE_WIDTH: Final = 10
"""How many columns they are; what a query selects besides stands behind them."""


def role_of(row: Sequence[Any]) -> AlbumRole:
    """Return the role at the head of a row."""
    return AlbumRole(
        album=AlbumPk(row[0]),
        is_inbox=row[1],
        is_admin=row[2],
        flags=AlbumFlags(
            add_user=row[3],
            download_series=row[4],
            send_series=row[5],
            delete_series=row[6],
            add_series=row[7],
            write_comments=row[8],
        ),
        by_group=row[9],
    )
