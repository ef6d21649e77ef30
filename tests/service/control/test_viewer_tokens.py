"""What ends a viewer token, and what does not: on a real PostgreSQL, with time that moves."""

import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest

from kheops.domain import policy
from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.policy import Denied, Source
from kheops.domain.principals import CapabilityPermissions, Person, Principal, UserCapability, ViewerToken
from kheops.domain.uses import UseKind
from kheops.domain.viewer_tokens import VIEWER_TOKENS_AT_ONCE, ViewerDraft
from kheops.errors import InvalidTokenError, KheopsError, OAuthError, TooManyRequestsError
from kheops.identity.keyring import Keyring
from kheops.identity.login import LoggedIn
from kheops.identity.sessions import SessionSecrets
from kheops.ids import AlbumId, StudyInstanceUID
from kheops.services.authentication import Authenticator
from kheops.services.people import Registry
from kheops.services.sessions import ABSOLUTE_LIFETIME, IDLE_LIFETIME, BegunSession, Sessions
from kheops.services.viewer_tokens import OpenedViewer, ViewerTokens
from kheops.storage import viewer_tokens
from kheops.storage.engine import connection_arguments
from kheops.storage.lookup import HotLookup
from kheops.storage.viewer_tokens import ViewerTokenParent
from tests.service.control.world import ISSUER, World, at_once

PEPPER = Keyring(b"p" * 32)
STUDY = StudyInstanceUID("1.2.3")


@dataclass
class Desk:
    """The services that make viewer tokens and know them again."""

    world: World
    url: str
    viewers: ViewerTokens
    sessions: Sessions

    def open(self, principal: Principal, *, session: bytes | None = None, **wanted: Any) -> str:
        return self.opened(principal, session=session, **wanted).secret

    def opened(self, principal: Principal, *, session: bytes | None = None, **wanted: Any) -> OpenedViewer:
        draft = ViewerDraft(**{"study": STUDY, "read": True, "write": False, **wanted})
        asked = self.world.use(principal, UseKind.VIEWER_TOKEN_CREATED)
        return self.world.run(self.viewers.open(principal, draft, asked=asked, session=session))

    def refusal(self, principal: Principal, **wanted: Any) -> str:
        with pytest.raises(OAuthError) as caught:
            self.open(principal, **wanted)
        return caught.value.error

    def identify(self, token: str) -> Principal:
        async def run() -> Principal:
            lookup = HotLookup(connection_arguments(self.url), threads=1)
            authenticator = Authenticator(
                lookup=lookup,
                database=self.world.database,
                verifier=cast("Any", None),
                registry=cast("Any", None),
                pepper=PEPPER,
                clock=self.world.now,
            )
            try:
                return await authenticator.identify(token, request_id="request")
            finally:
                await lookup.aclose()

        return asyncio.run(run())

    def stands(self, token: str) -> bool:
        try:
            return isinstance(self.identify(token), ViewerToken)
        except InvalidTokenError:
            return False

    def capability(
        self, owner: Person, album: AlbumId | None = None, *, hours: float = 24, letters: str = "rw"
    ) -> str:
        at = self.world.now()
        draft = CapabilityDraft(
            title="parent",
            album=album,
            permissions=CapabilityPermissions(
                read="r" in letters, write="w" in letters, appropriate="a" in letters, download=False
            ),
            not_before=at,
            expires_at=at + timedelta(hours=hours),
        )
        asked = self.world.use(owner, UseKind.CAPABILITY_CREATED)
        return self.world.run(self.world.capabilities.create(owner, draft, asked=asked)).secret

    def revoke(self, owner: Person, token: str) -> None:
        capability = cast("UserCapability", self.identify(token)).capability
        asked = self.world.use(owner, UseKind.CAPABILITY_REVOKED)
        self.world.run(self.world.capabilities.revoke(owner, capability, asked=asked))

    def log_in(self, sub: str, *, replaced: str | None = None) -> BegunSession:
        who = LoggedIn(
            iss=ISSUER,
            sub=sub,
            email=None,
            email_verified=False,
            name=None,
            claims={},
            session=None,
            expires_at=self.world.now(),
            id_token="id-token",
            access_token=None,
        )
        nobody = self.world.use(Person(user=cast("Any", 0), iss="", sub="", token_id=""), UseKind.LOGIN)
        return self.world.run(self.sessions.begin(who, asked=nobody, replaced=replaced))

    def log_out(self, secret: str) -> None:
        nobody = self.world.use(Person(user=cast("Any", 0), iss="", sub="", token_id=""), UseKind.LOGOUT)
        self.world.run(self.sessions.end(secret, asked=nobody))

    def move(self, **by: float) -> None:
        self.world.moved += timedelta(**by)


