"""What a report token may: its studies in its provider's album, no more than its parent may now, and nothing else."""

from dataclasses import replace

import pytest

from kheops.domain import policy
from kheops.domain.policy import AlbumAction, Denied, Reason, ReportGrant, Scope, Source, StoreTarget
from kheops.domain.principals import (
    AlbumCapability,
    CapabilityPermissions,
    Person,
    Principal,
    ReportParent,
    ReportToken,
    UserCapability,
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
    ReportProviderId,
    ReportTokenPk,
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
    ViewerTokenPk,
)

ALICE = UserPk(1)
INBOX, ALBUM, OTHER = AlbumPk(10), AlbumPk(11), AlbumPk(12)
ONE, TWO, ELSEWHERE = StudyInstanceUID("1.2"), StudyInstanceUID("1.3"), StudyInstanceUID("1.9")
inbox = AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags())
member = AlbumRole(ALBUM, is_inbox=False, is_admin=False, flags=AlbumFlags())
admin = replace(member, is_admin=True)
no_adding = replace(member, flags=AlbumFlags(add_series=False))
of_other = replace(admin, album=OTHER)
PERSON = Person(ALICE, "iss", "alice", "token")


def capability(letters: str) -> UserCapability:
    permissions = CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )
    return UserCapability(ALICE, "iss", "alice", CapabilityId("cap0000001"), permissions)


def report(parent: ReportParent = PERSON, letters: str = "rw") -> ReportToken:
    return ReportToken(
        ReportTokenPk(7),
        parent,
        ReportProviderId("P" * 22),
        ALBUM,
        (ONE, TWO),
        read="r" in letters,
        write="w" in letters,
    )


def facts(*holdings: AlbumRole, study: StudyInstanceUID = ONE) -> SeriesFacts:
    return SeriesFacts(SeriesRef(study, SeriesInstanceUID("1.5")), holdings)


def reason(decided: object) -> Reason | None:
    return decided.reason if isinstance(decided, Denied) else None


@pytest.mark.parametrize("study", [ONE, TWO])
def test_it_reads_its_studies_in_its_album(study: StudyInstanceUID) -> None:
    held = facts(inbox, member, study=study)
    assert reason(policy.read_series(report(), held)) is None
    assert reason(policy.read_instance(report(), held, SopInstanceUID("1.6"))) is None


@pytest.mark.parametrize(
    ("token", "held", "why"),
    [
        (report(), facts(member, study=ELSEWHERE), Reason.NO_GRANT),
        (report(), facts(inbox), Reason.NO_GRANT),
        (report(), facts(of_other, inbox), Reason.NO_GRANT),
        (report(), None, Reason.NO_GRANT),
        (report(letters="w"), facts(member), Reason.TOKEN_LACKS_READ),
        (report(capability("w")), facts(member), Reason.TOKEN_LACKS_READ),
    ],
)
def test_it_reads_nothing_else(token: ReportToken, held: SeriesFacts | None, why: Reason) -> None:
    assert reason(policy.read_series(token, held)) is why


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(), Scope(ALICE, album=ALBUM, studies=(ONE, TWO))),
        (Source(album=ALBUM), Scope(ALICE, album=ALBUM, studies=(ONE, TWO))),
        (Source(album=OTHER), Reason.NO_GRANT),
        (Source(inbox=True), Reason.TOKEN_KIND),
    ],
)
def test_it_searches_its_studies_in_its_album(source: Source, expected: Scope | Reason) -> None:
    decided = policy.read_scope(report(), source)
    assert (reason(decided) or decided) == expected
    assert reason(policy.read_scope(report(letters="w"), source)) is Reason.TOKEN_LACKS_READ


@pytest.mark.parametrize("action", list(AlbumAction))
def test_on_its_album_it_reads_and_adds_and_does_nothing_else(action: AlbumAction) -> None:
    decided = policy.act_on_album(report(), action, admin)
    if action in {AlbumAction.READ_SERIES, AlbumAction.ADD_SERIES}:
        assert decided == ALBUM
    else:
        assert reason(decided) is Reason.TOKEN_KIND
    assert policy.act_on_album(report(), action, of_other) == policy.act_on_album(report(), action, None)


