"""The matrix by the pure policy: each row as facts of the world, and what the policy's functions say of them.

What stands between the functions is what the services do (which question comes first), and the facts are what storage
would have found: of a series that a scope does not reach, there are none.
"""

from typing import Final, NoReturn

from kheops.domain import policy
from kheops.domain.export_policy import export, export_from_album, export_series
from kheops.domain.policy import AlbumAction, Denied, ReadScope, Source, StoreTarget
from kheops.domain.principals import (
    AlbumCapability,
    LinkVisit,
    Person,
    Principal,
    ReportToken,
    UserCapability,
    ViewerParent,
    ViewerToken,
)
from kheops.domain.resources import (
    AlbumFlags,
    AlbumRole,
    Origin,
    OriginAlbum,
    OriginUser,
    SeriesFacts,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
    StoreFacts,
)
from kheops.ids import (
    AlbumPk,
    CapabilityId,
    LinkId,
    LinkPk,
    LinkVisitPk,
    ReportProviderId,
    ReportTokenPk,
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)
from tests.matrices.notation import Action, Outcome, Row
from tests.matrices.world import (
    ALBUMS,
    CREDENTIALS,
    PEOPLE,
    SERIES,
    Credential,
    Login,
    Nobody,
    Report,
    Token,
    Viewer,
    Visit,
    permissions_of,
    series_of,
    stands,
)

__all__ = ["outcome_of", "principal_of", "raw_outcome_of"]

_ISSUER: Final = "https://idp.example.org"
_ALBUM_PKS: Final = {name: AlbumPk(number) for number, name in enumerate(ALBUMS, start=1)}
_USERS: Final = {name: UserPk(number) for number, name in enumerate(PEOPLE, start=101)}
_INBOXES: Final = {name: AlbumPk(number) for number, name in enumerate(PEOPLE, start=201)}
_NAMES: Final = {user: name for name, user in _USERS.items()}
_VISITS: Final = [credential for credential in CREDENTIALS.values() if isinstance(credential, Visit)]
_LINKS: Final = {visit: LinkPk(number) for number, visit in enumerate(_VISITS, start=301)}
_SELECTIONS: Final = {_LINKS[visit]: visit.series for visit in _VISITS}
_INBOX_FLAGS: Final = AlbumFlags(delete_series=True, write_comments=False)


