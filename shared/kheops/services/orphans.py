"""Own orphans: what its origin may still take back."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.albums import Page
from kheops.domain.policy import AlbumAction, Denied, PermittedAlbum
from kheops.domain.principals import Principal, groups_of
from kheops.services.denials import granted
from kheops.storage.engine import Database
from kheops.storage.orphans import OwnOrphan, list_orphans, roles_in_albums

__all__ = ["Orphans"]


class Orphans:
    """What its origin may still take back.

    Parameters
    ----------
    database
        Where the catalog is.
    lifetime
        How long orphans are kept.
    """

    def __init__(self, database: Database, *, lifetime: timedelta) -> None:
        self._database = database
        self.lifetime = lifetime

    async def list(self, principal: Principal, page: Page) -> tuple[Sequence[OwnOrphan], int]:
        """Return a page of the orphans that the caller may take back, the oldest first, and how many there are.

        They are what the caller uploaded, and what was uploaded into albums that the caller may add series to.

        Raises
        ------
        ForbiddenError
            If the token may not act as its person.
        """

        def work(tx: Connection) -> tuple[Sequence[OwnOrphan], int]:
            user = granted(policy.manage_own_account(principal, writes=False))
            albums: list[PermittedAlbum] = []
            for role in roles_in_albums(tx, user, groups_of(principal)):
                permitted = policy.act_on_album(principal, AlbumAction.ADD_SERIES, role)
                if not isinstance(permitted, Denied):
                    albums.append(permitted)
            return list_orphans(tx, user, albums, page)

        return await self._database.run(work)