@pytest.fixture
def desk(world: World, shared_url: str) -> Desk:
    registry = Registry(world.database, world.now, None)
    sessions = Sessions(world.database, world.now, registry=registry, secrets=SessionSecrets(b"s" * 32))
    return Desk(world, shared_url, ViewerTokens(world.database, world.now, pepper=PEPPER), sessions)


def test_a_viewer_token_of_a_person_is_what_was_asked_for(desk: Desk) -> None:
    alice = desk.world.person("alice")
    album = desk.world.album(alice)
    impersonated = Person(alice.user, alice.iss, alice.sub, "jti", acting_party="admin")
    token = desk.identify(desk.open(impersonated, album=album, write=True))
    assert isinstance(token, ViewerToken)
    assert (token.user, token.iss, token.sub, token.acting_party) == (alice.user, alice.iss, "alice", "admin")
    assert (token.study, token.source.album, token.source.inbox) == (STUDY, desk.world.key(album), False)
    assert (token.read, token.write) == (True, True)
    other = desk.identify(desk.open(alice, inbox=True))
    assert isinstance(other, ViewerToken)
    assert (other.source.inbox, other.source.album, other.read, other.write) == (True, None, True, False)


def test_it_lives_five_hours(desk: Desk) -> None:
    opened = desk.opened(desk.world.person("alice"))
    assert opened.lifetime == timedelta(hours=5)
    desk.move(hours=4, minutes=59)
    assert desk.stands(opened.secret)
    desk.move(minutes=1)
    assert not desk.stands(opened.secret)


def test_it_ends_no_later_than_its_capability_token(desk: Desk) -> None:
    alice = desk.world.person("alice")
    parent = desk.capability(alice, hours=1)
    opened = desk.opened(desk.identify(parent))
    assert timedelta(minutes=59) < opened.lifetime <= timedelta(hours=1)
    desk.move(minutes=59)
    assert desk.stands(opened.secret)
    desk.move(minutes=2)
    assert not desk.stands(opened.secret)


def test_it_ends_with_the_revocation_of_its_capability_token_only(desk: Desk) -> None:
    alice = desk.world.person("alice")
    parent, other = desk.capability(alice), desk.capability(alice)
    of_parent, of_other, of_alice = desk.open(desk.identify(parent)), desk.open(desk.identify(other)), desk.open(alice)
    desk.revoke(alice, parent)
    assert [desk.stands(token) for token in (of_parent, of_other, of_alice)] == [False, True, True]


@pytest.mark.parametrize("how", ["demoted", "removed", "album deleted"])
def test_it_ends_when_the_owner_of_its_albums_token_no_longer_stands_behind_it(desk: Desk, how: str) -> None:
    alice = desk.world.person("alice")
    album = desk.world.album(alice)
    token = desk.open(desk.identify(desk.capability(alice, album)))
    assert desk.stands(token)
    desk.world.execute(
        {
            "demoted": "UPDATE album_members SET is_admin = false WHERE album_pk = :pk",
            "removed": "DELETE FROM album_members WHERE album_pk = :pk",
            "album deleted": "DELETE FROM albums WHERE pk = :pk",
        }[how],
        pk=desk.world.key(album),
    )
    assert not desk.stands(token)