class _Answered(Exception):  # noqa: N818 - an answer, not an error
    """The row is decided."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def outcome_of(row: Row) -> Outcome:
    """Return what comes of a row."""
    if not stands(CREDENTIALS[row.principal]):
        return Outcome.UNAUTHENTICATED
    return raw_outcome_of(row)


def raw_outcome_of(row: Row) -> Outcome:
    """Return what the policy says, whether or not the credential would have come as far as that."""
    try:
        _decide(principal_of(CREDENTIALS[row.principal]), row.action, row.object)
    except _Answered as answered:
        return answered.outcome
    return Outcome.ALLOWED


def principal_of(credential: Credential) -> Principal:
    """Return for whom a credential stands; there is none for nobody."""
    match credential:
        case Login(person):
            groups = frozenset(credential.groups)
            return Person(_USERS[person], _ISSUER, person, "token", groups=groups)
        case Token(maker, letters, album):
            user, capability, permissions = _USERS[maker], CapabilityId("capability"), permissions_of(letters)
            if album is None:
                return UserCapability(user, _ISSUER, maker, capability, permissions)
            return AlbumCapability(user, _ISSUER, maker, capability, permissions, _ALBUM_PKS[album])
        case Viewer(parent, study, source, letters):
            made_from = principal_of(CREDENTIALS[parent])
            assert isinstance(made_from, ViewerParent)
            of_album = None if source is None or source == "inbox" else _ALBUM_PKS[source]
            return ViewerToken(
                ViewerTokenPk(1),
                made_from,
                StudyInstanceUID(study),
                Source(inbox=source == "inbox", album=of_album),
                read="r" in letters,
                write="w" in letters,
            )
        case Report(person, album, studies):
            parent_person = Person(_USERS[person], _ISSUER, person, "token")
            uids = tuple(StudyInstanceUID(study) for study in studies)
            provider = ReportProviderId("provider")
            report = ReportTokenPk(1)
            return ReportToken(report, parent_person, provider, _ALBUM_PKS[album], uids, read=True, write=True)
        case Visit(maker, album):
            return LinkVisit(
                visit=LinkVisitPk(1),
                link=LinkId("link"),
                pk=_LINKS[credential],
                user=_USERS[maker],
                iss=_ISSUER,
                sub=maker,
                album=None if album is None else _ALBUM_PKS[album],
                download=credential.downloads,
            )
        case Nobody():
            raise ValueError("nobody is no principal")


# Facts -----------------------------------------------------------------------------------------------------------


_PRESENTED: Final = {
    _USERS[credential.person]: frozenset(credential.groups)
    for credential in CREDENTIALS.values()
    if isinstance(credential, Login) and credential.groups
}


def _role(user: UserPk, album: str, presented: frozenset[str] | None = None) -> AlbumRole | None:
    """Return somebody's role, by what their token presents, or by the groups of a scope."""
    name, world = _NAMES[user], ALBUMS[album]
    by_group = name not in world.admins + world.members
    groups = _PRESENTED.get(user, frozenset[str]()) if presented is None else presented
    if by_group and not groups & set(world.groups):
        return None
    is_admin = name in world.admins
    return AlbumRole(_ALBUM_PKS[album], is_inbox=False, is_admin=is_admin, flags=world.flags, by_group=by_group)


def _inbox(user: UserPk) -> AlbumRole:
    return AlbumRole(_INBOXES[_NAMES[user]], is_inbox=True, is_admin=False, flags=_INBOX_FLAGS)


def _ref(series: str) -> SeriesRef:
    return SeriesRef(StudyInstanceUID(SERIES[series].study), SeriesInstanceUID(series))


def _facts(scope: ReadScope, series: str) -> SeriesFacts | None:
    """Return how the scope reaches a series, by the words of `kheops.domain.grants.Scope`."""
    world = SERIES[series]
    roles = [_role(scope.user, album, scope.groups) for album in world.albums]
    if _NAMES[scope.user] in world.inboxes:
        roles.append(_inbox(scope.user))
    held = tuple(
        role
        for role in roles
        if role is not None
        and scope.album in {None, role.album}
        and (role.is_inbox or not scope.inbox)
        and (role.is_admin or not scope.admin)
        and (role.is_inbox or role.is_admin or role.flags.send_series or not scope.sending)
    )
    if scope.studies is not None and world.study not in scope.studies:
        return None
    if scope.link is not None and series not in _SELECTIONS[scope.link]:
        return None
    return SeriesFacts(_ref(series), held) if held else None


def _holders(series: str) -> set[AlbumPk]:
    world = SERIES[series]
    return {_ALBUM_PKS[album] for album in world.albums} | {_INBOXES[person] for person in world.inboxes}


def _origin(series: str) -> Origin | None:
    origin = SERIES[series].origin
    if origin is None:
        return None
    return OriginAlbum(_ALBUM_PKS[origin]) if origin in ALBUMS else OriginUser(_USERS[origin])


def _record(series: str) -> SeriesOnRecord:
    world = SERIES[series]
    held = world.inboxes or world.albums
    state = SeriesState.CONFIRMED if held else SeriesState.ORPHAN
    return SeriesOnRecord(StudyInstanceUID(world.study), state, _origin(series), None)


# Decisions -------------------------------------------------------------------------------------------------------


def _refuse(denied: Denied) -> NoReturn:
    raise _Answered(Outcome.FORBIDDEN if denied.reason.visible_to_caller else Outcome.ABSENT)


