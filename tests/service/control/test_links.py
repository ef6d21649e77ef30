"""Links: who makes them, what opens them, what ends them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from kheops.domain.albums import Page
from kheops.domain.links import LINK_VISIT, PASSCODE_TRIES, PASSCODE_TRIES_IN_A_ROW, PASSCODE_WAIT, LinkDraft
from kheops.domain.principals import Person, Principal
from kheops.domain.resources import AlbumFlags, SeriesRef
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.errors import KheopsError
from kheops.identity.keyring import Keyring
from kheops.ids import LinkId, SeriesInstanceUID, new_link_id
from kheops.services.audit import AuditTrail
from kheops.services.links import CreatedLink, Links, LinkView, Visit
from kheops.services.strangers import REFUSALS_PER_ADDRESS, STRANGERS_SECONDS, Strangers
from kheops.storage import suspension
from kheops.storage.holdings import Selection
from tests.service.control.world import World, at_once

LONGEST = timedelta(days=90)


def links_of(world: World, pepper: Keyring | None = None, strangers: Strangers | None = None) -> Links:
    """Return the service as a process of its own has it."""
    strangers = strangers or Strangers(AuditTrail(world.database, world.now))
    return Links(world.database, world.now, pepper=pepper or Keyring(b"p" * 32), longest=LONGEST, strangers=strangers)


class Desk:
    """The service, and calls of it that say what came of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.links = links_of(world)

    def make(self, by: Person, draft: LinkDraft) -> CreatedLink:
        return self.world.run(self.links.create(by, draft, asked=self.world.use(by, UseKind.LINK_CREATED)))

    def try_to_make(self, by: Principal, draft: LinkDraft) -> str:
        return self.world.outcome(self.links.create(by, draft, asked=self.world.use(by, UseKind.LINK_CREATED)))

    def open(self, link: LinkId, secret: str, passcode: str | None = None) -> Visit:
        nobody = Use(User(None, None, None), UseKind.LINK_OPENED, Outcome.GRANTED, "192.0.2.1", "request")
        # A service of its own, as another replica has one.
        service = links_of(self.world)
        return asyncio.run(service.open(link, secret, passcode, asked=nobody))

    def came(self, link: LinkId, secret: str, passcode: str | None = None) -> str:
        try:
            self.open(link, secret, passcode)
        except KheopsError as error:
            return type(error).__name__
        return "ok"

    def revoke(self, by: Person, link: LinkId) -> str:
        return self.world.outcome(self.links.revoke(by, link, asked=self.world.use(by, UseKind.LINK_REVOKED)))

    def listed(self, by: Person, *, only_valid: bool = False, page: Page | None = None) -> list[LinkView]:
        views, _ = self.world.run(self.links.list(by, album=None, only_valid=only_valid, page=page or Page()))
        return list(views)


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def of(series: Selection, title: str = "A link") -> LinkDraft:
    assert series.series is not None
    return LinkDraft(title=title, series=(SeriesRef(series.study, series.series),))


def _id(made: CreatedLink) -> LinkId:
    return made.view.record.link


def test_a_link_to_series_of_the_inbox_opens_and_counts_its_uses(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    series = world.series(world.inbox(alice))
    made = desk.make(alice, of(series, "For the council"))
    assert made.view.record.expires_at == made.view.record.created_at + timedelta(days=7)
    visit = desk.open(_id(made), made.secret)
    assert (visit.name, visit.lifetime, visit.download) == ("For the council", LINK_VISIT, False)
    assert desk.came(_id(made), made.secret) == "ok"
    view = desk.listed(alice)[0]
    assert (view.record.uses, view.record.last_used_at is not None) == (2, True)
    kinds = [(kind, subject, uids) for kind, subject, uids in world.audit() if kind.startswith("link")]
    assert kinds[0] == ("link-created", _id(made), [series.series])
    assert [each[:2] for each in kinds[1:]] == [("link-opened", _id(made))] * 2


def test_nothing_that_would_open_it_is_kept(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), passcode="open sesame"))
    visit = desk.open(_id(made), made.secret, "open sesame")
    kept = str(world.rows("SELECT * FROM links")) + str(world.rows("SELECT * FROM link_visits"))
    kept += str(world.rows("SELECT * FROM audit"))
    assert not [each for each in (made.secret, visit.token, "sesame") if each in kept]
    assert "$argon2id$" in kept
    assert made.secret not in repr(made)
    assert visit.token not in repr(visit)


