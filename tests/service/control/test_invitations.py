"""Invitations: who invites, what goes out, and when somebody is in."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from kheops.domain.albums import Page
from kheops.domain.principals import Person, Principal
from kheops.domain.profiles import Profile
from kheops.domain.resources import AlbumFlags
from kheops.domain.uses import UseKind, User
from kheops.ids import AlbumId, InvitationId
from kheops.services.invitations import INVITATIONS_AT_ONCE, MAILS_BY_INVITER, MAILS_TO_ADDRESS, Invitations
from kheops.services.people import Registry
from kheops.storage import people
from tests.service.control.world import ISSUER, World, at_once

LIFETIME = timedelta(days=14)
ADDRESS = "newcomer@example.org"


class Desk:
    """The service, and calls of it that say what came of them."""

    def __init__(self, world: World, *, sends_mail: bool = True) -> None:
        self.world = world
        self.service = Invitations(
            world.database, world.now, lifetime=LIFETIME, public_url="https://k.example", sends_mail=sends_mail
        )

    def invite(self, by: Principal, album: AlbumId, email: str = ADDRESS) -> str:
        asked = self.world.use(by, UseKind.INVITATION_CREATED)
        return self.world.outcome(self.service.create(by, album, email, asked=asked))

    def listed(self, by: Principal, album: AlbumId, page: Page | None = None) -> list[tuple[InvitationId, str, bool]]:
        found, _ = self.world.run(self.service.list(by, album, page or Page()))
        return [(each.invitation, each.email, each.accepted_at is not None) for each in found]

    def revoke(self, by: Principal, album: AlbumId, invitation: InvitationId) -> str:
        asked = self.world.use(by, UseKind.INVITATION_REVOKED)
        return self.world.outcome(self.service.revoke(by, album, invitation, asked=asked))

    def log_in(self, sub: str, email: str | None = ADDRESS, *, verified: bool = True) -> str:
        """Log in at another replica."""
        registry = Registry(self.world.database, self.world.now, None)
        profile = Profile(email, email_verified=verified, name=sub.title())
        return self.world.outcome(registry.login(User(ISSUER, sub, "session"), profile, request_id="request"))

    def is_member(self, sub: str, album: AlbumId) -> bool:
        return sub in self.subs(album)

    def subs(self, album: AlbumId) -> list[str]:
        rows = self.world.rows(
            "SELECT u.sub FROM album_members m JOIN users u ON u.pk = m.user_pk WHERE m.album_pk = :a ORDER BY u.sub",
            a=self.world.key(album),
        )
        return [row[0] for row in rows]

    def mails(self) -> list[dict[str, str]]:
        return [row[0] for row in self.world.rows("SELECT payload FROM outbox WHERE kind = 'mail' ORDER BY pk")]


@pytest.fixture
def desk(world: World) -> Desk:
    world.execute("DELETE FROM outbox")
    return Desk(world)


def test_whoever_logs_in_with_the_address_is_a_plain_member(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album, " NewComer@Example.org ") == "ok"
    assert desk.log_in("other", "other@example.org") == "ok"
    assert desk.subs(album) == ["alice"]
    assert desk.log_in("newcomer") == "ok"
    assert desk.subs(album) == ["alice", "newcomer"]
    assert world.admins(album) == {alice.user}
    assert world.events(album)[-1] == "ADD_USER"
    (invitation,) = desk.listed(alice, album)
    assert invitation[1:] == (ADDRESS, True)
    kinds = [(kind, subject) for kind, subject, _ in world.audit() if "invitation" in kind]
    assert kinds == [
        ("invitation-created", f"{album} {invitation[0]}"),
        ("invitation-accepted", f"{album} {ISSUER} alice"),
    ]


def test_somebody_who_was_here_before_is_let_in_at_their_next_login(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album) == "ok"
    record = world.database.run_blocking(
        lambda tx: people.create_user(
            tx, iss=ISSUER, sub="x", profile=Profile(None, email_verified=False, name=None), at=world.now()
        )
    )
    assert record.user not in world.members(album)
    assert desk.log_in("x") == "ok"
    assert record.user in world.members(album)


@pytest.mark.parametrize(
    ("email", "verified"),
    [(ADDRESS, False), (None, False), ("newcomer@example.com", True), ("xnewcomer@example.org", True)],
)
def test_no_other_address_and_none_that_nobody_vouches_for_lets_in(
    world: World, desk: Desk, email: str | None, *, verified: bool
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album) == "ok"
    assert desk.log_in("newcomer", email, verified=verified) == "ok"
    assert desk.subs(album) == ["alice"]


def test_an_invitation_lets_in_one_person_once(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album) == "ok"
    assert at_once(*[lambda: desk.log_in("newcomer")] * 4) == ["ok"] * 4
    assert desk.subs(album) == ["alice", "newcomer"]
    assert world.events(album).count("ADD_USER") == 1
    assert world.outcome(world.albums.members.remove(alice, album, "newcomer", asked=world.use(alice))) == "ok"
    assert desk.log_in("newcomer") == "ok"
    assert desk.log_in("namesake") == "ok"
    assert desk.subs(album) == ["alice"]


def test_two_people_with_the_address_at_once_are_one_member(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album) == "ok"
    assert at_once(lambda: desk.log_in("one"), lambda: desk.log_in("two")) == ["ok"] * 2
    assert len(desk.subs(album)) == 2


def _revoked(desk: Desk, alice: Person, bob: Person, album: AlbumId) -> None:
    del bob
    assert desk.revoke(alice, album, desk.listed(alice, album)[0][0]) == "ok"


def _expired(desk: Desk, alice: Person, bob: Person, album: AlbumId) -> None:
    del alice, bob, album
    desk.world.moved = LIFETIME


def _right_lost(desk: Desk, alice: Person, bob: Person, album: AlbumId) -> None:
    del alice, bob
    desk.world.execute("UPDATE albums SET add_user = false WHERE id = :id", id=album)


def _inviter_gone(desk: Desk, alice: Person, bob: Person, album: AlbumId) -> None:
    del bob
    work = desk.world.albums.members.remove(alice, album, "bob", asked=desk.world.use(alice))
    assert desk.world.outcome(work) == "ok"


def _inviter_suspended(desk: Desk, alice: Person, bob: Person, album: AlbumId) -> None:
    del alice, album
    desk.world.suspend(bob)


@pytest.mark.parametrize("end", [_revoked, _expired, _right_lost, _inviter_gone, _inviter_suspended])
def test_an_invitation_holds_only_while_its_inviter_may_let_people_in(world: World, desk: Desk, end) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - one of the five above
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob, flags=AlbumFlags(add_user=True))
    assert desk.invite(bob, album) == "ok"
    end(desk, alice, bob, album)
    assert desk.log_in("newcomer") == "ok"
    assert not desk.is_member("newcomer", album)


def test_only_who_may_let_people_in_invites(world: World, desk: Desk) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob)
    assert desk.invite(bob, album) == "ForbiddenError"
    assert desk.invite(carol, album) == "AlbumNotFoundError"
    assert desk.invite(carol, AlbumId("Zz00000000")) == "AlbumNotFoundError"
    assert desk.invite(world.user_token(alice, "rwad"), album) == "ForbiddenError"
    assert desk.invite(world.album_token(alice, album, "rwad"), album) == "ForbiddenError"
    assert desk.mails() == []


@pytest.mark.parametrize("email", ["", "nobody", "a@b, c@d", "a@b\r\nBcc: x@y", "Name <a@b.org>"])
def test_what_is_no_address_is_refused_and_sends_nothing(world: World, desk: Desk, email: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album, email) == "BadFormParameterError"
    assert desk.mails() == []


def test_the_mail_names_the_album_and_the_inviter_on_lines_of_ours(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.execute("UPDATE albums SET name = :n WHERE id = :id", n="Trial\r\n\r\nhttps://evil.example", id=album)
    assert desk.invite(alice, album) == "ok"
    (mail,) = desk.mails()
    assert mail["recipient"] == ADDRESS
    assert mail["subject"] == "Alice invites you to an album of medical images"
    assert "Alice (alice@example.org) invites you to the album “Trial https://evil.example”." in mail["text"]
    assert "https://k.example/" in mail["text"]
    assert album not in mail["text"]


def test_an_address_that_is_somebodys_gets_the_same_answer(world: World, desk: Desk) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    made = [
        asyncio.run(desk.service.create(alice, album, email, asked=world.use(alice)))
        for email in ("bob@example.org", ADDRESS)
    ]
    assert [(each.accepted_at, each.revoked_at, each.invited_by) for each in made].count(
        (None, None, made[0].invited_by)
    ) == 2
    assert bob.user not in world.members(album)
    assert len(desk.mails()) == 2


def test_without_mail_an_invitation_is_refused(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    desk = Desk(world, sends_mail=False)
    assert desk.invite(alice, album) == "ConflictError"
    assert desk.listed(alice, album) == []


def test_a_new_invitation_takes_the_place_of_the_earlier_one(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert [desk.invite(alice, album) for _ in range(2)] == ["ok", "ok"]
    waiting = world.rows("SELECT 1 FROM invitations WHERE revoked_at IS NULL")
    assert (len(waiting), len(desk.listed(alice, album))) == (1, 2)


def test_an_administrators_invitation_takes_the_place_of_a_members_and_not_the_other_way_round(
    world: World, desk: Desk
) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob, flags=AlbumFlags(add_user=True))
    waiting = (
        "SELECT u.sub FROM invitations i JOIN users u ON u.pk = i.invited_by WHERE i.revoked_at IS NULL ORDER BY i.pk"
    )
    assert [desk.invite(by, album) for by in (bob, alice)] == ["ok", "ok"]
    assert world.rows(waiting) == [("alice",)]
    assert desk.invite(bob, album) == "ok"
    assert world.rows(waiting) == [("alice",), ("bob",)]


@pytest.mark.parametrize("leaves", [False, True])
def test_who_is_out_again_is_not_let_in_by_an_invitation_of_before(world: World, desk: Desk, leaves: bool) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album, other = world.album(alice), world.album(alice)
    for each, email in ((album, "bob@example.org"), (album, ADDRESS), (other, "bob@example.org")):
        assert desk.invite(alice, each, email) == "ok"
    assert world.outcome(world.albums.members.add(alice, album, "bob", asked=world.use(alice))) == "ok"
    by = bob if leaves else alice
    assert world.outcome(world.albums.members.remove(by, album, "bob", asked=world.use(by))) == "ok"
    assert [row[1] for row in world.audit() if row[0] == "invitation-revoked"] == [
        f"{album} {desk.listed(alice, album)[1][0]}"
    ]
    assert desk.log_in("bob", "bob@example.org") == desk.log_in("newcomer") == "ok"
    assert (desk.subs(album), desk.subs(other)) == (["alice", "newcomer"], ["alice", "bob"])
    assert desk.invite(alice, album, "bob@example.org") == "ok"
    assert desk.log_in("bob", "bob@example.org") == "ok"
    assert desk.is_member("bob", album), "a new one lets in again"


def test_an_address_of_two_people_lets_in_neither(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    world.person("one", iss="https://other.example.org", email=ADDRESS)
    album = world.album(alice)
    assert desk.invite(alice, album) == "ok"
    assert desk.log_in("two") == "ok"
    assert desk.subs(album) == ["alice"]
    world.execute("UPDATE users SET email = 'one@example.org' WHERE sub = 'one'")
    assert desk.log_in("two") == "ok"
    assert desk.subs(album) == ["alice", "two"]


@pytest.mark.parametrize("look_alike", ["\u212aevin@example.org", "kevin@example.or\uff47", "k\u00e9vin@example.org"])
def test_a_letter_that_folds_into_another_is_nobodys_address(world: World, desk: Desk, look_alike: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    assert desk.invite(alice, album, "kevin@example.org") == "ok"
    # Even if what reads the issuer's word let it pass.
    assert desk.log_in("mallory", look_alike) == "ok"
    assert desk.subs(album) == ["alice"]
    [(email, verified)] = world.rows("SELECT email, email_verified FROM users WHERE sub = 'mallory'")
    assert (email, verified) == (look_alike, False)
    assert world.outcome(world.albums.members.add(alice, album, look_alike, asked=world.use(alice))) == (
        "UserNotFoundError"
    )
    world.person("kevin")
    for folds in ("\u212aevin@example.org", "KEVIN@example.org"):
        added = world.outcome(world.albums.members.add(alice, album, folds, asked=world.use(alice)))
        assert added == ("ok" if folds.isascii() else "UserNotFoundError")


def test_invitations_that_wait_are_limited(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.execute(
        "INSERT INTO invitations (id, album_pk, email, invited_by, created_at, expires_at) "
        "SELECT lpad(n::text, 10, '0'), :a, 'x' || n || '@example.org', :u, now(), now() + interval '1 day' "
        "FROM generate_series(1, :n) n",
        a=world.key(album),
        u=alice.user,
        n=INVITATIONS_AT_ONCE,
    )
    assert desk.invite(alice, album) == "TooManyRequestsError"
    world.moved = timedelta(days=2)
    assert desk.invite(alice, album) == "ok"


def test_administrators_see_all_invitations_and_others_their_own(world: World, desk: Desk) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob, carol, flags=AlbumFlags(add_user=True))
    assert desk.invite(alice, album, "a@example.org") == "ok"
    assert desk.invite(bob, album, "b@example.org") == "ok"
    assert [email for _, email, _ in desk.listed(alice, album)] == ["b@example.org", "a@example.org"]
    assert [email for _, email, _ in desk.listed(alice, album, Page(1, 1))] == ["a@example.org"]
    assert [email for _, email, _ in desk.listed(bob, album)] == ["b@example.org"]
    assert desk.listed(carol, album) == []
    by_bob, by_alice = (each[0] for each in desk.listed(alice, album))
    assert desk.revoke(bob, album, by_alice) == "InvitationNotFoundError"
    assert desk.revoke(carol, album, by_bob) == "InvitationNotFoundError"
    assert desk.revoke(bob, album, InvitationId("Zz00000000")) == "InvitationNotFoundError"
    other = world.album(alice)
    assert desk.revoke(alice, other, by_bob) == "InvitationNotFoundError"
    assert desk.revoke(alice, album, by_bob) == "ok"
    assert desk.revoke(alice, album, by_bob) == "ok"
    assert [kind for kind, _, _ in world.audit()].count("invitation-revoked") == 1


def test_mails_by_one_person_are_limited_whatever_became_of_their_invitations(world: World, desk: Desk) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    most = MAILS_BY_INVITER.most
    came: Counter[str] = Counter()
    for number in range(most + 2):
        # Nothing of the earlier ones is left: the album is another one each time, and gone.
        album = world.album(alice)
        came[desk.invite(alice, album, f"a{number}@elsewhere.example")] += 1
        assert world.outcome(world.albums.delete(alice, album, asked=world.use(alice))) == "ok"
    assert came == {"ok": most, "TooManyRequestsError": 2}
    assert desk.invite(bob, world.album(bob)) == "ok"
    world.moved += MAILS_BY_INVITER.within
    assert desk.invite(alice, world.album(alice)) == "ok"


def test_mails_to_one_address_are_limited_over_all_inviters_and_writings(world: World, desk: Desk) -> None:
    people_ = [world.person(f"p{number}") for number in range(MAILS_TO_ADDRESS.most + 1)]
    written = ["Victim@elsewhere.example", "victim@Elsewhere.example"]
    came = [desk.invite(each, world.album(each), written[number % 2]) for number, each in enumerate(people_)]
    assert came == ["ok"] * MAILS_TO_ADDRESS.most + ["TooManyRequestsError"]
    assert desk.invite(people_[0], world.album(people_[0]), "somebody@elsewhere.example") == "ok"
    # No address is kept for it.
    assert "elsewhere" not in str(world.rows("SELECT * FROM allowance_uses"))


def test_a_repeated_invitation_counts_each_time(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    came = Counter(desk.invite(alice, album) for _ in range(MAILS_TO_ADDRESS.most + 5))
    assert came == {"ok": MAILS_TO_ADDRESS.most, "TooManyRequestsError": 5}


def test_invitations_at_once_are_no_more_than_one_after_the_other(world: World, desk: Desk) -> None:
    inviters = [world.person(f"p{number}") for number in range(MAILS_TO_ADDRESS.most + 3)]
    albums = [world.album(each) for each in inviters]
    came = at_once(*(partial(desk.invite, each, album) for each, album in zip(inviters, albums, strict=True)))
    assert Counter(came) == {"ok": MAILS_TO_ADDRESS.most, "TooManyRequestsError": 3}
