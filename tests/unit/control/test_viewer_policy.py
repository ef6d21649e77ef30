"""What a viewer token may: its study in its source, no more than its parent may now, and nothing else."""

import itertools
from dataclasses import replace

import pytest

from kheops.domain import policy
from kheops.domain.policy import AlbumAction, Denied, Reason, Scope, Source, StoreTarget, ViewerGrant
from kheops.domain.principals import (
    AlbumCapability,
    CapabilityPermissions,
    Person,
    Principal,
    UserCapability,
    ViewerParent,
    ViewerToken,
)
from kheops.domain.resources import (
    AlbumFlags,
    AlbumRole,
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
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)

ALICE = UserPk(1)
INBOX, ALBUM, OTHER = AlbumPk(10), AlbumPk(11), AlbumPk(12)
STUDY, ELSEWHERE = StudyInstanceUID("1.2"), StudyInstanceUID("1.9")
REF = SeriesRef(STUDY, SeriesInstanceUID("1.3"))
ANY, IN_INBOX, IN_ALBUM = Source(), Source(inbox=True), Source(album=ALBUM)
SOURCES = {"any": ANY, "inbox": IN_INBOX, "album": IN_ALBUM}

inbox = AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags())
member = AlbumRole(ALBUM, is_inbox=False, is_admin=False, flags=AlbumFlags())
admin = replace(member, is_admin=True)
no_adding = replace(member, flags=AlbumFlags(add_series=False))
of_other = replace(admin, album=OTHER)


def permissions(letters: str) -> CapabilityPermissions:
    return CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )


PERSON = Person(ALICE, "iss", "alice", "token")


def user_token(letters: str) -> UserCapability:
    return UserCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters))


def album_token(letters: str) -> AlbumCapability:
    return AlbumCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters), ALBUM)


def viewer(parent: ViewerParent = PERSON, source: Source = ANY, letters: str = "rw") -> ViewerToken:
    return ViewerToken(ViewerTokenPk(7), parent, STUDY, source, read="r" in letters, write="w" in letters)


def reason(decision: object) -> Reason | None:
    return decision.reason if isinstance(decision, Denied) else None


def facts(*holdings: AlbumRole, ref: SeriesRef = REF) -> SeriesFacts:
    return SeriesFacts(ref, holdings)


# Reading ---------------------------------------------------------------------------------------------------------

READS: list[tuple[ViewerParent, Source, tuple[AlbumRole, ...], bool]] = [
    (PERSON, ANY, (inbox,), True),
    (PERSON, ANY, (of_other,), True),
    (PERSON, IN_INBOX, (inbox,), True),
    (PERSON, IN_INBOX, (member, of_other), False),
    (PERSON, IN_ALBUM, (member,), True),
    (PERSON, IN_ALBUM, (inbox, of_other), False),
    (PERSON, IN_ALBUM, (inbox, of_other, member), True),
    (user_token("r"), ANY, (inbox,), True),
    (user_token("w"), ANY, (inbox,), False),
    (album_token("r"), ANY, (admin,), True),
    (album_token("r"), ANY, (member,), False),
    (album_token("r"), ANY, (of_other, inbox), False),
    (album_token("r"), IN_ALBUM, (admin,), True),
    (album_token("r"), IN_INBOX, (inbox, admin), False),
    (album_token("w"), IN_ALBUM, (admin,), False),
]


@pytest.mark.parametrize(("parent", "source", "holdings", "reads"), READS)
def test_a_viewer_token_reads_what_its_parent_reads_in_its_source(
    parent: ViewerParent, source: Source, holdings: tuple[AlbumRole, ...], reads: bool
) -> None:
    token = viewer(parent, source)
    held = facts(*holdings)
    assert isinstance(policy.read_series(token, held), Denied) is not reads
    instance = policy.read_instance(token, held, SopInstanceUID("1.4"))
    assert isinstance(instance, Denied) is not reads
    assert reason(policy.read_series(replace(token, read=False), held)) is Reason.TOKEN_LACKS_READ
    other = facts(*holdings, ref=replace(REF, study_instance_uid=ELSEWHERE))
    assert isinstance(policy.read_series(token, other), Denied)