def test_only_who_may_send_all_of_a_selection_makes_a_link_to_it(world: World, desk: Desk) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    kept = world.album(alice, bob, flags=AlbumFlags(send_series=False))
    open_album = world.album(alice, bob)
    not_sent, sent = world.series(world.key(kept)), world.series(world.key(open_album))
    foreign, unused = world.series(world.inbox(alice)), Selection(sent.study, foreign_uid(sent))
    assert desk.try_to_make(bob, of(sent)) == "ok"
    for selection in (not_sent, foreign, unused):
        assert desk.try_to_make(bob, of(selection)) == "NotFoundError"
        both = LinkDraft(title="Both", series=(*of(sent).series, *of(selection).series))
        assert desk.try_to_make(bob, both) == "NotFoundError"
    assert desk.try_to_make(bob, LinkDraft(title="Study", studies=(foreign.study,))) == "NotFoundError"
    assert len(desk.listed(bob)) == 1
    for token in (world.user_token(alice, "rwad"), world.album_token(alice, kept, "rwad")):
        assert desk.try_to_make(token, of(foreign)) == "ForbiddenError"


def foreign_uid(selection: Selection) -> SeriesInstanceUID:
    return SeriesInstanceUID(f"{selection.series}.9")


def test_a_link_to_a_study_has_the_series_that_its_creator_may_send_now(world: World, desk: Desk) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    shared = world.series(world.key(album))
    world.series(world.inbox(alice), study=shared.study)
    made = desk.make(bob, LinkDraft(title="Study", studies=(shared.study,)))
    world.series(world.key(album), study=shared.study)
    rows = world.rows(
        "SELECT s.series_instance_uid FROM link_series k JOIN series s ON s.pk = k.series_pk WHERE k.link_pk = :pk",
        pk=made.view.record.pk,
    )
    assert [row[0] for row in rows] == [shared.series]


def test_only_administrators_make_a_link_to_an_album(world: World, desk: Desk) -> None:
    alice, bob, carol = world.person("alice"), world.person("bob"), world.person("carol")
    album = world.album(alice, bob)
    draft = LinkDraft(title="Album", album=album)
    assert desk.try_to_make(alice, draft) == "ok"
    assert desk.try_to_make(bob, draft) == "ForbiddenError"
    assert desk.try_to_make(carol, draft) == "AlbumNotFoundError"
    made = desk.make(alice, draft)
    assert desk.open(_id(made), made.secret).name == "An album"


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timedelta(days=91)},
        {"expires_at": timedelta(seconds=-1)},
        {"series": ()},
        {"album": "AAAAAAAAAA"},
    ],
)
def test_a_link_that_lives_too_long_or_shows_nothing_clear_is_refused(
    world: World, desk: Desk, change: dict[str, object]
) -> None:
    alice = world.person("alice")
    draft = of(world.series(world.inbox(alice)))
    if isinstance(change.get("expires_at"), timedelta):
        change = {"expires_at": world.now() + change["expires_at"]}  # type: ignore[operator]
    assert desk.try_to_make(alice, replace(draft, **change)) == "BadRequestError"  # type: ignore[arg-type]


def _revoked(desk: Desk, alice: Person, made: CreatedLink) -> None:
    assert desk.revoke(alice, _id(made)) == "ok"


def _expired(desk: Desk, alice: Person, made: CreatedLink) -> None:
    del alice, made
    desk.world.moved = timedelta(days=7)


def _used_up(desk: Desk, alice: Person, made: CreatedLink) -> None:
    del alice
    assert [desk.came(_id(made), made.secret) for _ in range(3)] == ["ok"] * 3


def _suspended(desk: Desk, alice: Person, made: CreatedLink) -> None:
    del made
    desk.world.suspend(alice)