_WHOLE: Final = {
    Action.RETRIEVE_STUDY,
    Action.RETRIEVE_SERIES,
    Action.RETRIEVE_FROM_ALBUM_1,
    Action.RETRIEVE_FROM_ALBUM_2,
    Action.RETRIEVE_FROM_INBOX,
}


def _decide(principal: Principal, action: Action, about: str) -> None:
    if action in _WHOLE:
        _answer(policy.read_whole(principal))
    match action:
        case (
            Action.SEARCH_STUDIES | Action.SEARCH_SERIES_OF_STUDY | Action.SEARCH_ALL_SERIES | Action.SEARCH_INSTANCES
        ):
            _search(principal, Source(), about)
        case Action.SEARCH_IN_ALBUM_1 | Action.SEARCH_IN_ALBUM_2:
            _search(principal, _from_album(principal, AlbumAction.READ_SERIES, _album_in(action)), about)
        case Action.SEARCH_IN_INBOX:
            _search(principal, Source(inbox=True), about)
        case Action.STUDY_METADATA | Action.RETRIEVE_STUDY:
            _read_study(principal, about)
        case Action.SERIES_METADATA | Action.RETRIEVE_SERIES | Action.THUMBNAIL_OF_SERIES:
            _read(principal, Source(), about)
        case (
            Action.INSTANCE_METADATA
            | Action.RETRIEVE_INSTANCE
            | Action.RETRIEVE_FRAMES
            | Action.RETRIEVE_BULKDATA
            | Action.RETRIEVE_BY_URI
            | Action.RENDER_INSTANCE
            | Action.RENDER_BY_URI
        ):
            _read_instance(principal, about)
        case Action.RETRIEVE_FROM_ALBUM_1 | Action.RETRIEVE_FROM_ALBUM_2:
            _read(principal, _from_album(principal, AlbumAction.READ_SERIES, _album_in(action)), about)
        case Action.RETRIEVE_FROM_INBOX:
            _read(principal, Source(inbox=True), about)
        case Action.SEE_ALBUM:
            _permit(principal, AlbumAction.SEE, about)
        case Action.LIST_ALBUMS:
            user = _answer(policy.manage_own_account(principal, writes=False))
            if _role(user, about) is None:
                raise _Answered(Outcome.WITHOUT)
        case Action.LIST_MEMBERS:
            _permit(principal, AlbumAction.LIST_USERS, about)
        case Action.LIST_REPORT_PROVIDERS:
            _permit(principal, AlbumAction.GET_DICOM_SR, about)
        case Action.LIST_WEBHOOKS:
            _permit(principal, AlbumAction.MANAGE_WEBHOOK, about)
        case Action.LEAVE:
            _permit(principal, AlbumAction.LEAVE, about)
        case Action.MAKE_CAPABILITY:
            _answer(policy.manage_capabilities(principal))
            if about in ALBUMS:
                _permit(principal, AlbumAction.MANAGE_CAPABILITIES, about)
        case Action.SEE_CAPABILITY | Action.REVOKE_CAPABILITY:
            _capability(principal, action, about)
        case Action.STORE_STUDY:
            target = _target(principal, about if about in ALBUMS else None)
            _admit(principal, target, SeriesRef(StudyInstanceUID("new"), SeriesInstanceUID("new")), None)
        case Action.STORE_SERIES | Action.STORE_SERIES_VIA_ALBUM_1 | Action.STORE_SERIES_VIA_ALBUM_2:
            target = _target(principal, _named_album(action))
            _admit(principal, target, SeriesRef(StudyInstanceUID(about), SeriesInstanceUID("new")), None)
        case Action.STORE_INSTANCE | Action.STORE_INSTANCE_VIA_ALBUM_1 | Action.STORE_INSTANCE_VIA_ALBUM_2:
            _admit(principal, _target(principal, _named_album(action)), _ref(about), _record(about))
        case Action.PUT_INTO_ALBUM_1 | Action.PUT_INTO_ALBUM_2:
            album = _album_in(action)
            _permit(principal, AlbumAction.ADD_SERIES, album)
            _pass_on(principal, Source(), about, _target(principal, album))
        case Action.TAKE:
            if isinstance(principal, AlbumCapability):
                _permit(principal, AlbumAction.ADD_SERIES, _album_of(principal))
            _pass_on(principal, Source(), about, _target(principal, None))
        case Action.SEND:
            _pass_on(principal, Source(), about, None)
        case Action.SEND_FROM_ALBUM_1 | Action.SEND_FROM_ALBUM_2:
            source = _from_album(principal, AlbumAction.SEND_SERIES, _album_in(action))
            _pass_on(principal, source, about, None)
        case Action.REMOVE:
            if isinstance(principal, AlbumCapability):
                _remove_from_album(principal, _album_of(principal), about)
            else:
                _answer(policy.remove_from_inbox(principal))
                _read(principal, Source(inbox=True), about)
        case Action.REMOVE_FROM_ALBUM_1 | Action.REMOVE_FROM_ALBUM_2:
            _remove_from_album(principal, _album_in(action), about)
        case Action.DOWNLOAD_STUDY | Action.DOWNLOAD_SERIES:
            of_study = series_of(SERIES[about].study) if action is Action.DOWNLOAD_STUDY else [about]
            _download(principal, None, about, of_study)
        case Action.DOWNLOAD_ALBUM_1 | Action.DOWNLOAD_ALBUM_2:
            _download(principal, _album_in(action), about, list(SERIES))
        case Action.DOWNLOAD_INBOX:
            _download(principal, "inbox", about, list(SERIES))


