"""The one rule source: may this principal do this to that.

Pure functions of facts. Nothing else in the package decides, and the types of `kheops.domain.grants` that storage and
the archive demand are created here only. Lists and single reads come from the same rule: `read_scope` is what a search
runs under, and `read_series` refuses whatever that scope would not list.
"""

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from kheops.domain.grants import (
    Admission,
    AdmittedInstance,
    AlbumAction,
    Denied,
    PermittedAlbum,
    ReadableInstance,
    ReadableSeries,
    ReadScope,
    Reason,
    Scope,
    SendableSeries,
    Source,
    StoreTarget,
)
from kheops.domain.principals import AlbumCapability, Person, Principal, UserCapability
from kheops.domain.resources import (
    AlbumFlags,
    AlbumRole,
    Holding,
    InstanceRef,
    OriginAlbum,
    OriginUser,
    SeriesFacts,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
    StoreFacts,
)
from kheops.ids import SopInstanceUID, UserPk

__all__ = [
    "Admission",
    "AdmittedInstance",
    "AlbumAction",
    "Denied",
    "PermittedAlbum",
    "ReadScope",
    "ReadableInstance",
    "ReadableSeries",
    "Reason",
    "Scope",
    "SendableSeries",
    "Source",
    "StoreTarget",
    "act_on_album",
    "admit",
    "admit_instance",
    "manage_capabilities",
    "manage_own_account",
    "read_instance",
    "read_scope",
    "read_series",
    "remove_from_inbox",
    "revoke_capability",
    "see_capability",
    "send_scope",
    "send_series",
    "store_into",
    "take_back",
]


# Reading ---------------------------------------------------------------------------------------------------------


def read_scope(principal: Principal, source: Source) -> ReadScope | Denied:
    """Return the scope in which ``principal`` may search.

    Parameters
    ----------
    principal
        Who asks.
    source
        The narrowing that the request asks for. An album in it must have been permitted by `act_on_album` with
        ``READ_SERIES`` before; here it only narrows, it never widens.
    """
    match principal:
        case Person():
            return ReadScope(Scope(principal.user, album=source.album, inbox=source.inbox))
        case UserCapability():
            if not principal.permissions.read:
                return Denied(Reason.TOKEN_LACKS_READ)
            return ReadScope(Scope(principal.user, album=source.album, inbox=source.inbox))
        case AlbumCapability():
            if not principal.permissions.read:
                return Denied(Reason.TOKEN_LACKS_READ)
            if source.inbox:
                return Denied(Reason.TOKEN_KIND)
            if source.album not in (None, principal.album):
                return Denied(Reason.NO_GRANT)
            return ReadScope(Scope(principal.user, album=principal.album, admin=True))
        case _:
            assert_never(principal)


def read_series(principal: Principal, facts: SeriesFacts | None) -> ReadableSeries | Denied:
    """Decide whether ``principal`` may read the series of ``facts`` (``None``: hidden or absent)."""
    if facts is None:
        return Denied(Reason.NO_GRANT)
    if not _token_reads(principal):
        return Denied(Reason.TOKEN_LACKS_READ)
    if any(_reads_through(principal, holding) for holding in facts.holdings):
        return ReadableSeries(facts.ref)
    return Denied(Reason.NO_GRANT)


def read_instance(
    principal: Principal, facts: SeriesFacts | None, confirmed: SopInstanceUID | None
) -> ReadableInstance | Denied:
    """Decide whether ``principal`` may read one instance.

    Parameters
    ----------
    principal
        Who asks.
    facts
        The series, as storage found it for this caller.
    confirmed
        The instance, if the catalog has it as confirmed in that series; ``None`` otherwise.
    """
    match read_series(principal, facts):
        case Denied() as denied:
            return denied
        case series:
            if confirmed is None:
                return Denied(Reason.NO_GRANT)
            return ReadableInstance(InstanceRef(series.study_instance_uid, series.series_instance_uid, confirmed))


def _token_reads(principal: Principal) -> bool:
    match principal:
        case Person():
            return True
        case UserCapability() | AlbumCapability():
            return principal.permissions.read
        case _:
            assert_never(principal)


def _reads_through(principal: Principal, holding: Holding) -> bool:
    match principal:
        case Person() | UserCapability():
            return True
        case AlbumCapability():
            return holding.album == principal.album and holding.is_admin
        case _:
            assert_never(principal)


# Passing on ------------------------------------------------------------------------------------------------------