@pytest.mark.parametrize("end", [_revoked, _expired, _used_up, _suspended])
def test_a_link_that_has_ended_is_as_one_that_never_was(
    world: World, desk: Desk, end: Callable[[Desk, Person, CreatedLink], None]
) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), max_uses=3))
    assert desk.came(_id(made), made.secret[:-1] + "!") == "LinkNotFoundError"
    assert desk.came(LinkId("Zz00000000"), made.secret) == "LinkNotFoundError"
    end(desk, alice, made)
    before = len(world.audit())
    assert desk.came(_id(made), made.secret) == "LinkNotFoundError"
    assert desk.came(LinkId("Zz00000000"), made.secret) == "LinkNotFoundError"
    rows = world.rows("SELECT iss, sub, token_id, kind, outcome, reason FROM audit ORDER BY pk OFFSET :n", n=before)
    assert [tuple(row) for row in rows] == [(None, None, None, "link-opened", "refused", "link-not-found")] * 2


def test_the_last_use_is_had_once_by_however_many_at_once(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), max_uses=1))
    came = at_once(*[lambda: desk.came(_id(made), made.secret)] * 4)
    assert sorted(came) == ["LinkNotFoundError"] * 3 + ["ok"]


def test_a_passcode_is_told_apart_only_behind_the_right_secret(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), passcode="caf\u00e9 123"))
    link = _id(made)
    assert desk.came(link, made.secret) == "PasscodeRequiredError"
    assert desk.came(link, made.secret, "wrong one") == "WrongPasscodeError"
    assert desk.came(link, "A" * 22) == "LinkNotFoundError"
    assert desk.came(link, "A" * 22, "caf\u00e9 123") == "LinkNotFoundError"
    assert desk.came(link, made.secret, "cafe\u0301 123") == "ok"
    record = desk.listed(alice)[0].record
    assert (record.uses, record.wrong_passcodes) == (1, 1)


def test_tries_of_a_passcode_are_limited_over_all_replicas(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), passcode="right passcode"))
    link, secret = _id(made), made.secret
    came = at_once(*[lambda: desk.came(link, secret, "wrong")] * 8)
    assert sorted(came) == ["TooManyRequestsError"] * 3 + ["WrongPasscodeError"] * PASSCODE_TRIES_IN_A_ROW
    assert desk.came(link, secret, "right passcode") == "TooManyRequestsError"
    world.moved = PASSCODE_WAIT + timedelta(seconds=1)
    assert [desk.came(link, secret, "wrong") for _ in range(4)] == ["WrongPasscodeError"] * 4
    # The right one takes the row back, and not what was wrong before.
    assert desk.came(link, secret, "right passcode") == "ok"
    assert [desk.came(link, secret, "wrong") for _ in range(4)] == ["WrongPasscodeError"] * 4
    assert desk.listed(alice)[0].record.wrong_passcodes == 13


def test_a_link_whose_passcode_was_wrong_too_often_has_ended(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, replace(of(world.series(world.inbox(alice))), passcode="right passcode"))
    world.execute("UPDATE links SET wrong_passcodes = :n", n=PASSCODE_TRIES - 1)
    assert desk.came(_id(made), made.secret, "wrong") == "WrongPasscodeError"
    assert desk.came(_id(made), made.secret, "right passcode") == "LinkNotFoundError"


def test_links_are_listed_to_their_creator_and_to_administrators_of_the_album(world: World, desk: Desk) -> None:
    alice, ada, bob = world.person("alice"), world.person("ada"), world.person("bob")
    album = world.album(alice, bob, ada)
    world.execute(
        "UPDATE album_members SET is_admin = true WHERE user_pk = :pk AND album_pk = :a",
        pk=ada.user,
        a=world.key(album),
    )
    made = [desk.make(alice, LinkDraft(title=f"Album {number}", album=album)) for number in range(3)]
    own = desk.make(alice, of(world.series(world.inbox(alice))))
    for admin in (alice, ada):
        views, total = world.run(desk.links.list(admin, album=album, only_valid=False, page=Page(2, 1)))
        assert ([view.record.link for view in views], total) == ([_id(made[1]), _id(made[0])], 3)
    refused = desk.links.list(bob, album=album, only_valid=False, page=Page())
    assert world.outcome(refused) == "ForbiddenError"
    assert world.outcome(desk.links.get(ada, _id(made[0]))) == "ok"
    assert world.outcome(desk.links.get(ada, _id(own))) == "LinkNotFoundError"
    assert world.outcome(desk.links.get(bob, _id(made[0]))) == "LinkNotFoundError"
    assert world.outcome(desk.links.get(bob, LinkId("Zz00000000"))) == "LinkNotFoundError"
    assert desk.revoke(bob, _id(made[0])) == "LinkNotFoundError"
    assert desk.revoke(ada, _id(made[0])) == "ok"
    assert {view.record.link for view in desk.listed(alice, only_valid=True)} == {_id(made[1]), _id(made[2]), _id(own)}
    assert len(desk.listed(alice)) == 4
    assert world.outcome(desk.links.get(world.user_token(alice, "rwad"), _id(own))) == "ForbiddenError"


