"""The one rule source: may this principal do this to that.

Pure functions of facts. Nothing else in the package decides, and the types of `kheops.domain.grants` that storage and
the archive demand are created only here and in `kheops.domain.album_policy`; what is about people alone is in
`kheops.domain.people_policy`. Lists and single reads
come from the same rule: `read_scope` is what a search runs under, and `read_series` refuses whatever that scope would
not list.
"""

from dataclasses import replace
from typing import assert_never

from kheops.domain.album_policy import (
    act_on_album,
    comment_on_study,
    introspect,
    manage_capabilities,
    manage_own_account,
    mark_in_inbox,
    open_report,
    open_viewer,
    private_comments_of,
    revoke_capability,
    see_capability,
    settle_album,
)
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
    ReportGrant,
    Scope,
    SendableSeries,
    Source,
    StoreTarget,
    ViewerGrant,
)
from kheops.domain.people_policy import (
    act_on_another,
    administer,
    is_acquainted,
    look_up_people,
    tell_userinfo,
)
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerToken,
    parent_of,
)
from kheops.domain.resources import (
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
    "ReportGrant",
    "Scope",
    "SendableSeries",
    "Source",
    "StoreTarget",
    "ViewerGrant",
    "act_on_album",
    "act_on_another",
    "administer",
    "admit",
    "admit_instance",
    "comment_on_study",
    "introspect",
    "is_acquainted",
    "look_up_people",
    "manage_capabilities",
    "manage_own_account",
    "mark_in_inbox",
    "open_report",
    "open_viewer",
    "private_comments_of",
    "read_comments",
    "read_instance",
    "read_scope",
    "read_series",
    "read_whole",
    "remove_from_inbox",
    "revoke_capability",
    "see_capability",
    "send_scope",
    "send_series",
    "settle_album",
    "store_into",
    "take_back",
    "tell_userinfo",
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
            groups = principal.groups
            return ReadScope(Scope(principal.user, album=source.album, inbox=source.inbox, groups=groups))
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
        case ViewerToken() | ReportToken():
            return _delegated_scope(principal, source)
        case LinkVisit():
            return _link_scope(principal, source)
        case _:
            assert_never(principal)


def _delegated_scope(principal: ViewerToken | ReportToken, source: Source) -> ReadScope | Denied:
    if not principal.read:
        return Denied(Reason.TOKEN_LACKS_READ)
    own = principal.source
    if source.inbox and own.album is not None:
        return Denied(Reason.TOKEN_KIND)
    if source.album is not None and (own.inbox or own.album not in {None, source.album}):
        return Denied(Reason.NO_GRANT)
    narrowed = Source(inbox=own.inbox or source.inbox, album=own.album or source.album)
    match read_scope(principal.parent, narrowed):
        case Denied() as denied:
            return denied
        case scope:
            return ReadScope(replace(scope, studies=principal.studies))


def _link_scope(principal: LinkVisit, source: Source) -> ReadScope | Denied:
    if source.inbox:
        return Denied(Reason.TOKEN_KIND)
    if source.album not in (None, principal.album):
        return Denied(Reason.NO_GRANT)
    if principal.album is not None:
        return ReadScope(Scope(principal.user, album=principal.album, admin=True))
    return ReadScope(Scope(principal.user, link=principal.pk, sending=True))


def read_whole(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may retrieve whole studies and series at once, which viewers can do without.

    What of it they may read is not decided here. Only links that are for viewing can be without it; archives are
    `kheops.domain.export_policy`'s to decide.
    """
    if isinstance(principal, LinkVisit) and not principal.download:
        return Denied(Reason.TOKEN_LACKS_DOWNLOAD)
    return principal.user


def read_comments(principal: Principal) -> ReadScope | Denied:
    """Return the scope in which ``principal`` may read what was said of studies.

    What people say, and who they are, is for people and the tokens of user scope: an album's token lists no members,
    and viewers, reports and links are for images only. Which of the private comments others see,
    `private_comments_of` says.
    """
    if isinstance(principal, AlbumCapability | ViewerToken | ReportToken | LinkVisit):
        return Denied(Reason.TOKEN_KIND)
    return read_scope(principal, Source())


def read_series(principal: Principal, facts: SeriesFacts | None) -> ReadableSeries | Denied:
    """Decide whether ``principal`` may read the series of ``facts`` (``None``: hidden or absent)."""
    if facts is None:
        return Denied(Reason.NO_GRANT)
    if not _token_reads(principal):
        return Denied(Reason.TOKEN_LACKS_READ)
    if _of_other_study(principal, facts.ref):
        return Denied(Reason.NO_GRANT)
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
        case Person() | LinkVisit():
            return True
        case UserCapability() | AlbumCapability():
            return principal.permissions.read
        case ViewerToken() | ReportToken():
            return principal.read and _token_reads(principal.parent)
        case _:
            assert_never(principal)


def _of_other_study(principal: Principal, ref: SeriesRef) -> bool:
    return isinstance(principal, ViewerToken | ReportToken) and ref.study_instance_uid not in principal.studies


def _reads_through(principal: Principal, holding: Holding) -> bool:
    match principal:
        case Person() | UserCapability():
            return True
        case AlbumCapability():
            return holding.album == principal.album and holding.is_admin
        case ViewerToken() | ReportToken():
            return principal.reaches(holding) and _reads_through(principal.parent, holding)
        case LinkVisit():
            if principal.album is not None:
                return holding.album == principal.album and holding.is_admin
            # Which series the link shows is in the scope that the facts were found in; a role knows nothing of it.
            return _sends_from(holding)
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
        case ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)
    if facts is None:
        return Denied(Reason.NO_GRANT)
    for holding in facts.holdings:
        if _reads_through(principal, holding) and _sends_from(holding):
            return SendableSeries(facts.ref)
    return Denied(Reason.NO_GRANT)


def _sends_from(holding: Holding) -> bool:
    return holding.is_inbox or holding.is_admin or holding.flags.send_series


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
        case ViewerToken() | ReportToken() | LinkVisit():
            return Denied(Reason.TOKEN_KIND)
        case _:
            assert_never(principal)


def take_back(
    principal: Principal, target: StoreTarget, ref: SeriesRef, record: SeriesOnRecord
) -> SendableSeries | Denied:
    """Decide whether ``principal`` may take an orphan back into ``target``.

    A person's upload goes back to that person, wherever they may add; an album's upload goes back to that album,
    by whoever may add to it. Nobody else learns that it is there.
    """
    if isinstance(principal, ViewerToken | ReportToken | LinkVisit):
        return Denied(Reason.TOKEN_KIND)
    if record.state is not SeriesState.ORPHAN or record.study_instance_uid != ref.study_instance_uid:
        return Denied(Reason.NO_GRANT)
    if record.origin is not None and (record.origin == target.origin or _is_origin(principal, record, None)):
        return SendableSeries(ref)
    return Denied(Reason.NO_GRANT)


def remove_from_inbox(principal: Principal) -> UserPk | Denied:
    """Decide whether ``principal`` may take series out of their person's inbox.

    A token must read as well as write, as KHEOPS asks of albums: the answer tells whether the series was there.
    """
    if isinstance(principal, ViewerToken | ReportToken | LinkVisit):
        return Denied(Reason.TOKEN_KIND)
    if not _token_reads(principal):
        return Denied(Reason.TOKEN_LACKS_READ)
    return manage_own_account(principal, writes=True)


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
    if isinstance(principal, ViewerToken | ReportToken):
        if not principal.reaches(role):
            return Denied(Reason.TOKEN_KIND if role.is_inbox else Reason.NO_GRANT)
        decided = store_into(principal.parent, role)
        return decided if principal.write or isinstance(decided, Denied) else Denied(Reason.TOKEN_LACKS_WRITE)
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
    if _of_other_study(principal, series):
        return Denied(Reason.OTHER_STUDY)
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
            return not isinstance(parent_of(principal), AlbumCapability | LinkVisit) and principal.user == user
        case OriginAlbum(album):
            if origin_role is None or origin_role.album != album:
                return False
            return not isinstance(act_on_album(principal, AlbumAction.ADD_SERIES, origin_role), Denied)
        case _:
            assert_never(record.origin)
