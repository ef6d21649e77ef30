"""Asking the policy about an album, in the transaction of what is done to it."""

from collections.abc import Callable

from sqlalchemy import Connection

from kheops.domain import policy
from kheops.domain.policy import AlbumAction, PermittedAlbum
from kheops.domain.principals import Principal, groups_of
from kheops.domain.resources import AlbumRole
from kheops.errors import AlbumNotFoundError
from kheops.ids import AlbumId, AlbumPk
from kheops.services.denials import granted
from kheops.storage import albums, roles

__all__ = ["permitted", "permitted_and_locked"]


def permitted(tx: Connection, principal: Principal, action: AlbumAction, album: AlbumId) -> PermittedAlbum:
    """Return the album if ``principal`` may do ``action`` to it.

    Raises
    ------
    AlbumNotFoundError
        If it is hidden from them, or does not exist.
    ForbiddenError
        If their token or their role in it does not include that.
    """
    return _decide(principal, action, roles.role_in_album(tx, principal.user, album, groups=groups_of(principal)))


def permitted_and_locked(
    tx: Connection,
    principal: Principal,
    action: AlbumAction,
    album: AlbumId,
    *,
    lock: Callable[[Connection, AlbumPk], bool] = albums.lock_album,
) -> PermittedAlbum:
    """Do as `permitted` does, and lock the album, so that what was decided holds until the transaction ends.

    Parameters
    ----------
    tx
        The transaction.
    principal
        Who asks.
    action
        What they want to do.
    album
        To which album.
    lock
        How it is locked.
    """
    # Decided first without the lock: who may not know the album must not be seen waiting for it.
    key = permitted(tx, principal, action, album)
    if not lock(tx, key):
        raise AlbumNotFoundError
    return permitted(tx, principal, action, album)


def _decide(principal: Principal, action: AlbumAction, role: AlbumRole | None) -> PermittedAlbum:
    return granted(policy.act_on_album(principal, action, role), album=True)