def test_demotion_and_removal_end_links_to_the_album_for_good(world: World, desk: Desk) -> None:
    alice, ada = world.person("alice"), world.person("ada")
    album = world.album(alice)
    use = world.use(alice)
    world.run(world.albums.members.promote(alice, album, "ada", asked=use))
    made = desk.make(ada, LinkDraft(title="Album", album=album))
    assert desk.came(_id(made), made.secret) == "ok"
    world.run(world.albums.members.demote(alice, album, "ada", asked=use))
    assert desk.came(_id(made), made.secret) == "LinkNotFoundError"
    world.run(world.albums.members.promote(alice, album, "ada", asked=use))
    assert desk.came(_id(made), made.secret) == "LinkNotFoundError"
    assert ("link-revoked", _id(made), []) in world.audit()


def test_a_visit_lasts_no_longer_than_its_link(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    series = world.series(world.inbox(alice))
    short = timedelta(minutes=10)
    made = desk.make(alice, replace(of(series), expires_at=world.now() + short))
    visit = desk.open(_id(made), made.secret)
    assert short - timedelta(seconds=30) < visit.lifetime <= short
    [(lasting,)] = world.rows(
        "SELECT v.expires_at <= l.expires_at FROM link_visits v JOIN links l ON l.pk = v.link_pk"
    )
    assert lasting is True


def test_what_its_maker_reaches_by_a_group_alone_is_in_no_link(world: World, desk: Desk) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, flags=AlbumFlags(send_series=True))
    by_group = world.series(world.key(album))
    own = world.series(world.inbox(bob), study=by_group.study)
    world.execute(
        "INSERT INTO album_groups (album_pk, iss, value, added_at) VALUES (:album, :iss, 'radiology', now())",
        album=world.key(album),
        iss=bob.iss,
    )
    radiologist = replace(bob, groups=frozenset({"radiology"}))
    assert world.send(radiologist, by_group, "alice") == "ok", "the group does reach it"
    assert desk.try_to_make(radiologist, of(by_group)) == "NotFoundError"
    made = desk.make(radiologist, LinkDraft(title="All of it", studies=(own.study,)))
    shown = world.rows("SELECT s.series_instance_uid FROM link_series k JOIN series s ON s.pk = k.series_pk")
    assert (made.view.record.uses, [uid for (uid,) in shown]) == (0, [own.series])


@pytest.mark.parametrize("how", ["suspended and restored", "opened while she was being suspended"])
def test_a_visit_does_not_come_back_with_its_maker(world: World, desk: Desk, how: str) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    made = desk.make(alice, of(world.series(world.inbox(alice))))
    others = desk.make(bob, of(world.series(world.inbox(bob))))
    late = (
        "INSERT INTO link_visits (secret_hash, link_pk, opened_at, expires_at) "
        "SELECT 'x', pk, now(), now() + interval '1 hour' FROM links WHERE user_pk = :user"
    )
    for each in (made, others):
        desk.open(_id(each), each.secret)
    world.database.run_blocking(lambda tx: suspension.suspend(tx, alice.user, reason="why", at=world.now()))
    if how != "suspended and restored":
        world.execute(late, user=alice.user)
    assert world.database.run_blocking(lambda tx: suspension.restore(tx, alice.user, at=world.now()))
    left = world.rows("SELECT l.user_pk FROM link_visits v JOIN links l ON l.pk = v.link_pk")
    assert [user for (user,) in left] == [bob.user]
    assert desk.came(_id(made), made.secret) == "ok", "the link itself goes on"


def test_ended_visits_are_cleared_away(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, of(world.series(world.inbox(alice))))
    desk.open(_id(made), made.secret)
    assert world.run(desk.links.clear()) == 0
    world.moved = LINK_VISIT + timedelta(seconds=1)
    assert world.run(desk.links.clear()) == 1