def _album_in(action: Action) -> str:
    album = _named_album(action)
    assert album is not None
    return album


def _named_album(action: Action) -> str | None:
    return next((album for album in ALBUMS if album in action), None)


def _album_of(principal: AlbumCapability) -> str:
    return next(name for name, pk in _ALBUM_PKS.items() if pk == principal.album)


def _answer(decision: UserPk | Denied) -> UserPk:
    if isinstance(decision, Denied):
        _refuse(decision)
    return decision


def _permit(principal: Principal, action: AlbumAction, album: str) -> None:
    decision = policy.act_on_album(principal, action, _role(principal.user, album))
    if isinstance(decision, Denied):
        _refuse(decision)
    assert decision == _ALBUM_PKS[album], "the policy permits another album than was asked for"


def _from_album(principal: Principal, action: AlbumAction, album: str) -> Source:
    _permit(principal, action, album)
    return Source(album=_ALBUM_PKS[album])


def _scope(principal: Principal, source: Source) -> ReadScope:
    scope = policy.read_scope(principal, source)
    if isinstance(scope, Denied):
        _refuse(scope)
    return scope


def _search(principal: Principal, source: Source, series: str) -> None:
    if _facts(_scope(principal, source), series) is None:
        raise _Answered(Outcome.WITHOUT)


def _read(principal: Principal, source: Source, series: str) -> None:
    decision = policy.read_series(principal, _facts(_scope(principal, source), series))
    if isinstance(decision, Denied):
        _refuse(decision)
    assert decision == _ref(series)


def _read_study(principal: Principal, series: str) -> None:
    """Read what the caller may of a study; the row is about one of its series."""
    scope = _scope(principal, Source())
    readable = {
        each
        for each in series_of(SERIES[series].study)
        if not isinstance(policy.read_series(principal, _facts(scope, each)), Denied)
    }
    if series not in readable:
        raise _Answered(Outcome.WITHOUT if readable else Outcome.ABSENT)


def _read_instance(principal: Principal, series: str) -> None:
    facts = _facts(_scope(principal, Source()), series)
    decision = policy.read_instance(principal, facts, SopInstanceUID("instance") if facts is not None else None)
    if isinstance(decision, Denied):
        _refuse(decision)


