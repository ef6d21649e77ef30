"""The policy answers every combination, and denies every one that is not listed here.

The lists are written from the rules in words, a line an action; an action without a line fails the test.
"""

import itertools
from collections.abc import Iterator
from typing import Final, cast

import pytest

from kheops.domain import policy
from kheops.domain.policy import Admission, AlbumAction, Denied, Reason, Source, StoreTarget
from kheops.domain.principals import AlbumCapability, CapabilityPermissions, Person, Principal, UserCapability
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
from kheops.ids import AlbumPk, CapabilityId, SeriesInstanceUID, StudyInstanceUID, UserPk

ALICE, BOB = UserPk(1), UserPk(2)
INBOX, ALBUM, OTHER = AlbumPk(10), AlbumPk(11), AlbumPk(12)
REF = SeriesRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.3"))
FLAG_NAMES = ("add_user", "download_series", "send_series", "delete_series", "add_series", "write_comments")
FLAGS = [AlbumFlags(*each) for each in itertools.product((False, True), repeat=len(FLAG_NAMES))]
LETTERS = ["".join(each) for size in range(5) for each in itertools.combinations("rwad", size)]

NOBODY: Final = "nobody"
EVERY_MEMBER: Final = "every member"
ADMINISTRATORS: Final = "administrators"

# What a plain member needs (a flag of the album, or nothing, or it is for administrators), what a token of user scope
# needs besides, and what a token of album scope needs; KHEOPS's table (albums: roles and flags), and for tokens of
# user scope: reading needs read, passing on needs read and appropriate, changing needs write.
RULES: dict[AlbumAction, tuple[str, str, str]] = {
    AlbumAction.SEE: (EVERY_MEMBER, "r", ""),
    AlbumAction.LIST_USERS: (EVERY_MEMBER, "r", NOBODY),
    AlbumAction.READ_SERIES: (EVERY_MEMBER, "r", "r"),
    AlbumAction.ADD_SERIES: ("add_series", "w", "w"),
    AlbumAction.SEND_SERIES: ("send_series", "ra", "ra"),
    AlbumAction.DELETE_SERIES: ("delete_series", "rw", "rw"),
    AlbumAction.ADD_USER: ("add_user", NOBODY, NOBODY),
    AlbumAction.LEAVE: (EVERY_MEMBER, NOBODY, NOBODY),
    AlbumAction.EDIT_OWN_MEMBERSHIP: (EVERY_MEMBER, "rw", NOBODY),
    AlbumAction.EDIT_ALBUM: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.REMOVE_USER: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.MANAGE_ADMINS: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.MANAGE_GROUPS: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.MANAGE_CAPABILITIES: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.MANAGE_WEBHOOK: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.GET_DICOM_SR: (EVERY_MEMBER, "r", NOBODY),
    AlbumAction.MANAGE_DICOM_SR: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.DELETE_ALBUM: (ADMINISTRATORS, NOBODY, NOBODY),
    AlbumAction.READ_COMMENT: (EVERY_MEMBER, "r", NOBODY),
    AlbumAction.WRITE_COMMENT: ("write_comments", "rw", NOBODY),
    AlbumAction.EDIT_FAVORITES: ("add_series", "rw", NOBODY),
}


def permissions(letters: str) -> CapabilityPermissions:
    return CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )


def user_token(letters: str) -> UserCapability:
    return UserCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters))


def album_token(letters: str, album: AlbumPk = ALBUM) -> AlbumCapability:
    return AlbumCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters), album)


PERSON = Person(ALICE, "iss", "alice", "token")
PRINCIPALS: list[tuple[str, str, Principal]] = [
    ("person", "", PERSON),
    *(("user", letters, user_token(letters)) for letters in LETTERS),
    *(("album", letters, album_token(letters)) for letters in LETTERS),
    *(("other album", letters, album_token(letters, OTHER)) for letters in LETTERS),
]
KINDS = ("person", "user", "album", "other album")


def roles() -> Iterator[AlbumRole | None]:
    yield None
    for is_inbox, is_admin, flags in itertools.product((False, True), (False, True), FLAGS):
        yield AlbumRole(INBOX if is_inbox else ALBUM, is_inbox=is_inbox, is_admin=is_admin, flags=flags)


def is_listed(kind: str, letters: str, action: AlbumAction, role: AlbumRole | None) -> bool:
    """Return whether the rules above permit it."""
    member, by_user_token, by_album_token = RULES[action]
    if role is None or role.is_inbox:
        return False
    by_role = role.is_admin or member == EVERY_MEMBER or (member in FLAG_NAMES and bool(getattr(role.flags, member)))
    match kind:
        case "person":
            return by_role
        case "user":
            return by_role and by_user_token != NOBODY and set(by_user_token) <= set(letters)
        case "album":
            return role.is_admin and by_album_token != NOBODY and set(by_album_token) <= set(letters)
        case _:
            return False


def test_every_action_has_a_rule() -> None:
    assert set(RULES) == set(AlbumAction)