def test_a_link_outlives_a_new_pepper_and_ends_with_the_old_one(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    made = desk.make(alice, of(world.series(world.inbox(alice))))
    nobody = Use(User(None, None, None), UseKind.LINK_OPENED, Outcome.GRANTED, "192.0.2.1", "request")

    def came(*keys: bytes) -> str:
        service = links_of(world, Keyring(*keys))
        return world.outcome(service.open(_id(made), made.secret, None, asked=nobody))

    assert came(b"n" * 32, b"p" * 32) == "ok"
    assert came(b"n" * 32) == "LinkNotFoundError"


def _opening(address: str | None = "192.0.2.1") -> Use:
    return Use(User(None, None, None), UseKind.LINK_OPENED, Outcome.GRANTED, address, "request")


def _rows_of_refusals(world: World) -> list[tuple[object, ...]]:
    sql = "SELECT reason, source_address, uses FROM audit WHERE outcome = 'refused' ORDER BY pk"
    return [tuple(row) for row in world.rows(sql)]


def test_opening_what_is_not_there_writes_one_row_and_ends(world: World, desk: Desk) -> None:
    made = desk.make(alice := world.person("alice"), of(world.series(world.inbox(alice))))
    trail = AuditTrail(world.database, world.now)
    links = links_of(world, strangers=Strangers(trail))

    async def body() -> Counter[str]:
        came: Counter[str] = Counter()
        for _ in range(REFUSALS_PER_ADDRESS + 5):
            came[await _end(links.open(new_link_id(), "x", None, asked=_opening()))] += 1
        # One that is there waits as well: it is told before anything is looked up.
        came[await _end(links.open(_id(made), made.secret, None, asked=_opening()))] += 1
        came[await _end(links.open(_id(made), made.secret, None, asked=_opening("192.0.2.2")))] += 1
        await trail.aclose()
        return came

    came = asyncio.run(body())
    assert came == {"LinkNotFoundError": REFUSALS_PER_ADDRESS, "TooManyRequestsError": 6, "ok": 1}
    assert _rows_of_refusals(world) == [("link-not-found", "192.0.2.1", REFUSALS_PER_ADDRESS)]


def test_an_address_that_waited_goes_on(world: World) -> None:
    passed = [0.0]
    strangers = Strangers(AuditTrail(world.database, world.now), lambda: passed[0])
    links = links_of(world, strangers=strangers)

    async def body() -> list[str]:
        came = [
            await _end(links.open(new_link_id(), "x", None, asked=_opening())) for _ in range(REFUSALS_PER_ADDRESS + 1)
        ]
        passed[0] = STRANGERS_SECONDS
        return [*came[-2:], await _end(links.open(new_link_id(), "x", None, asked=_opening()))]

    assert asyncio.run(body()) == ["LinkNotFoundError", "TooManyRequestsError", "LinkNotFoundError"]


def test_a_network_is_one_address_and_very_many_are_counted_together(world: World) -> None:
    trail = AuditTrail(world.database, world.now)
    links = links_of(world, strangers=Strangers(trail))

    async def body() -> None:
        for number in range(20):
            await _end(links.open(new_link_id(), "x", None, asked=_opening(f"2a00:1::{number:x}")))
        for number in range(1_010):
            await _end(links.open(new_link_id(), "x", None, asked=_opening(f"10.0.{number // 256}.{number % 256}")))
        await trail.aclose()

    asyncio.run(body())
    rows = _rows_of_refusals(world)
    assert rows[0] == ("link-not-found", "2a00:1::0", 20)
    assert len(rows) == 1_001
    assert rows[-1] == ("link-not-found", None, 11)


def test_who_knows_the_secret_is_recorded_by_link(world: World, desk: Desk) -> None:
    alice = world.person("alice")
    drafts = [replace(of(world.series(world.inbox(alice))), passcode="right passcode") for _ in range(2)]
    made = [desk.make(alice, draft) for draft in drafts]
    links = links_of(world)

    async def body() -> None:
        for each in made:
            for _ in range(3):
                assert (
                    await _end(links.open(_id(each), each.secret, None, asked=_opening())) == "PasscodeRequiredError"
                )

    asyncio.run(body())
    subjects = world.rows("SELECT subject FROM audit WHERE reason = 'passcode-required' ORDER BY pk")
    assert [row[0] for row in subjects] == [_id(each) for each in made]


async def _end(opening: Awaitable[Visit]) -> str:
    try:
        await opening
    except KheopsError as error:
        return type(error).__name__
    return "ok"