def test_it_ends_at_once_when_its_person_is_suspended_and_comes_back_with_them(desk: Desk) -> None:
    alice = desk.world.person("alice")
    tokens = [desk.open(alice), desk.open(desk.identify(desk.capability(alice)))]
    desk.world.suspend(alice)
    assert [desk.stands(token) for token in tokens] == [False, False]
    desk.world.execute("UPDATE users SET suspended_at = NULL")
    assert [desk.stands(token) for token in tokens] == [True, True]


def test_logout_ends_what_was_made_from_the_session_and_nothing_else(desk: Desk) -> None:
    first, second = desk.log_in("alice"), desk.log_in("alice")
    of_first = desk.open(first.session.person, session=first.session.id_hash)
    of_second = desk.open(second.session.person, session=second.session.id_hash)
    of_none = desk.open(first.session.person)
    desk.log_out(first.secret)
    assert [desk.stands(token) for token in (of_first, of_second, of_none)] == [False, True, True]
    desk.log_in("bob", replaced=second.secret)
    assert [desk.stands(token) for token in (of_second, of_none)] == [False, True]


def test_a_session_that_falls_idle_leaves_the_viewer_its_token_until_logout(desk: Desk) -> None:
    session = desk.log_in("alice")
    token = desk.open(session.session.person, session=session.session.id_hash)
    desk.move(seconds=IDLE_LIFETIME.total_seconds() + 60)
    desk.log_in("bob")
    assert desk.world.scalar("SELECT count(*) FROM web_sessions") == 1, "the idle one has been cleared away"
    assert desk.stands(token)
    desk.log_out(session.secret)
    assert not desk.stands(token)


def test_it_ends_no_later_than_its_session(desk: Desk) -> None:
    session = desk.log_in("alice")
    desk.move(seconds=ABSOLUTE_LIFETIME.total_seconds() - 3600)
    opened = desk.opened(session.session.person, session=session.session.id_hash)
    assert opened.lifetime <= timedelta(hours=1)


def test_none_is_made_from_what_has_ended(desk: Desk) -> None:
    alice, bob = desk.world.person("alice"), desk.world.person("bob")
    capability = desk.capability(alice)
    parent = desk.identify(capability)
    desk.revoke(alice, capability)
    assert desk.refusal(parent) == "invalid_grant"
    session = desk.log_in("alice")
    desk.log_out(session.secret)
    assert desk.refusal(session.session.person, session=session.session.id_hash) == "invalid_grant"
    of_bob = desk.log_in("bob")
    assert desk.refusal(alice, session=of_bob.session.id_hash) == "invalid_grant"
    desk.world.suspend(bob)
    assert desk.refusal(bob) == "invalid_grant"
    assert desk.world.scalar("SELECT count(*) FROM viewer_tokens") == 0


def test_a_hidden_album_is_refused_as_one_that_does_not_exist(desk: Desk) -> None:
    alice, bob = desk.world.person("alice"), desk.world.person("bob")
    own, hidden = desk.world.album(bob), desk.world.album(alice)
    of_own = desk.identify(desk.capability(bob, own))
    details = set()
    for principal in (bob, of_own):
        for album in (hidden, AlbumId("absent0000")):
            with pytest.raises(OAuthError) as caught:
                desk.open(principal, album=album)
            details.add((caught.value.error, caught.value.detail))
    assert len(details) == 1
    also = desk.world.album(bob)
    assert desk.refusal(of_own, album=also) == "invalid_grant", "an album's token reaches its own album only"


def test_no_viewer_token_makes_another_and_none_gets_more_than_its_parent(desk: Desk) -> None:
    alice = desk.world.person("alice")
    album = desk.world.album(alice)
    assert desk.refusal(desk.identify(desk.open(alice))) == "invalid_grant"
    reader = desk.identify(desk.capability(alice, letters="r"))
    assert desk.refusal(reader, write=True) == "invalid_scope"
    assert desk.refusal(desk.identify(desk.capability(alice, letters="w"))) == "invalid_scope"
    assert desk.refusal(desk.identify(desk.capability(alice, album)), inbox=True) == "invalid_grant"