@pytest.mark.parametrize("action", list(AlbumAction))
def test_an_action_on_an_album_is_permitted_where_it_is_listed_and_nowhere_else(action: AlbumAction) -> None:
    permitted = dict.fromkeys(KINDS, 0)
    for (kind, letters, principal), role in itertools.product(PRINCIPALS, roles()):
        decision = policy.act_on_album(principal, action, role)
        if is_listed(kind, letters, action, role):
            assert role is not None
            assert decision == role.album, (kind, letters, role)
            permitted[kind] += 1
        else:
            assert isinstance(decision, Denied), (kind, letters, role)
    assert permitted["person"]
    assert bool(permitted["user"]) == (RULES[action][1] != NOBODY)
    assert bool(permitted["album"]) == (RULES[action][2] != NOBODY)


@pytest.mark.parametrize("action", list(AlbumAction))
def test_by_a_group_one_is_a_plain_member_without_a_membership(action: AlbumAction) -> None:
    own = {AlbumAction.LEAVE, AlbumAction.EDIT_OWN_MEMBERSHIP}
    member, _, _ = RULES[action]
    for is_admin, flags in itertools.product((False, True), FLAGS):
        role = AlbumRole(ALBUM, is_inbox=False, is_admin=is_admin, flags=flags, by_group=True)
        by_flag = member in FLAG_NAMES and bool(getattr(flags, member))
        allowed = action not in own and (member == EVERY_MEMBER or by_flag)
        decision = policy.act_on_album(PERSON, action, role)
        assert decision == ALBUM if allowed else decision == Denied(Reason.ALBUM_ROLE), role


@pytest.mark.parametrize("action", list(AlbumAction))
def test_who_has_no_role_in_an_album_learns_nothing_of_it(action: AlbumAction) -> None:
    # Not even that the token would not do: hidden and absent have one reason, whatever the token.
    for _, _, principal in PRINCIPALS:
        for role in (None, AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags())):
            assert policy.act_on_album(principal, action, role) == Denied(Reason.NO_GRANT)


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_that_the_policy_does_not_know_is_denied(kind: str) -> None:
    unknown = cast("AlbumAction", "SOMETHING_NEW")
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        for role in roles():
            decision = policy.act_on_album(principal, unknown, role)
            assert isinstance(decision, Denied), (letters, role)