def _capability(principal: Principal, action: Action, about: str) -> None:
    token = CREDENTIALS[about]
    assert isinstance(token, Token)
    # The services ask for the account first, so that a refusal by the token does not depend on what is asked about.
    if action is Action.REVOKE_CAPABILITY:
        _answer(policy.manage_capabilities(principal))
    else:
        _answer(policy.manage_own_account(principal, writes=False))
    ask = policy.revoke_capability if action is Action.REVOKE_CAPABILITY else policy.see_capability
    role = None if token.album is None else _role(principal.user, token.album)
    if isinstance(ask(principal, _USERS[token.maker], role), Denied):
        raise _Answered(Outcome.ABSENT)


def _target(principal: Principal, album: str | None) -> StoreTarget:
    if album is not None:
        role = _role(principal.user, album)
    elif isinstance(principal, AlbumCapability):
        role = _role(principal.user, _album_of(principal))
    elif isinstance(principal, ViewerToken | ReportToken) and principal.source.album is not None:
        role = _role(principal.user, next(name for name, pk in _ALBUM_PKS.items() if pk == principal.source.album))
    else:
        role = _inbox(principal.user)
    target = policy.store_into(principal, role)
    if isinstance(target, Denied):
        _refuse(target)
    return target


def _admit(principal: Principal, target: StoreTarget, ref: SeriesRef, record: SeriesOnRecord | None) -> None:
    study = [name for name in series_of(ref.study_instance_uid) if SERIES[name].origin is not None]
    scope = policy.read_scope(principal, Source())
    reads = not isinstance(scope, Denied) and any(_facts(scope, each) is not None for each in study)
    origin = None if record is None else record.origin
    album = next((each for each, pk in _ALBUM_PKS.items() if origin == OriginAlbum(pk)), None)
    name = next((each for each in study if _ref(each) == ref), None)
    reach = None if name is None or isinstance(scope, Denied) else _facts(scope, name)
    facts = StoreFacts(
        series=record,
        study_on_record=bool(study),
        study_open=reads or any(_origin(each) == target.origin for each in study),
        origin_role=None if album is None else _role(principal.user, album),
        target_holds=name is not None and target.album in _holders(name),
        reach=reach,
    )
    if isinstance(policy.admit(principal, target, ref, facts), Denied):
        raise _Answered(Outcome.REFUSED)


def _pass_on(principal: Principal, source: Source, series: str, target: StoreTarget | None) -> None:
    scope = policy.send_scope(principal, source)
    if isinstance(scope, Denied):
        _refuse(scope)
    facts = _facts(scope, series)
    if facts is not None and not isinstance(policy.send_series(principal, facts), Denied):
        return
    if target is not None and SERIES[series].origin is not None:
        taken = policy.take_back(principal, target, _ref(series), _record(series))
        if not isinstance(taken, Denied):
            return
    raise _Answered(Outcome.ABSENT)


def _remove_from_album(principal: Principal, album: str, series: str) -> None:
    _permit(principal, AlbumAction.DELETE_SERIES, album)
    held = _facts(_scope(principal, Source(album=_ALBUM_PKS[album])), series)
    if held is None:
        raise _Answered(Outcome.ABSENT)


def _download(principal: Principal, source: str | None, series: str, wanted: list[str]) -> None:
    """Download what may be had of the series wanted; the row is about one of them."""
    refused = export(principal)
    if refused is not None:
        _refuse(refused)
    named = Source(inbox=source == "inbox")
    if source in ALBUMS:
        named = _from_album(principal, AlbumAction.READ_SERIES, source)
        role = _role(principal.user, source)
        refused = None if role is None else export_from_album(role)
        if refused is not None:
            _refuse(refused)
    scope = _scope(principal, named)
    given = {each for each in wanted if not isinstance(export_series(principal, _facts(scope, each)), Denied)}
    if series not in given:
        raise _Answered(Outcome.WITHOUT if given else Outcome.ABSENT)
