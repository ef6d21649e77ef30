"""The part of the one rule source that needs no series: albums, the own account, tokens.

Pure functions of facts, as all of `kheops.domain.policy`, by whose name everybody calls them.
"""

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from kheops.domain.grants import AlbumAction, Denied, PermittedAlbum, Reason, ReportGrant, Source, ViewerGrant
from kheops.domain.people_policy import administer
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
)
from kheops.domain.resources import AlbumFlags, AlbumRole
from kheops.ids import AlbumPk, UserPk

__all__ = [
    "act_on_album",
    "comment_on_study",
    "introspect",
    "manage_capabilities",
    "manage_own_account",
    "mark_in_inbox",
    "open_report",
    "open_viewer",
    "private_comments_of",
    "revoke_capability",
    "see_capability",
    "settle_album",
]


# Albums ----------------------------------------------------------------------------------------------------------

_EVERY_MEMBER: Final = frozenset(
    {
        AlbumAction.SEE,
        AlbumAction.LIST_USERS,
        AlbumAction.READ_SERIES,
        AlbumAction.READ_COMMENT,
        AlbumAction.GET_DICOM_SR,
        AlbumAction.LEAVE,
        AlbumAction.EDIT_OWN_MEMBERSHIP,
    }
)
_OF_OWN_MEMBERSHIP: Final = frozenset({AlbumAction.LEAVE, AlbumAction.EDIT_OWN_MEMBERSHIP})
"""What takes a membership of one's own: whoever is in an album by a group has none to leave or to change."""
_BY_FLAG: Final[Mapping[AlbumAction, Callable[[AlbumFlags], bool]]] = {
    AlbumAction.ADD_SERIES: lambda flags: flags.add_series,
    AlbumAction.EDIT_FAVORITES: lambda flags: flags.add_series,
    AlbumAction.SEND_SERIES: lambda flags: flags.send_series,
    AlbumAction.DELETE_SERIES: lambda flags: flags.delete_series,
    AlbumAction.ADD_USER: lambda flags: flags.add_user,
    AlbumAction.WRITE_COMMENT: lambda flags: flags.write_comments,
}
"""What plain members may do where the album's flag lets them."""
_ADMINISTRATORS_ONLY: Final = frozenset(
    {
        AlbumAction.EDIT_ALBUM,
        AlbumAction.REMOVE_USER,
        AlbumAction.MANAGE_ADMINS,
        AlbumAction.MANAGE_GROUPS,
        AlbumAction.MANAGE_CAPABILITIES,
        AlbumAction.MANAGE_DICOM_SR,
        AlbumAction.MANAGE_WEBHOOK,
        AlbumAction.DELETE_ALBUM,
    }
)
_KNOWN: Final = _EVERY_MEMBER | frozenset(_BY_FLAG) | _ADMINISTRATORS_ONLY
"""An action that stands in none of the three is denied to everybody, administrators among them."""
_OF_PEOPLE_ALONE: Final = _ADMINISTRATORS_ONLY | {AlbumAction.ADD_USER, AlbumAction.LEAVE}
"""Who is in an album, and whether it lives (its last member takes it along), no token decides for its person."""
_TELLING: Final = frozenset(
    {
        AlbumAction.DELETE_SERIES,
        AlbumAction.WRITE_COMMENT,
        AlbumAction.EDIT_FAVORITES,
        AlbumAction.EDIT_OWN_MEMBERSHIP,
    }
)
"""What writes, and whose answer tells what is in the album, or who: a token must read as well."""


def act_on_album(principal: Principal, action: AlbumAction, role: AlbumRole | None) -> PermittedAlbum | Denied:
    """Decide whether ``principal`` may do ``action`` to an album.

    Parameters
    ----------
    principal
        Who asks.
    action
        What they want to do.
    role
        The person's role in that album; ``None`` where there is none or the album does not exist. An inbox is not
        addressable as an album, and is refused as if it did not exist.
    """
    if role is None or role.is_inbox:
        return Denied(Reason.NO_GRANT)
    if action not in _KNOWN:
        return Denied(Reason.TOKEN_KIND)
    match principal:
        case Person():
            allowed = (role.is_admin and not role.by_group) or _member_may(action, role)
            return PermittedAlbum(role.album) if allowed else Denied(Reason.ALBUM_ROLE)
        case UserCapability():
            return _user_capability_on_album(principal, action, role)
        case AlbumCapability():
            return _album_capability_on_album(principal, action, role)
        case ViewerToken() | ReportToken():
            return _delegated_on_album(principal, action, role)
        case LinkVisit():
            return _link_on_album(principal, action, role)
        case _:
            assert_never(principal)