def send_series(principal: Principal, facts: SeriesFacts | None) -> SendableSeries | Denied:
    """Decide whether ``principal`` may put the series into another album or inbox.

    Whoever has it in the inbox or administers an album that holds it may; a plain member may by the album's
    ``send_series``; a token needs ``appropriate`` besides ``read``.
    """
    match principal:
        case Person():
            pass
        case UserCapability() | AlbumCapability():
            if not principal.permissions.read:
                return Denied(Reason.TOKEN_LACKS_READ)
            if not principal.permissions.appropriate:
                return Denied(Reason.TOKEN_LACKS_APPROPRIATE)
        case _:
            assert_never(principal)
    if facts is None:
        return Denied(Reason.NO_GRANT)
    for holding in facts.holdings:
        if _reads_through(principal, holding) and (holding.is_inbox or holding.is_admin or holding.flags.send_series):
            return SendableSeries(facts.ref)
    return Denied(Reason.NO_GRANT)


def send_scope(principal: Principal, source: Source) -> ReadScope | Denied:
    """Return the scope in which ``principal`` may look for series to pass on; `send_series` then decides each.

    Refused for what the token lacks before anything is looked up, so that a refusal tells nothing of a UID.

    Parameters
    ----------
    principal
        Who passes on.
    source
        Where the series are to come from. An album in it must have been permitted by `act_on_album` with
        ``SEND_SERIES`` before.
    """
    match principal:
        case Person():
            return read_scope(principal, source)
        case UserCapability() | AlbumCapability():
            if principal.permissions.read and not principal.permissions.appropriate:
                return Denied(Reason.TOKEN_LACKS_APPROPRIATE)
            return read_scope(principal, source)
        case _:
            assert_never(principal)


def take_back(
    principal: Principal, target: StoreTarget, ref: SeriesRef, record: SeriesOnRecord
) -> SendableSeries | Denied:
    """Decide whether ``principal`` may take an orphan back into ``target``.

    A person's upload goes back to that person, wherever they may add; an album's upload goes back to that album,
    by whoever may add to it. Nobody else learns that it is there.
    """
    if record.state is not SeriesState.ORPHAN or record.study_instance_uid != ref.study_instance_uid:
        return Denied(Reason.NO_GRANT)
    if record.origin is not None and (record.origin == target.origin or _is_origin(principal, record, None)):
        return SendableSeries(ref)
    return Denied(Reason.NO_GRANT)