@pytest.mark.parametrize(
    ("token", "role", "expected"),
    [
        (report(), member, ALBUM),
        (report(), inbox, Reason.TOKEN_KIND),
        (report(), of_other, Reason.NO_GRANT),
        (report(), no_adding, Reason.ALBUM_ROLE),
        (report(), None, Reason.NO_GRANT),
        (report(letters="r"), member, Reason.TOKEN_LACKS_WRITE),
        (report(capability("r")), member, Reason.TOKEN_LACKS_WRITE),
        (report(capability("rw")), member, ALBUM),
    ],
)
def test_it_stores_into_its_album_only(token: ReportToken, role: AlbumRole | None, expected: AlbumPk | Reason) -> None:
    decided = policy.store_into(token, role)
    assert (decided.album if isinstance(decided, StoreTarget) else decided.reason) == expected


def test_it_adds_a_series_to_its_studies_only_and_to_a_series_only_as_its_origin() -> None:
    target = policy.store_into(report(), member)
    assert isinstance(target, StoreTarget)
    nothing = StoreFacts(series=None, study_on_record=True, study_open=True, origin_role=None)
    ref = facts().ref
    assert policy.admit(report(), target, ref, nothing) is policy.Admission.NEW_SERIES
    hidden = replace(nothing, study_open=False)
    assert reason(policy.admit(report(), target, ref, hidden)) is Reason.FOREIGN_STUDY
    other = replace(ref, study_instance_uid=ELSEWHERE)
    assert reason(policy.admit(report(), target, other, nothing)) is Reason.OTHER_STUDY
    strangers = SeriesOnRecord(ONE, SeriesState.CONFIRMED, OriginUser(UserPk(2)), None)
    held = replace(nothing, series=strangers, target_holds=True)
    assert reason(policy.admit(report(), target, ref, held)) is Reason.NOT_ORIGIN
    albums = replace(held, series=replace(strangers, origin=OriginAlbum(ALBUM)), origin_role=member)
    assert policy.admit(report(), target, ref, albums) is policy.Admission.ADD
    orphan = replace(nothing, series=replace(strangers, state=SeriesState.ORPHAN, origin=OriginAlbum(ALBUM)))
    assert reason(policy.admit(report(), target, ref, orphan)) is Reason.NOT_ORIGIN


def test_it_shares_removes_manages_and_asks_nothing() -> None:
    token = report()
    target = policy.store_into(token, member)
    assert isinstance(target, StoreTarget)
    orphan = SeriesOnRecord(ONE, SeriesState.ORPHAN, OriginUser(ALICE), None)
    for decided in (
        policy.send_scope(token, Source()),
        policy.send_series(token, facts(member, inbox)),
        policy.take_back(token, target, facts().ref, orphan),
        policy.remove_from_inbox(token),
        policy.manage_own_account(token, writes=False),
        policy.manage_own_account(token, writes=True),
        policy.manage_capabilities(token),
        policy.see_capability(token, ALICE, admin),
        policy.revoke_capability(token, ALICE, admin),
        policy.introspect(token),
        policy.administer(token),
        policy.read_comments(token),
        policy.mark_in_inbox(token),
        policy.comment_on_study(token),
        policy.open_viewer(token, Source(), None, read=True, write=False),
        policy.open_report(token, admin),
    ):
        assert reason(decided) is Reason.TOKEN_KIND
    assert policy.private_comments_of(token) is None


viewer = ViewerToken(ViewerTokenPk(1), PERSON, ONE, Source(), read=True, write=True)
link = AlbumCapability(ALICE, "iss", "alice", CapabilityId("cap0000002"), capability("rwad").permissions, ALBUM)


@pytest.mark.parametrize(
    ("principal", "role", "expected"),
    [
        (PERSON, admin, "rw"),
        (PERSON, member, "rw"),
        (PERSON, no_adding, "r"),
        (PERSON, None, Reason.NO_GRANT),
        (PERSON, inbox, Reason.NO_GRANT),
        (capability("rw"), member, "rw"),
        (capability("r"), member, "r"),
        (capability("w"), member, Reason.TOKEN_LACKS_READ),
        (link, admin, Reason.TOKEN_KIND),
        (viewer, admin, Reason.TOKEN_KIND),
    ],
)
def test_a_report_is_asked_for_by_who_reads_the_album_and_writes_where_they_may(
    principal: Principal, role: AlbumRole | None, expected: str | Reason
) -> None:
    decided = policy.open_report(principal, role)
    if isinstance(expected, Reason):
        assert reason(decided) is expected
    else:
        assert decided == ReportGrant(ALBUM, read=True, write="w" in expected)


def test_userinfo_is_told_to_report_tokens_alone() -> None:
    assert policy.tell_userinfo(report()) == ALICE
    for other in (PERSON, capability("rwad"), link, viewer):
        assert reason(policy.tell_userinfo(other)) is Reason.TOKEN_KIND