def _member_may(action: AlbumAction, role: AlbumRole) -> bool:
    if role.by_group and action in _OF_OWN_MEMBERSHIP:
        return False
    if action in _EVERY_MEMBER:
        return True
    flag = _BY_FLAG.get(action)
    return flag is not None and flag(role.flags)


def _user_capability_on_album(
    principal: UserCapability, action: AlbumAction, role: AlbumRole
) -> PermittedAlbum | Denied:
    if action in _OF_PEOPLE_ALONE:
        return Denied(Reason.TOKEN_KIND)
    reading = {
        AlbumAction.SEE,
        AlbumAction.LIST_USERS,
        AlbumAction.READ_SERIES,
        AlbumAction.READ_COMMENT,
        AlbumAction.GET_DICOM_SR,
    }
    if action in reading:
        if not principal.permissions.read:
            return Denied(Reason.TOKEN_LACKS_READ)
    elif action is AlbumAction.SEND_SERIES:
        if not (principal.permissions.read and principal.permissions.appropriate):
            return Denied(Reason.TOKEN_LACKS_APPROPRIATE)
    elif not principal.permissions.write:
        return Denied(Reason.TOKEN_LACKS_WRITE)
    elif action in _TELLING and not principal.permissions.read:
        return Denied(Reason.TOKEN_LACKS_READ)
    if role.is_admin or _member_may(action, role):
        return PermittedAlbum(role.album)
    return Denied(Reason.ALBUM_ROLE)


def _album_capability_on_album(
    principal: AlbumCapability, action: AlbumAction, role: AlbumRole
) -> PermittedAlbum | Denied:
    if role.album != principal.album or not role.is_admin:
        return Denied(Reason.NO_GRANT)
    permissions = principal.permissions
    if action is AlbumAction.SEE:
        return PermittedAlbum(role.album)
    if action is AlbumAction.READ_SERIES:
        return PermittedAlbum(role.album) if permissions.read else Denied(Reason.TOKEN_LACKS_READ)
    if action is AlbumAction.ADD_SERIES:
        return PermittedAlbum(role.album) if permissions.write else Denied(Reason.TOKEN_LACKS_WRITE)
    if action is AlbumAction.SEND_SERIES:
        allowed = permissions.read and permissions.appropriate
        return PermittedAlbum(role.album) if allowed else Denied(Reason.TOKEN_LACKS_APPROPRIATE)
    if action is AlbumAction.DELETE_SERIES:
        allowed = permissions.read and permissions.write
        return PermittedAlbum(role.album) if allowed else Denied(Reason.TOKEN_LACKS_WRITE)
    return Denied(Reason.TOKEN_KIND)


def _delegated_on_album(
    principal: ViewerToken | ReportToken, action: AlbumAction, role: AlbumRole
) -> PermittedAlbum | Denied:
    if not principal.reaches(role):
        return Denied(Reason.NO_GRANT)
    # The parent first: what it cannot even see stays hidden, whatever this token lacks.
    decided = act_on_album(principal.parent, action, role)
    if isinstance(decided, Denied) and not decided.reason.visible_to_caller:
        return decided
    if action is AlbumAction.READ_SERIES:
        return decided if principal.read else Denied(Reason.TOKEN_LACKS_READ)
    if action is AlbumAction.ADD_SERIES:
        return decided if principal.write else Denied(Reason.TOKEN_LACKS_WRITE)
    return Denied(Reason.TOKEN_KIND)


def _link_on_album(principal: LinkVisit, action: AlbumAction, role: AlbumRole) -> PermittedAlbum | Denied:
    if role.album != principal.album or not role.is_admin:
        return Denied(Reason.NO_GRANT)
    return PermittedAlbum(role.album) if action is AlbumAction.READ_SERIES else Denied(Reason.TOKEN_KIND)


def manage_own_account(principal: Principal, *, writes: bool) -> UserPk | Denied:
    """Decide whether ``principal`` may act as its person: list and create albums, use the inbox.

    KHEOPS's [U] routes. A token of album scope never may; one of user scope by its read and write permissions.
    """
    match principal:
        case Person():
            return principal.user
        case UserCapability():
            if writes and not principal.permissions.write:
                return Denied(Reason.TOKEN_LACKS_WRITE)
            if not writes and not principal.permissions.read:
                return Denied(Reason.TOKEN_LACKS_READ)
            return principal.user
        case AlbumCapability() | ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