def holdings() -> Iterator[tuple[AlbumRole, ...]]:
    inbox = AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags(send_series=False))
    single = [
        inbox,
        *(
            AlbumRole(album, is_inbox=False, is_admin=is_admin, flags=AlbumFlags(send_series=send))
            for album in (ALBUM, OTHER)
            for is_admin in (False, True)
            for send in (False, True)
        ),
    ]
    for size in range(3):
        yield from itertools.combinations(single, size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_is_read_and_sent_by_what_reaches_it_and_by_nothing_else(kind: str) -> None:
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        own = {"album": ALBUM, "other album": OTHER}.get(kind)
        for held in holdings():
            facts = SeriesFacts(REF, held) if held else None
            reach = [role for role in held if own is None or (role.album == own and role.is_admin)]
            may_read = bool(reach) and (kind == "person" or "r" in letters)
            sending = [role for role in reach if role.is_inbox or role.is_admin or role.flags.send_series]
            may_send = bool(sending) and (kind == "person" or {"r", "a"} <= set(letters))
            read, sent = policy.read_series(principal, facts), policy.send_series(principal, facts)
            assert read == REF if may_read else isinstance(read, Denied), (letters, held)
            assert sent == REF if may_send else isinstance(sent, Denied), (letters, held)


def test_a_scope_is_the_callers_own_and_never_wider_than_what_is_named() -> None:
    sources = [Source(), Source(inbox=True), Source(album=ALBUM), Source(album=OTHER), Source(inbox=True, album=ALBUM)]
    for (kind, letters, principal), source in itertools.product(PRINCIPALS, sources):
        own = {"album": ALBUM, "other album": OTHER}.get(kind)
        narrows = own is None or (not source.inbox and source.album in {None, own})
        for scope, needed in (
            (policy.read_scope(principal, source), {"r"}),
            (policy.send_scope(principal, source), {"r", "a"}),
        ):
            if not narrows or (kind != "person" and not needed <= set(letters)):
                assert isinstance(scope, Denied), (kind, letters, source)
                continue
            assert not isinstance(scope, Denied), (kind, letters, source)
            assert scope.user == ALICE
            assert scope.album == (source.album if own is None else own)
            assert scope.inbox == source.inbox
            assert scope.admin == (own is not None)


ORIGINS: list[Origin | None] = [None, OriginUser(ALICE), OriginUser(BOB), OriginAlbum(ALBUM), OriginAlbum(OTHER)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_is_admitted_for_the_origin_and_for_nobody_else(kind: str) -> None:
    seen: set[Admission | type[Denied]] = set()
    of_album = kind in {"album", "other album"}
    targets = [StoreTarget(policy.PermittedAlbum(pk), OriginAlbum(pk)) for pk in (ALBUM, OTHER)]
    if not of_album:
        targets.append(StoreTarget(policy.PermittedAlbum(INBOX), OriginUser(ALICE)))
    uids = (REF.study_instance_uid, StudyInstanceUID("9.9"))
    origin_roles = [
        None,
        *(
            AlbumRole(album, is_inbox=False, is_admin=is_admin, flags=AlbumFlags(add_series=add))
            for album in (ALBUM, OTHER)
            for is_admin in (False, True)
            for add in (False, True)
        ),
    ]
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        own = {"album": ALBUM, "other album": OTHER}.get(kind)
        for target, study, state, origin, reserved_for, role, target_holds in itertools.product(
            targets, uids, SeriesState, ORIGINS, (None, ALBUM, OTHER, INBOX), origin_roles, (False, True)
        ):
            record = SeriesOnRecord(study, state, origin, reserved_for)
            facts = StoreFacts(
                record, study_on_record=True, study_open=True, origin_role=role, target_holds=target_holds
            )
            decision = policy.admit(principal, target, REF, facts)
            by_album = (
                isinstance(origin, OriginAlbum)
                and role is not None
                and role.album == origin.album
                and (role.is_admin if of_album else role.is_admin or role.flags.add_series)
                and (kind == "person" or "w" in letters)
                and own in {None, role.album}
            )
            is_origin = by_album or (origin == OriginUser(ALICE) and not of_album)
            expected: Admission | None = None
            if study == REF.study_instance_uid:
                if state is SeriesState.RESERVED and reserved_for == target.album:
                    expected = Admission.SHARE_RESERVATION
                elif state is SeriesState.CONFIRMED and is_origin and target_holds:
                    expected = Admission.ADD
                elif (
                    state is SeriesState.ORPHAN
                    and origin is not None
                    and (origin == target.origin or (origin == OriginUser(ALICE) and not of_album))
                ):
                    expected = Admission.TAKE_BACK
            if expected is None:
                assert isinstance(decision, Denied), (letters, record, role)
                seen.add(Denied)
            else:
                assert decision is expected, (letters, record, role)
                seen.add(expected)
    assert seen == {Denied, Admission.SHARE_RESERVATION, Admission.ADD, Admission.TAKE_BACK}


def test_a_study_on_record_takes_a_new_series_only_where_it_is_open() -> None:
    target = StoreTarget(policy.PermittedAlbum(INBOX), OriginUser(ALICE))
    for (_, _, principal), on_record, is_open in itertools.product(PRINCIPALS, (False, True), (False, True)):
        facts = StoreFacts(None, study_on_record=on_record, study_open=is_open, origin_role=None)
        decision = policy.admit(principal, target, REF, facts)
        if on_record and not is_open:
            assert decision == Denied(Reason.FOREIGN_STUDY)
        else:
            assert decision is Admission.NEW_SERIES


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_is_an_own_place_that_may_be_added_to(kind: str) -> None:
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        for role in roles():
            decision = policy.store_into(principal, role)
            into_inbox = role is not None and role.is_inbox and kind in {"person", "user"}
            allowed = is_listed(kind, letters, AlbumAction.ADD_SERIES, role) or (
                into_inbox and (kind == "person" or "w" in letters)
            )
            if not allowed:
                assert isinstance(decision, Denied), (letters, role)
                continue
            assert role is not None
            origin: Origin = OriginUser(ALICE) if role.is_inbox else OriginAlbum(ALBUM)
            assert decision == StoreTarget(policy.PermittedAlbum(role.album), origin)


@pytest.mark.parametrize("kind", KINDS)
def test_only_people_and_their_own_tokens_act_as_the_person(kind: str) -> None:
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        for writes, needed in ((False, "r"), (True, "w")):
            decision = policy.manage_own_account(principal, writes=writes)
            if kind == "person" or (kind == "user" and needed in letters):
                assert decision == ALICE, (letters, writes)
            else:
                assert isinstance(decision, Denied), (letters, writes)


@pytest.mark.parametrize("kind", KINDS)
def test_comments_on_studies_are_for_people_and_their_own_tokens_that_read(kind: str) -> None:
    for each, letters, principal in PRINCIPALS:
        if each != kind:
            continue
        decision = policy.read_comments(principal)
        if kind == "person" or (kind == "user" and "r" in letters):
            assert not isinstance(decision, Denied), letters
        else:
            assert isinstance(decision, Denied), letters
        if kind == "album":
            assert decision == Denied(Reason.TOKEN_KIND), letters


def test_a_refusal_tells_of_tokens_and_roles_and_of_nothing_else() -> None:
    visible = {reason for reason in Reason if reason.visible_to_caller}
    assert visible == {
        Reason.TOKEN_LACKS_READ,
        Reason.TOKEN_LACKS_WRITE,
        Reason.TOKEN_LACKS_APPROPRIATE,
        Reason.TOKEN_LACKS_DOWNLOAD,
        Reason.TOKEN_KIND,
        Reason.ALBUM_ROLE,
        Reason.NOT_ADMINISTRATOR,
        Reason.ONESELF,
    }