SCOPES: list[tuple[ViewerParent, Source, Source, Scope | Reason]] = [
    (PERSON, ANY, ANY, Scope(ALICE, studies=(STUDY,))),
    (PERSON, ANY, IN_INBOX, Scope(ALICE, inbox=True, studies=(STUDY,))),
    (PERSON, ANY, IN_ALBUM, Scope(ALICE, album=ALBUM, studies=(STUDY,))),
    (PERSON, IN_INBOX, ANY, Scope(ALICE, inbox=True, studies=(STUDY,))),
    (PERSON, IN_INBOX, IN_INBOX, Scope(ALICE, inbox=True, studies=(STUDY,))),
    (PERSON, IN_INBOX, IN_ALBUM, Reason.NO_GRANT),
    (PERSON, IN_ALBUM, ANY, Scope(ALICE, album=ALBUM, studies=(STUDY,))),
    (PERSON, IN_ALBUM, IN_ALBUM, Scope(ALICE, album=ALBUM, studies=(STUDY,))),
    (PERSON, IN_ALBUM, IN_INBOX, Reason.TOKEN_KIND),
    (PERSON, IN_ALBUM, Source(album=OTHER), Reason.NO_GRANT),
    (user_token("r"), ANY, ANY, Scope(ALICE, studies=(STUDY,))),
    (user_token("w"), ANY, ANY, Reason.TOKEN_LACKS_READ),
    (album_token("r"), ANY, ANY, Scope(ALICE, album=ALBUM, admin=True, studies=(STUDY,))),
    (album_token("r"), ANY, IN_INBOX, Reason.TOKEN_KIND),
    (album_token("r"), ANY, Source(album=OTHER), Reason.NO_GRANT),
    (album_token("r"), IN_INBOX, ANY, Reason.TOKEN_KIND),
]


@pytest.mark.parametrize(("parent", "source", "asked", "expected"), SCOPES)
def test_a_search_is_the_parents_in_the_source_and_of_the_study(
    parent: ViewerParent, source: Source, asked: Source, expected: Scope | Reason
) -> None:
    decided = policy.read_scope(viewer(parent, source), asked)
    assert (reason(decided) or decided) == expected
    assert reason(policy.read_scope(viewer(parent, source, "w"), asked)) is Reason.TOKEN_LACKS_READ


# Albums ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", list(AlbumAction))
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_on_an_album_it_reads_and_stores_within_its_source_and_does_nothing_else(
    source: Source, action: AlbumAction
) -> None:
    decided = policy.act_on_album(viewer(PERSON, source), action, admin)
    if source == IN_INBOX:
        assert reason(decided) is Reason.NO_GRANT
    elif action in {AlbumAction.READ_SERIES, AlbumAction.ADD_SERIES}:
        assert decided == ALBUM
    else:
        assert reason(decided) is Reason.TOKEN_KIND
    hidden = policy.act_on_album(viewer(PERSON, source), action, None)
    assert reason(hidden) is Reason.NO_GRANT
    if source == IN_ALBUM:
        assert policy.act_on_album(viewer(PERSON, source), action, of_other) == hidden


@pytest.mark.parametrize(("action", "letters"), list(itertools.product(AlbumAction, ("", "r", "w", "rw"))))
def test_an_album_that_its_parent_cannot_see_is_absent_whatever_it_lacks(action: AlbumAction, letters: str) -> None:
    token = viewer(album_token("rwad"), ANY, letters)
    assert policy.act_on_album(token, action, of_other) == policy.act_on_album(token, action, None)


def test_an_action_on_an_album_takes_the_right_of_both() -> None:
    for action, letter, lacks in (
        (AlbumAction.READ_SERIES, "r", Reason.TOKEN_LACKS_READ),
        (AlbumAction.ADD_SERIES, "w", Reason.TOKEN_LACKS_WRITE),
    ):
        others = "rw".replace(letter, "")
        assert reason(policy.act_on_album(viewer(PERSON, IN_ALBUM, others), action, admin)) is lacks
        assert reason(policy.act_on_album(viewer(album_token(others), IN_ALBUM), action, admin)) is lacks
    assert (
        reason(policy.act_on_album(viewer(PERSON, IN_ALBUM), AlbumAction.ADD_SERIES, no_adding)) is Reason.ALBUM_ROLE
    )


# Storing ---------------------------------------------------------------------------------------------------------

STORES: list[tuple[ViewerParent, Source, AlbumRole, AlbumPk | Reason]] = [
    (PERSON, ANY, inbox, INBOX),
    (PERSON, ANY, member, ALBUM),
    (PERSON, IN_INBOX, inbox, INBOX),
    (PERSON, IN_INBOX, member, Reason.NO_GRANT),
    (PERSON, IN_ALBUM, member, ALBUM),
    (PERSON, IN_ALBUM, inbox, Reason.TOKEN_KIND),
    (PERSON, IN_ALBUM, of_other, Reason.NO_GRANT),
    (PERSON, IN_ALBUM, no_adding, Reason.ALBUM_ROLE),
    (user_token("w"), ANY, inbox, INBOX),
    (user_token("r"), ANY, inbox, Reason.TOKEN_LACKS_WRITE),
    (album_token("w"), ANY, admin, ALBUM),
    (album_token("w"), ANY, inbox, Reason.TOKEN_KIND),
    (album_token("r"), IN_ALBUM, admin, Reason.TOKEN_LACKS_WRITE),
]


@pytest.mark.parametrize(("parent", "source", "role", "expected"), STORES)
def test_it_stores_into_its_source_only_with_write_and_the_parents_right(
    parent: ViewerParent, source: Source, role: AlbumRole, expected: AlbumPk | Reason
) -> None:
    decided = policy.store_into(viewer(parent, source), role)
    assert (decided.album if isinstance(decided, StoreTarget) else decided.reason) == expected
    without = policy.store_into(viewer(parent, source, "r"), role)
    assert reason(without) == (Reason.TOKEN_LACKS_WRITE if isinstance(decided, StoreTarget) else expected)


