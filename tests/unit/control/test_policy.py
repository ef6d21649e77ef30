"""The policy's decisions about passing on, taking back, removing and capability tokens, as tables."""

import itertools

import pytest

from kheops.domain import policy
from kheops.domain.policy import Denied, Reason, Source, StoreTarget
from kheops.domain.principals import AlbumCapability, CapabilityPermissions, Person, Principal, UserCapability
from kheops.domain.resources import (
    AlbumFlags,
    AlbumRole,
    Origin,
    OriginAlbum,
    OriginUser,
    SeriesOnRecord,
    SeriesRef,
    SeriesState,
)
from kheops.ids import AlbumPk, CapabilityId, SeriesInstanceUID, StudyInstanceUID, UserPk

ALICE, BOB = UserPk(1), UserPk(2)
INBOX, ALBUM, OTHER = AlbumPk(10), AlbumPk(11), AlbumPk(12)
REF = SeriesRef(StudyInstanceUID("1.2"), SeriesInstanceUID("1.3"))
FLAGS = AlbumFlags()


def permissions(letters: str) -> CapabilityPermissions:
    return CapabilityPermissions(
        read="r" in letters, write="w" in letters, appropriate="a" in letters, download="d" in letters
    )


def user_token(letters: str) -> UserCapability:
    return UserCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters))


def album_token(letters: str) -> AlbumCapability:
    return AlbumCapability(ALICE, "iss", "alice", CapabilityId("c"), permissions(letters), ALBUM)


PERSON = Person(ALICE, "iss", "alice", "token")
LETTERS = ["".join(each) for size in range(5) for each in itertools.combinations("rwad", size)]


def reason(decision: object) -> Reason | None:
    return decision.reason if isinstance(decision, Denied) else None


def role(album: AlbumPk, *, admin: bool, inbox: bool = False) -> AlbumRole:
    return AlbumRole(album, is_inbox=inbox, is_admin=admin, flags=FLAGS)


def target(principal: Principal, in_role: AlbumRole) -> StoreTarget:
    decided = policy.store_into(principal, in_role)
    assert isinstance(decided, StoreTarget)
    return decided


@pytest.mark.parametrize("letters", LETTERS)
def test_a_token_passes_on_only_if_it_reads_and_may_appropriate(letters: str) -> None:
    expected = (
        Reason.TOKEN_LACKS_READ if "r" not in letters else None if "a" in letters else Reason.TOKEN_LACKS_APPROPRIATE
    )
    for token in (user_token(letters), album_token(letters)):
        assert reason(policy.send_scope(token, Source())) == expected


def test_the_scope_of_passing_on_is_the_scope_of_reading() -> None:
    for principal in (PERSON, user_token("ra"), album_token("ra")):
        for source in (Source(), Source(album=ALBUM), Source(inbox=True), Source(album=OTHER)):
            assert policy.send_scope(principal, source) == policy.read_scope(principal, source)


@pytest.mark.parametrize("letters", LETTERS)
def test_a_token_empties_the_inbox_only_if_it_reads_and_writes(letters: str) -> None:
    expected = Reason.TOKEN_LACKS_READ if "r" not in letters else None if "w" in letters else Reason.TOKEN_LACKS_WRITE
    assert reason(policy.remove_from_inbox(user_token(letters))) == expected
    of_album = Reason.TOKEN_LACKS_READ if "r" not in letters else Reason.TOKEN_KIND
    assert reason(policy.remove_from_inbox(album_token(letters))) == of_album


STATES = [SeriesState.RESERVED, SeriesState.CONFIRMED, SeriesState.ORPHAN, SeriesState.DELETING]
ORIGINS: list[Origin | None] = [None, OriginUser(ALICE), OriginUser(BOB), OriginAlbum(ALBUM), OriginAlbum(OTHER)]
ALICE_S, ALBUM_S = OriginUser(ALICE), OriginAlbum(ALBUM)
TAKERS: list[tuple[str, Principal, AlbumRole, set[Origin]]] = [
    ("person into inbox", PERSON, role(INBOX, admin=False, inbox=True), {ALICE_S}),
    ("person into album", PERSON, role(ALBUM, admin=False), {ALICE_S, ALBUM_S}),
    ("user token into inbox", user_token("w"), role(INBOX, admin=False, inbox=True), {ALICE_S}),
    ("user token into album", user_token("w"), role(ALBUM, admin=True), {ALICE_S, ALBUM_S}),
    ("album token into its album", album_token("w"), role(ALBUM, admin=True), {ALBUM_S}),
]


@pytest.mark.parametrize(
    ("principal", "in_role", "theirs"), [row[1:] for row in TAKERS], ids=[row[0] for row in TAKERS]
)
def test_only_the_origin_takes_an_orphan_back(principal: Principal, in_role: AlbumRole, theirs: set[Origin]) -> None:
    into = target(principal, in_role)
    for state, origin in itertools.product(STATES, ORIGINS):
        record = SeriesOnRecord(REF.study_instance_uid, state, origin, None)
        decided = policy.take_back(principal, into, REF, record)
        expected = state is SeriesState.ORPHAN and origin in theirs
        assert reason(decided) == (None if expected else Reason.NO_GRANT), (state, origin)


def test_an_orphan_of_another_study_is_not_taken_back() -> None:
    record = SeriesOnRecord(StudyInstanceUID("9.9"), SeriesState.ORPHAN, OriginUser(ALICE), None)
    into = target(PERSON, role(INBOX, admin=False, inbox=True))
    assert reason(policy.take_back(PERSON, into, REF, record)) is Reason.NO_GRANT


CAPABILITY_ROWS: list[tuple[Principal, UserPk, AlbumRole | None, Reason | None, Reason | None]] = [
    (PERSON, ALICE, None, None, None),
    (PERSON, ALICE, role(ALBUM, admin=False), None, None),
    (PERSON, BOB, role(ALBUM, admin=True), None, None),
    (PERSON, BOB, role(ALBUM, admin=False), Reason.NO_GRANT, Reason.NO_GRANT),
    (PERSON, BOB, None, Reason.NO_GRANT, Reason.NO_GRANT),
    (PERSON, BOB, role(INBOX, admin=True, inbox=True), Reason.NO_GRANT, Reason.NO_GRANT),
    (user_token("r"), ALICE, None, None, Reason.TOKEN_KIND),
    (user_token("wad"), ALICE, None, Reason.TOKEN_LACKS_READ, Reason.TOKEN_KIND),
    (user_token("rwad"), BOB, role(ALBUM, admin=True), Reason.NO_GRANT, Reason.TOKEN_KIND),
    (album_token("rwad"), ALICE, role(ALBUM, admin=True), Reason.TOKEN_KIND, Reason.TOKEN_KIND),
]


@pytest.mark.parametrize(("principal", "owner", "in_role", "see", "revoke"), CAPABILITY_ROWS)
def test_who_sees_and_who_revokes_a_capability(
    principal: Principal, owner: UserPk, in_role: AlbumRole | None, see: Reason | None, revoke: Reason | None
) -> None:
    assert reason(policy.see_capability(principal, owner, in_role)) == see
    assert reason(policy.revoke_capability(principal, owner, in_role)) == revoke


def test_only_people_manage_capabilities() -> None:
    assert policy.manage_capabilities(PERSON) == ALICE
    for token in (user_token("rwad"), album_token("rwad")):
        assert reason(policy.manage_capabilities(token)) is Reason.TOKEN_KIND
