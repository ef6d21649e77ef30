"""What somebody who opened a link may: read what it shows, and nothing else."""

import itertools
from dataclasses import replace

import pytest

from kheops.domain import policy
from kheops.domain.export_policy import export
from kheops.domain.policy import AlbumAction, Denied, Reason, Scope, Source, StoreTarget
from kheops.domain.principals import LinkVisit
from kheops.domain.resources import (
    AlbumFlags,
    AlbumRole,
    OriginUser,
    SeriesFacts,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
    StoreFacts,
)
from kheops.ids import (
    AlbumPk,
    LinkId,
    LinkPk,
    LinkVisitPk,
    SeriesInstanceUID,
    SopInstanceUID,
    StudyInstanceUID,
    UserPk,
)

ALICE = UserPk(1)
INBOX, ALBUM, OTHER = AlbumPk(10), AlbumPk(11), AlbumPk(12)
REF = SeriesRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.3"))

selection = LinkVisit(
    visit=LinkVisitPk(7), link=LinkId("l"), pk=LinkPk(5), user=ALICE, iss="iss", sub="a", album=None, download=False
)
of_album = replace(selection, album=ALBUM)
inbox = AlbumRole(INBOX, is_inbox=True, is_admin=False, flags=AlbumFlags())
member = AlbumRole(ALBUM, is_inbox=False, is_admin=False, flags=AlbumFlags())
kept = replace(member, flags=AlbumFlags(send_series=False))
admin = replace(member, is_admin=True)
kept_admin = replace(kept, is_admin=True)
of_other = replace(admin, album=OTHER)


def reason(decision: object) -> Reason | None:
    return decision.reason if isinstance(decision, Denied) else None


def facts(*holdings: AlbumRole) -> SeriesFacts:
    return SeriesFacts(REF, holdings)


@pytest.mark.parametrize(
    ("visitor", "asked", "expected"),
    [
        (selection, Source(), Scope(ALICE, link=LinkPk(5), sending=True)),
        (selection, Source(inbox=True), Reason.TOKEN_KIND),
        (selection, Source(album=ALBUM), Reason.NO_GRANT),
        (of_album, Source(), Scope(ALICE, album=ALBUM, admin=True)),
        (of_album, Source(album=ALBUM), Scope(ALICE, album=ALBUM, admin=True)),
        (of_album, Source(album=OTHER), Reason.NO_GRANT),
        (of_album, Source(inbox=True), Reason.TOKEN_KIND),
    ],
)
def test_a_search_is_of_what_the_link_shows(visitor: LinkVisit, asked: Source, expected: Scope | Reason) -> None:
    scope = policy.read_scope(visitor, asked)
    assert (reason(scope) or scope) == expected


@pytest.mark.parametrize(
    ("visitor", "holdings", "reads"),
    [
        (selection, (inbox,), True),
        (selection, (member,), True),
        (selection, (kept,), False),
        (selection, (kept_admin,), True),
        (selection, (kept, of_other), True),
        (of_album, (admin,), True),
        (of_album, (kept_admin,), True),
        (of_album, (member,), False),
        (of_album, (inbox, of_other), False),
    ],
)
def test_a_series_is_read_by_what_its_creator_may_hand_on(
    visitor: LinkVisit, holdings: tuple[AlbumRole, ...], reads: bool
) -> None:
    assert isinstance(policy.read_series(visitor, facts(*holdings)), Denied) is not reads
    instance = policy.read_instance(visitor, facts(*holdings), SopInstanceUID("1.4"))
    assert isinstance(instance, Denied) is not reads
    assert reason(policy.read_series(visitor, None)) is Reason.NO_GRANT


@pytest.mark.parametrize("action", list(AlbumAction))
def test_of_albums_only_the_links_own_is_read(action: AlbumAction) -> None:
    for role in (None, inbox, member, of_other):
        assert reason(policy.act_on_album(of_album, action, role)) is Reason.NO_GRANT
    for role in (None, inbox, member, admin, of_other):
        assert reason(policy.act_on_album(selection, action, role)) is Reason.NO_GRANT
    expected = None if action is AlbumAction.READ_SERIES else Reason.TOKEN_KIND
    assert reason(policy.act_on_album(of_album, action, admin)) is expected


@pytest.mark.parametrize("visitor", [selection, of_album, replace(selection, download=True)])
def test_everything_else_is_not_for_visitors(visitor: LinkVisit) -> None:
    target = StoreTarget(policy.PermittedAlbum(INBOX), OriginUser(ALICE))
    orphan = SeriesOnRecord(REF.study_instance_uid, SeriesState.ORPHAN, OriginUser(ALICE), None)
    for decision in (
        policy.send_series(visitor, facts(inbox, admin)),
        policy.send_scope(visitor, Source()),
        policy.take_back(visitor, target, REF, orphan),
        policy.remove_from_inbox(visitor),
        policy.store_into(visitor, inbox),
        policy.manage_own_account(visitor, writes=False),
        policy.manage_own_account(visitor, writes=True),
        policy.manage_capabilities(visitor),
        policy.see_capability(visitor, ALICE, admin),
        policy.revoke_capability(visitor, ALICE, admin),
        policy.introspect(visitor),
        policy.administer(visitor),
        policy.comment_on_study(visitor),
        policy.read_comments(visitor),
        policy.mark_in_inbox(visitor),
        policy.open_viewer(visitor, Source(), None, read=True, write=False),
    ):
        assert reason(decision) is Reason.TOKEN_KIND
    assert policy.private_comments_of(visitor) is None
    # Even past the target's own check, nothing that Alice uploaded is a visitor's to add to.
    for state, study_open in itertools.product((SeriesState.CONFIRMED, SeriesState.ORPHAN), (True, False)):
        record = replace(orphan, state=state)
        upload = StoreFacts(record, True, study_open, None, target_holds=True)
        assert reason(policy.admit(visitor, target, REF, upload)) is Reason.NOT_ORIGIN


def test_only_a_link_for_downloading_gives_whole_studies() -> None:
    for visitor, expected in ((selection, Reason.TOKEN_LACKS_DOWNLOAD), (replace(selection, download=True), None)):
        assert reason(policy.read_whole(visitor)) is expected
        assert reason(export(visitor)) is expected
