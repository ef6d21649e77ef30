"""Capability tokens: made, kept as hashes, seen and revoked by the right people."""

from datetime import timedelta

from kheops.domain.albums import Page
from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.principals import CapabilityPermissions, Person, Principal
from kheops.identity.own_tokens import hash_secret, looks_like_capability
from kheops.ids import AlbumId, CapabilityId
from kheops.services.capabilities import CreatedCapability
from kheops.storage import capabilities
from tests.service.control.world import World

READ = CapabilityPermissions(read=True, write=False, appropriate=False, download=False)


def create(world: World, owner: Person, album: AlbumId | None = None, title: str = "title") -> CreatedCapability:
    draft = CapabilityDraft(title, album, READ, world.now(), world.now() + timedelta(days=1))
    return world.run(world.capabilities.create(owner, draft, asked=world.use(owner)))


def key(made: CreatedCapability) -> CapabilityId:
    return made.view.record.capability


def revoke(world: World, by: Principal, capability: CapabilityId) -> str:
    return world.outcome(world.capabilities.revoke(by, capability, asked=world.use(by)))


def get(world: World, by: Principal, capability: CapabilityId) -> str:
    return world.outcome(world.capabilities.get(by, capability))


def test_only_the_keyed_hash_of_the_secret_is_in_the_database(world: World) -> None:
    made = create(world, world.person("alice"))
    assert looks_like_capability(made.secret)
    assert bytes(world.scalar("SELECT secret_hash FROM capabilities")) == hash_secret(made.secret, b"p" * 32)
    for table in ("capabilities", "audit", "events"):
        assert made.secret not in str(world.rows(f"SELECT t::text FROM {table} t"))
    assert ("share", key(made), []) in world.audit()


def test_the_owner_and_administrators_of_the_album_see_and_revoke_a_token_and_nobody_else(world: World) -> None:
    alice, bob, carol, dora = (world.person(name) for name in ("alice", "bob", "carol", "dora"))
    album = world.album(alice, bob, carol)
    world.run(world.albums.members.promote(alice, album, "carol", asked=world.use(alice)))
    token, own = key(create(world, alice, album)), key(create(world, alice))
    absent = CapabilityId("absent0000")
    expected = {"alice": "ok", "bob": "CapabilityNotFoundError", "carol": "ok", "dora": "CapabilityNotFoundError"}
    for person in (alice, bob, carol, dora):
        assert get(world, person, token) == expected[person.sub]
        assert get(world, person, absent) == "CapabilityNotFoundError"
        assert get(world, person, own) == ("ok" if person is alice else "CapabilityNotFoundError")
    for person in (bob, dora):
        assert revoke(world, person, token) == "CapabilityNotFoundError"
        assert revoke(world, person, own) == "CapabilityNotFoundError"
    assert revoke(world, carol, own) == "CapabilityNotFoundError"
    assert world.scalar("SELECT count(*) FROM capabilities WHERE revoked_at IS NOT NULL") == 0
    assert revoke(world, carol, token) == "ok"
    assert world.rows("SELECT revoked_by FROM capabilities WHERE id = :id", id=token) == [(carol.user,)]


def test_tokens_make_list_and_revoke_no_tokens(world: World) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    token = key(create(world, alice, album))
    draft = CapabilityDraft("more", None, READ, world.now(), world.now() + timedelta(days=1))
    for principal in (world.user_token(alice, "rwad"), world.album_token(alice, album, "rwad")):
        made = world.capabilities.create(principal, draft, asked=world.use(principal))
        assert world.outcome(made) == "ForbiddenError"
        assert world.outcome(world.capabilities.list(principal, only_valid=False, page=Page())) == "ForbiddenError"
        assert revoke(world, principal, token) == "ForbiddenError"
        assert revoke(world, principal, CapabilityId("absent0000")) == "ForbiddenError"
    assert get(world, world.user_token(alice, "r"), token) == "ok"
    assert get(world, world.user_token(alice, "w"), token) == "ForbiddenError"
    assert get(world, world.album_token(alice, album, "r"), token) == "ForbiddenError"


def test_revoking_twice_keeps_the_first_revocation_and_an_expired_token_stays_as_it_is(world: World) -> None:
    alice = world.person("alice")
    first, second = key(create(world, alice)), key(create(world, alice))
    assert revoke(world, alice, first) == "ok"
    when = world.rows("SELECT revoked_at FROM capabilities WHERE id = :id", id=first)
    assert revoke(world, alice, first) == "ok"
    assert world.rows("SELECT revoked_at FROM capabilities WHERE id = :id", id=first) == when
    world.moved = timedelta(days=2)
    assert revoke(world, alice, second) == "ok"
    assert world.rows("SELECT revoked_at FROM capabilities WHERE id = :id", id=second) == [(None,)]
    revocations = [subject for kind, subject, _ in world.audit() if subject in {first, second} and kind == "share"]
    assert revocations == [first, second, first], "two creations and one revocation"


def test_lists_show_ones_own_or_an_albums_newest_first(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    world.run(world.albums.members.promote(alice, album, "bob", asked=world.use(alice)))
    tokens = [create(world, alice, album, "a1"), create(world, bob, album, "b1"), create(world, alice, None, "a2")]
    revoke(world, alice, key(tokens[0]))

    def own(person: Person, page: Page, *, only_valid: bool = False) -> tuple[list[str], int]:
        views, total = world.run(world.capabilities.list(person, only_valid=only_valid, page=page))
        return [view.record.title for view in views], total

    def of_album(user: str | None) -> list[str]:
        views, _ = world.run(world.capabilities.list_of_album(alice, album, user=user, only_valid=False, page=Page()))
        return [view.record.title for view in views]

    assert own(alice, Page()) == (["a2", "a1"], 2)
    assert own(alice, Page(limit=1, offset=1)) == (["a1"], 2)
    assert own(alice, Page(), only_valid=True) == (["a2"], 1)
    assert own(bob, Page()) == (["b1"], 1)
    assert of_album(None) == ["b1", "a1"]
    assert of_album("bob@example.org") == ["b1"]
    assert of_album("alice") == ["a1"]
    assert of_album("nobody") == []


def test_who_has_left_an_album_is_no_longer_told_its_name(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    world.run(world.albums.members.promote(alice, album, "bob", asked=world.use(alice)))
    token = create(world, bob, album)
    assert token.view.names_album
    world.run(world.albums.members.remove(alice, album, "bob", asked=world.use(alice)))
    assert world.run(world.capabilities.get(bob, key(token))).names_album is False
    views, _ = world.run(world.capabilities.list(bob, only_valid=False, page=Page()))
    assert [view.names_album for view in views] == [False]


def test_a_use_is_written_and_never_moves_back(world: World) -> None:
    alice = world.person("alice")
    record = create(world, alice).view.record
    later, earlier = world.now() + timedelta(hours=1), world.now()
    for at in (later, earlier):
        world.database.run_blocking(lambda tx, at=at: capabilities.touch(tx, pk=record.pk, at=at))  # type: ignore[misc]
    assert world.scalar("SELECT last_used_at FROM capabilities") == later
