"""From a refusal of the policy to the error that the caller gets."""

from typing import Final, NoReturn, TypeVar

from kheops.domain.policy import Denied, Reason
from kheops.errors import AlbumNotFoundError, ForbiddenError, NotFoundError
from kheops.telemetry.signals import Count, count

__all__ = ["granted", "refuse"]

_T = TypeVar("_T")

_WORDS: Final = {
    Reason.TOKEN_LACKS_READ: "This token may not read.",
    Reason.TOKEN_LACKS_WRITE: "This token may not write.",
    Reason.TOKEN_LACKS_APPROPRIATE: "This token may not pass series on.",
    Reason.TOKEN_LACKS_DOWNLOAD: "This token shows images and downloads nothing.",
    Reason.TOKEN_KIND: "You don't have the permission to do this with this type of token.",
    Reason.ALBUM_ROLE: "You don't have the permission to do this on this album.",
    Reason.NOT_ADMINISTRATOR: "Only administrators of the installation may do this.",
    Reason.ONESELF: "Nobody does this to themself.",
}


def refuse(denied: Denied, *, album: bool = False) -> NoReturn:
    """Raise what the caller may know of a refusal.

    Parameters
    ----------
    denied
        The policy's refusal.
    album
        Whether it was an album that was refused; then hidden and absent are `AlbumNotFoundError`.

    Raises
    ------
    ForbiddenError
        If the reason is visible from the token or the album role alone.
    NotFoundError
        Otherwise: hidden and absent look the same.
    """
    count(Count.DENIALS, reason=denied.reason.name.lower())
    if denied.reason.visible_to_caller:
        raise ForbiddenError(_WORDS[denied.reason])
    if album:
        raise AlbumNotFoundError
    raise NotFoundError


def granted(decided: _T | Denied, *, album: bool = False) -> _T:
    """Return what the policy granted.

    Parameters
    ----------
    decided
        The policy's answer.
    album
        As `refuse` takes it.

    Raises
    ------
    ForbiddenError, NotFoundError
        As `refuse`, if that was a refusal.
    """
    if isinstance(decided, Denied):
        refuse(decided, album=album)
    return decided