def remove_from_inbox(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may take series out of their person's inbox.

    A token must read as well as write, as KHEOPS asks of albums: the answer tells whether the series was there.
    """
    if not _token_reads(principal):
        return Denied(Reason.TOKEN_LACKS_READ)
    return manage_own_account(principal, writes=True)


# Albums ----------------------------------------------------------------------------------------------------------

_EVERY_MEMBER: Final = frozenset(
    {
        AlbumAction.SEE,
        AlbumAction.LIST_USERS,
        AlbumAction.READ_SERIES,
        AlbumAction.LEAVE,
        AlbumAction.EDIT_OWN_MEMBERSHIP,
    }
)
_BY_FLAG: Final[Mapping[AlbumAction, Callable[[AlbumFlags], bool]]] = {
    AlbumAction.ADD_SERIES: lambda flags: flags.add_series,
    AlbumAction.SEND_SERIES: lambda flags: flags.send_series,
    AlbumAction.DELETE_SERIES: lambda flags: flags.delete_series,
    AlbumAction.ADD_USER: lambda flags: flags.add_user,
}
"""What plain members may do where the album's flag lets them."""
_ADMINISTRATORS_ONLY: Final = frozenset(
    {
        AlbumAction.EDIT_ALBUM,
        AlbumAction.REMOVE_USER,
        AlbumAction.MANAGE_ADMINS,
        AlbumAction.MANAGE_CAPABILITIES,
        AlbumAction.DELETE_ALBUM,
    }
)
_KNOWN: Final = _EVERY_MEMBER | frozenset(_BY_FLAG) | _ADMINISTRATORS_ONLY
"""An action that stands in none of the three is denied to everybody, administrators among them."""


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
            allowed = role.is_admin or _member_may(action, role)
            return PermittedAlbum(role.album) if allowed else Denied(Reason.ALBUM_ROLE)
        case UserCapability():
            return _user_capability_on_album(principal, action, role)
        case AlbumCapability():
            return _album_capability_on_album(principal, action, role)
        case _:
            assert_never(principal)


def _member_may(action: AlbumAction, role: AlbumRole) -> bool:
    if action in _EVERY_MEMBER:
        return True
    flag = _BY_FLAG.get(action)
    return flag is not None and flag(role.flags)


def _user_capability_on_album(
    principal: UserCapability, action: AlbumAction, role: AlbumRole
) -> PermittedAlbum | Denied:
    # Who may see an album, and whether it lives, is for the person to decide, not for whoever holds a token.
    if action in _ADMINISTRATORS_ONLY or action is AlbumAction.ADD_USER:
        return Denied(Reason.TOKEN_KIND)
    reading = {AlbumAction.SEE, AlbumAction.LIST_USERS, AlbumAction.READ_SERIES}
    if action in reading:
        if not principal.permissions.read:
            return Denied(Reason.TOKEN_LACKS_READ)
    elif action is AlbumAction.SEND_SERIES:
        if not (principal.permissions.read and principal.permissions.appropriate):
            return Denied(Reason.TOKEN_LACKS_APPROPRIATE)
    elif not principal.permissions.write:
        return Denied(Reason.TOKEN_LACKS_WRITE)
    elif action is AlbumAction.DELETE_SERIES and not principal.permissions.read:
        # As for tokens of album scope: the answer tells whether the series was there.
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
        case AlbumCapability():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


# Capability tokens -----------------------------------------------------------------------------------------------


def manage_capabilities(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may create, list and revoke capability tokens at all: only people may, no token.

    What concerns an album is `act_on_album`'s to decide as well, with ``MANAGE_CAPABILITIES``.
    """
    match principal:
        case Person():
            return principal.user
        case UserCapability() | AlbumCapability():
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


# Storing ---------------------------------------------------------------------------------------------------------


def store_into(principal: Principal, role: AlbumRole | None) -> StoreTarget | Denied:
    """Decide whether ``principal`` may store into the album or inbox of ``role`` at all.

    Parameters
    ----------
    principal
        Who stores.
    role
        Their role in the target: their own inbox, or an album.
    """
    if role is None:
        return Denied(Reason.NO_GRANT)
    if not role.is_inbox:
        match act_on_album(principal, AlbumAction.ADD_SERIES, role):
            case Denied() as denied:
                return denied
            case album:
                return StoreTarget(album, OriginAlbum(album))
    match manage_own_account(principal, writes=True):
        case Denied() as denied:
            return denied
        case user:
            return StoreTarget(PermittedAlbum(role.album), OriginUser(user))


def admit(principal: Principal, target: StoreTarget, series: SeriesRef, facts: StoreFacts) -> Admission | Denied:
    """Decide whether a part of an upload may be added to ``series``, from the parsed bytes' UIDs and the catalog.

    Every `Denied` of this function is answered with failure reason 0x0124 and nothing more.
    """
    record = facts.series
    if record is None:
        if facts.study_on_record and not facts.study_open:
            return Denied(Reason.FOREIGN_STUDY)
        return Admission.NEW_SERIES
    if record.study_instance_uid != series.study_instance_uid:
        return Denied(Reason.SERIES_ELSEWHERE)
    match record.state:
        case SeriesState.RESERVED:
            shared = record.reserved_for == target.album
            return Admission.SHARE_RESERVATION if shared else Denied(Reason.OTHER_RESERVATION)
        case SeriesState.CONFIRMED:
            return _add(principal, record, facts)
        case SeriesState.ORPHAN:
            if isinstance(take_back(principal, target, series, record), Denied):
                return Denied(Reason.NOT_ORIGIN)
            return Admission.TAKE_BACK
        case SeriesState.DELETING:
            return Denied(Reason.BEING_DELETED)
        case _:
            assert_never(record.state)


def _add(principal: Principal, record: SeriesOnRecord, facts: StoreFacts) -> Admission | Denied:
    if not _is_origin(principal, record, facts.origin_role):
        return Denied(Reason.NOT_ORIGIN)
    # Storing one instance would give the whole series to a target that has it not: that is sending it on.
    if facts.target_holds or not isinstance(send_series(principal, facts.reach), Denied):
        return Admission.ADD
    return Denied(Reason.NO_GRANT)


def admit_instance(admission: Admission | Denied, instance: InstanceRef) -> AdmittedInstance | Denied:
    """Turn an admission to a series into the right to send ``instance`` to the store."""
    if isinstance(admission, Denied):
        return admission
    return AdmittedInstance(instance)


def _is_origin(principal: Principal, record: SeriesOnRecord, origin_role: AlbumRole | None) -> bool:
    match record.origin:
        case None:
            return False
        case OriginUser(user):
            if isinstance(principal, AlbumCapability):
                return False
            return principal.user == user
        case OriginAlbum(album):
            if origin_role is None or origin_role.album != album:
                return False
            return not isinstance(act_on_album(principal, AlbumAction.ADD_SERIES, origin_role), Denied)
        case _:
            assert_never(record.origin)