def _target(token: ViewerToken, role: AlbumRole) -> StoreTarget:
    target = policy.store_into(token, role)
    assert isinstance(target, StoreTarget)
    return target


def test_it_adds_to_its_study_only() -> None:
    token = viewer()
    target = _target(token, inbox)
    nothing = StoreFacts(series=None, study_on_record=False, study_open=False, origin_role=None)
    assert policy.admit(token, target, REF, nothing) is policy.Admission.NEW_SERIES
    other = replace(REF, study_instance_uid=ELSEWHERE)
    own = SeriesOnRecord(ELSEWHERE, SeriesState.CONFIRMED, OriginUser(ALICE), None)
    for record in (nothing, replace(nothing, series=own)):
        assert reason(policy.admit(token, target, other, record)) is Reason.OTHER_STUDY


def test_it_is_the_origin_that_its_parent_is() -> None:
    by_alice = SeriesOnRecord(STUDY, SeriesState.CONFIRMED, OriginUser(ALICE), None)
    by_album = replace(by_alice, origin=OriginAlbum(ALBUM))
    base = StoreFacts(series=by_alice, study_on_record=True, study_open=True, origin_role=None, target_holds=True)
    for parent, role, adds in (
        (PERSON, inbox, True),
        (user_token("w"), inbox, True),
        (album_token("w"), admin, False),
    ):
        token = viewer(parent)
        decided = policy.admit(token, _target(token, role), REF, base)
        assert isinstance(decided, Denied) is not adds
    in_album = replace(base, series=by_album, origin_role=admin)
    for source, role, adds in ((ANY, inbox, True), (IN_ALBUM, admin, True), (IN_INBOX, inbox, False)):
        token = viewer(PERSON, source)
        assert isinstance(policy.admit(token, _target(token, role), REF, in_album), Denied) is not adds


# Nothing else ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", [PERSON, user_token("rwad"), album_token("rwad")])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_it_shares_removes_manages_and_asks_nothing(parent: ViewerParent, source: Source) -> None:
    token = viewer(parent, source)
    orphan = SeriesOnRecord(STUDY, SeriesState.ORPHAN, OriginUser(ALICE), None)
    target = _target(viewer(), inbox)
    for decided in (
        policy.send_scope(token, ANY),
        policy.send_series(token, facts(inbox, admin)),
        policy.take_back(token, target, REF, orphan),
        policy.remove_from_inbox(token),
        policy.manage_own_account(token, writes=False),
        policy.manage_own_account(token, writes=True),
        policy.manage_capabilities(token),
        policy.see_capability(token, ALICE, admin),
        policy.revoke_capability(token, ALICE, admin),
        policy.introspect(token),
        policy.open_viewer(token, ANY, None, read=True, write=False),
    ):
        assert reason(decided) is Reason.TOKEN_KIND


# Making ----------------------------------------------------------------------------------------------------------

OPENS: list[tuple[Principal, Source, AlbumRole | None, str, Reason | None]] = [
    (PERSON, ANY, None, "rw", None),
    (PERSON, IN_INBOX, None, "rw", None),
    (PERSON, IN_ALBUM, member, "rw", None),
    (PERSON, IN_ALBUM, no_adding, "r", None),
    (PERSON, IN_ALBUM, no_adding, "rw", Reason.ALBUM_ROLE),
    (PERSON, IN_ALBUM, None, "r", Reason.NO_GRANT),
    (PERSON, IN_ALBUM, of_other, "r", Reason.NO_GRANT),
    (user_token("r"), ANY, None, "r", None),
    (user_token("r"), ANY, None, "rw", Reason.TOKEN_LACKS_WRITE),
    (user_token("w"), IN_INBOX, None, "r", Reason.TOKEN_LACKS_READ),
    (user_token("w"), IN_ALBUM, member, "w", None),
    (user_token("w"), IN_ALBUM, member, "r", Reason.TOKEN_LACKS_READ),
    (album_token("r"), ANY, None, "r", None),
    (album_token("r"), ANY, None, "w", Reason.TOKEN_LACKS_WRITE),
    (album_token("r"), IN_ALBUM, admin, "r", None),
    (album_token("r"), IN_ALBUM, admin, "w", Reason.TOKEN_LACKS_WRITE),
    (album_token("r"), IN_INBOX, None, "r", Reason.TOKEN_KIND),
    (album_token("rwad"), Source(album=OTHER), of_other, "r", Reason.NO_GRANT),
]


@pytest.mark.parametrize(("principal", "source", "role", "letters", "expected"), OPENS)
def test_what_is_given_down_is_never_more_than_what_is_there(
    principal: Principal, source: Source, role: AlbumRole | None, letters: str, expected: Reason | None
) -> None:
    read, write = "r" in letters, "w" in letters
    decided = policy.open_viewer(principal, source, role, read=read, write=write)
    assert reason(decided) is expected
    if expected is None:
        assert decided == ViewerGrant(source, read=read, write=write)