def test_the_database_has_no_secret(desk: Desk) -> None:
    token = desk.open(desk.world.person("alice"))
    row = desk.world.scalar("SELECT row_to_json(v)::text FROM viewer_tokens v")
    assert token not in row
    assert token[1:] not in row
    rows = desk.world.rows("SELECT kind, subject, study_instance_uids FROM audit")
    assert [(kind, subject[:7], studies) for kind, subject, studies in rows] == [
        ("viewer-token-created", "viewer:", [STUDY])
    ]


def test_too_many_of_one_parent_are_refused_and_leave_the_others_alone(desk: Desk) -> None:
    alice = desk.world.person("alice")
    link = desk.identify(desk.capability(alice))
    desk.open(link)
    desk.world.execute(
        "INSERT INTO viewer_tokens (secret_hash, user_pk, capability_pk, study_instance_uid, source_inbox, "
        "read_permission, write_permission, issued_at, expires_at) "
        "SELECT CAST('x' || n AS bytea), user_pk, capability_pk, study_instance_uid, source_inbox, read_permission, "
        "write_permission, issued_at, expires_at FROM viewer_tokens, generate_series(2, :most) AS n",
        most=VIEWER_TOKENS_AT_ONCE,
    )
    with pytest.raises(TooManyRequestsError):
        desk.open(link)
    assert desk.stands(desk.open(alice))
    assert desk.stands(desk.open(desk.identify(desk.capability(alice))))
    desk.move(hours=5)
    assert desk.stands(desk.open(link))


def test_what_is_past_its_time_is_cleared_away_and_nothing_else(desk: Desk) -> None:
    alice = desk.world.person("alice")
    desk.open(alice)
    desk.world.execute(
        "INSERT INTO viewer_tokens (secret_hash, user_pk, study_instance_uid, source_inbox, read_permission, "
        "write_permission, issued_at, expires_at) SELECT CAST('y' || n AS bytea), user_pk, study_instance_uid, "
        "source_inbox, read_permission, write_permission, issued_at, issued_at + interval '1 hour' "
        "FROM viewer_tokens, generate_series(1, 1500) AS n"
    )
    desk.move(hours=2)
    late = desk.open(alice)
    desk.move(hours=4)
    assert desk.world.run(desk.viewers.clear()) == 1501
    assert desk.stands(late)
    assert desk.world.run(desk.viewers.clear()) == 0


def test_a_token_made_while_its_parent_ends_is_refused_or_dead(desk: Desk) -> None:
    alice = desk.world.person("alice")
    for _ in range(5):
        session = desk.log_in("alice")
        capability = desk.capability(alice)
        parent = desk.identify(capability)

        def of_session(session: BegunSession = session) -> str:
            try:
                return desk.open(session.session.person, session=session.session.id_hash)
            except KheopsError:
                return ""

        def of_capability(parent: Principal = parent) -> str:
            try:
                return desk.open(parent)
            except KheopsError:
                return ""

        def log_out(session: BegunSession = session) -> str:
            desk.log_out(session.secret)
            return ""

        def revoke(capability: str = capability) -> str:
            desk.revoke(alice, capability)
            return ""

        made = at_once(of_session, log_out, of_capability, revoke)
        assert not any(desk.stands(token) for token in made if token)


def test_a_logout_waits_for_a_token_that_is_being_made_and_ends_it(desk: Desk) -> None:
    begun = desk.log_in("alice")
    session = begun.session
    grant = policy.open_viewer(session.person, Source(), None, read=True, write=False)
    assert not isinstance(grant, Denied)
    logout = threading.Thread(target=desk.log_out, args=(begun.secret,))
    with desk.world.database.connect() as connection, connection.begin():
        at = desk.world.now()
        made = viewer_tokens.create_viewer_token(
            connection,
            grant,
            ViewerTokenParent(session.person.user, session=session.id_hash),
            study=STUDY,
            secret_hash=b"hash",
            at=at,
            until=at + timedelta(hours=5),
        )
        assert made is not None
        logout.start()
        waits = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active')"
        deadline = time.monotonic() + 4
        while not desk.world.scalar(waits) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert logout.is_alive()
    logout.join(10)
    assert desk.world.scalar("SELECT revoked_at IS NOT NULL FROM viewer_tokens")