def mark_in_inbox(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may mark what is in their person's inbox as a favourite.

    A token must read as well as write, as KHEOPS asks of albums: the answer tells whether the series was there.
    """
    return _reads_and_writes(principal)


def comment_on_study(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may comment on a study that they read; a token must read as well as write."""
    return _reads_and_writes(principal)


def private_comments_of(principal: Principal) -> UserPk | None:
    """Return as whose author or addressee ``principal`` sees private comments; ``None`` sees public ones only."""
    match principal:
        case Person():
            return principal.user
        case UserCapability():
            return principal.user if principal.permissions.read else None
        case AlbumCapability() | ViewerToken() | ReportToken() | LinkVisit():
            return None
        case _:
            assert_never(principal)


def _reads_and_writes(principal: Principal) -> UserPk | Denied:
    match manage_own_account(principal, writes=False):
        case Denied() as denied:
            return denied
        case _:
            return manage_own_account(principal, writes=True)


def settle_album(principal: Principal, album: AlbumPk) -> PermittedAlbum | Denied:
    """Decide whether ``principal`` may hand over, or delete, an album whose last administrator is being erased."""
    match administer(principal):
        case Denied() as denied:
            return denied
        case _:
            return PermittedAlbum(album)


# Capability tokens -----------------------------------------------------------------------------------------------


def manage_capabilities(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may create, list and revoke capability tokens at all: only people may, no token.

    What concerns an album is `act_on_album`'s to decide as well, with ``MANAGE_CAPABILITIES``.
    """
    match principal:
        case Person():
            return principal.user
        case UserCapability() | AlbumCapability() | ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


def see_capability(principal: Principal, owner: UserPk, role: AlbumRole | None) -> UserPk | Denied:
    """Decide whether ``principal`` may see a capability token (never its secret).

    Parameters
    ----------
    principal
        Who asks.
    owner
        Whose token it is.
    role
        The caller's role in the token's album; ``None`` where it has none or the caller has no role there.
    """
    match manage_own_account(principal, writes=False):
        case Denied() as denied:
            return denied
        case user:
            if user == owner or not isinstance(act_on_album(principal, AlbumAction.MANAGE_CAPABILITIES, role), Denied):
                return user
            return Denied(Reason.NO_GRANT)


def revoke_capability(principal: Principal, owner: UserPk, role: AlbumRole | None) -> UserPk | Denied:
    """Decide whether ``principal`` may revoke a capability token: its owner, and administrators of its album."""
    match manage_capabilities(principal):
        case Denied() as denied:
            return denied
        case _:
            return see_capability(principal, owner, role)


def introspect(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may ask what somebody's access token is good for (RFC 7662 section 2.1)."""
    match principal:
        case Person() | UserCapability() | AlbumCapability():
            return principal.user
        case ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


# Viewer tokens ---------------------------------------------------------------------------------------------------


def open_viewer(
    principal: Principal, source: Source, role: AlbumRole | None, *, read: bool, write: bool
) -> ViewerGrant | Denied:
    """Decide whether ``principal`` may have a viewer token made, which gives down only (RFC 8693).

    No study is looked up: what the token reaches is decided anew at each request.

    Parameters
    ----------
    principal
        Who hands on what they may do; no viewer token makes another.
    source
        Where the study is to be reached.
    role
        The person's role in the album of ``source``; ``None`` without one, or if there is no such album.
    read, write
        What the token is to do.
    """
    if isinstance(principal, ViewerToken | ReportToken | LinkVisit):
        return Denied(Reason.TOKEN_KIND)
    if source.inbox and isinstance(principal, AlbumCapability):
        return Denied(Reason.TOKEN_KIND)
    if source.album is not None:
        if role is None or role.album != source.album:
            return Denied(Reason.NO_GRANT)
        wanted = ((read, AlbumAction.READ_SERIES), (write, AlbumAction.ADD_SERIES))
        for action in (action for asked, action in wanted if asked):
            decided = act_on_album(principal, action, role)
            if isinstance(decided, Denied):
                return decided
    elif not isinstance(principal, Person):
        if read and not principal.permissions.read:
            return Denied(Reason.TOKEN_LACKS_READ)
        if write and not principal.permissions.write:
            return Denied(Reason.TOKEN_LACKS_WRITE)
    return ViewerGrant(source, read=read, write=write)


# Report tokens ---------------------------------------------------------------------------------------------------


def open_report(principal: Principal, role: AlbumRole | None) -> ReportGrant | Denied:
    """Decide whether ``principal`` may hand studies of an album to one of its report providers, and for what.

    Who reads the album may. The provider may then read, and write only where the principal may add series. Which
    studies are there is `read_scope`'s to say.

    Parameters
    ----------
    principal
        Who asks for the report: a person, or a token of user scope.
    role
        The person's role in the provider's album.
    """
    if not isinstance(principal, Person | UserCapability):
        return Denied(Reason.TOKEN_KIND)
    match act_on_album(principal, AlbumAction.READ_SERIES, role):
        case Denied() as denied:
            return denied
        case album:
            write = not isinstance(act_on_album(principal, AlbumAction.ADD_SERIES, role), Denied)
            return ReportGrant(album, read=True, write=write)
