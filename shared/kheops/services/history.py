"""What happened to an album."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.history import HistoryFilter
from kheops.domain.policy import AlbumAction, Denied, Source
from kheops.domain.principals import Principal
from kheops.ids import AlbumId, SeriesInstanceUID
from kheops.services.album_access import permitted
from kheops.storage import history
from kheops.storage.comments import Comment
from kheops.storage.engine import Database
from kheops.storage.history import Event, NamedProvider, SeriesPresent

__all__ = ["Comment", "Event", "History", "HistoryPage", "NamedProvider", "SeriesPresent"]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of an album's history."""

    entries: Sequence[Event | Comment]
    """Newest first."""
    present: Mapping[SeriesInstanceUID, SeriesPresent]
    """Those of the series named that are in the album now; of others, nothing is told but the UID."""
    total: int


class History:
    """Lists events and comments of albums.

    Parameters
    ----------
    database
        Where they are.
    default_issuer
        The issuer that a bare ``sub`` in a user reference means.
    """

    def __init__(self, database: Database, *, default_issuer: str) -> None:
        self._database = database
        self._default_issuer = default_issuer

    async def of_album(self, principal: Principal, album: AlbumId, wanted: HistoryFilter, page: Page) -> HistoryPage:
        """Return a part of an album's history; private comments are seen by their author and addressee only.

        Raises
        ------
        AlbumNotFoundError
            If the album is hidden or does not exist.
        ForbiddenError
            If the token may not read it.
        """

        def work(tx: Connection) -> HistoryPage:
            key = permitted(tx, principal, AlbumAction.READ_COMMENT, album)
            entries, total = history.list_history(
                tx,
                key,
                wanted,
                reader=policy.private_comments_of(principal),
                default_issuer=self._default_issuer,
                page=page,
            )
            named = {uid for entry in entries if isinstance(entry, Event) for uid in entry.series}
            scope = policy.read_scope(principal, Source(album=key))
            present = {} if isinstance(scope, Denied) else history.series_present(tx, scope, sorted(named))
            return HistoryPage(entries, present, total)

        return await self._database.run(work)
