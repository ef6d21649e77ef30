"""What webhooks are told, as KHEOPS tells it."""

import hashlib
import hmac
import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from kheops.domain.albums import Page
from kheops.domain.principals import ReportToken
from kheops.domain.webhooks import WebhookEvent
from kheops.ids import AlbumId, AlbumPk, ReportTokenPk, new_report_provider_id
from kheops.services.webhook_bodies import common_json
from kheops.storage import outbox, webhook_subjects
from tests.service.control.world import World
from tests.service.outbox.world import HOST, OutboxWorld
from tests.unit.outbound.receiver import Got, Receiver

QUIET = {"seconds": 31.0}


def bodies(far: Receiver) -> list[dict[str, Any]]:
    return [json.loads(got.body) for got in far.got]


def inbox_series(world: World, sub: str = "alice", *, study: Any = None, instances: int = 2) -> Any:
    inbox = AlbumPk(world.scalar("SELECT inbox_pk FROM users WHERE sub = :sub", sub=sub))
    return world.series(inbox, study=study, instances=instances)


def describe(world: World, series: Any) -> None:
    world.execute(
        "UPDATE series SET patient_name = 'Yamada^Tarou=山田^太郎', patient_id = 'P1', study_date = '20260101', "
        "study_description = 'Heart', series_description = 'Axial', series_number = '3', accession_number = '' "
        "WHERE series_instance_uid = :uid",
        uid=series.series,
    )


def add_member(world: OutboxWorld, owner: Any, album: AlbumId, sub: str) -> str:
    return world.outcome(world.albums.members.add(owner, album, sub, asked=world.use(owner)))


def test_a_new_series_is_told_as_kheops_tells_it(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.NEW_SERIES, secret="Schlüssel")
    series = inbox_series(world)
    describe(world, series)
    assert world.put(alice, series, album) == "ok"
    assert world.later(far, **QUIET) == 2  # what was collected, and its delivery
    [got] = far.got
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert re.fullmatch(r"[A-Za-z0-9]{30}", got.headers["x-kheops-delivery"])
    assert got.headers["x-kheops-attempt"] == "1/5"
    assert got.headers["x-kheops-event"] == "new_series"
    expected = hmac.new("Schlüssel".encode(), got.body, hashlib.sha256).hexdigest()
    assert got.headers["x-kheops-signature"] == expected
    [body] = bodies(far)
    assert abs(datetime.fromisoformat(body.pop("event_time")) - world.now().replace(tzinfo=None)) < timedelta(
        minutes=1
    )
    assert body == {
        "host": HOST,
        "album_id": album,
        "source": {"email": "alice@example.org", "name": "Alice", "sub": "alice", "is_admin": True},
        "is_manual_trigger": False,
        "import_source": "send",
        "updated_study": {
            "study_uid": series.study,
            "patient_name": "Yamada^Tarou=山田^太郎",
            "patient_ID": "P1",
            "study_date": "20260101",
            "study_description": "Heart",
            "retrieve_url": f"{HOST}/api/studies/{series.study}",
            "series": [
                {
                    "modality": "CT",
                    "series_description": "Axial",
                    "series_uid": series.series,
                    "number_of_series_related_instances": 2,
                    "series_number": "3",
                    "number_of_new_instances": 2,
                    "retrieve_url": f"{HOST}/api/studies/{series.study}/series/{series.series}",
                }
            ],
        },
    }


def test_without_a_secret_nothing_is_signed(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    world.put(alice, inbox_series(world), album)
    world.later(far, **QUIET)
    assert "x-kheops-signature" not in far.got[0].headers


def test_new_series_of_a_study_are_collected_until_it_is_quiet_for_30_seconds(
    world: OutboxWorld, far: Receiver
) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    first = inbox_series(world)
    others = [inbox_series(world, study=first.study) for _ in range(2)]
    another_study = inbox_series(world)
    for series in (first, *others):
        assert world.put(alice, series, album) == "ok"
        assert world.later(far, seconds=20) == 0
    assert world.put(alice, another_study, album) == "ok"
    # The first study has been quiet for 31 seconds, the other for 11.
    assert world.later(far, seconds=11) == 2
    assert world.later(far, seconds=20) == 2
    told = [{each["series_uid"] for each in body["updated_study"]["series"]} for body in bodies(far)]
    assert told == [{first.series, *(other.series for other in others)}, {another_study.series}]


def test_collecting_ends_after_ten_minutes_however_long_it_goes_on(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    first = inbox_series(world)
    assert world.put(alice, first, album) == "ok"
    for _ in range(24):
        world.moved += timedelta(seconds=25)
        world.put(alice, inbox_series(world, study=first.study), album)
    assert world.deliver(far) == 2
    assert len(bodies(far)[0]["updated_study"]["series"]) >= 24


def test_each_person_is_a_source_of_their_own(world: OutboxWorld, far: Receiver) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice, bob)
    world.webhook(alice, album, far)
    series = inbox_series(world)
    world.put(alice, series, album)
    world.put(bob, inbox_series(world, "bob", study=series.study), album)
    world.later(far, **QUIET)
    told = {(body["source"]["sub"], body["source"]["is_admin"]) for body in bodies(far)}
    assert told == {("alice", True), ("bob", False)}


def test_what_left_the_album_meanwhile_is_not_told(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.NEW_SERIES)
    kept, gone = inbox_series(world), inbox_series(world)
    for series in (kept, gone):
        world.put(alice, series, album)
    assert world.drop(alice, gone, album) == "ok"
    world.later(far, **QUIET)
    assert [body["updated_study"]["study_uid"] for body in bodies(far)] == [kept.study]
    assert world.waiting() == []


def test_an_attempt_tells_what_the_album_holds_at_that_time(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.NEW_SERIES)
    first = inbox_series(world)
    second = inbox_series(world, study=first.study)
    for series in (first, second):
        world.put(alice, series, album)
    far.statuses = [500]
    world.later(far, **QUIET)
    world.drop(alice, second, album)
    world.later(far, seconds=12)
    told = [[each["series_uid"] for each in body["updated_study"]["series"]] for body in bodies(far)]
    assert told == [[first.series, second.series], [first.series]]


def test_an_album_hears_of_nothing_in_another(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album, other = world.album(alice), world.album(alice)
    world.webhook(alice, other, far)
    series = inbox_series(world)
    world.put(alice, series, album)
    add_member(world, alice, album, world.person("bob").sub)
    world.drop(alice, series, album)
    world.later(far, **QUIET)
    assert far.got == []
    assert world.scalar("SELECT count(*) FROM outbox") == 0


def test_a_webhook_hears_only_what_it_asked_for(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.NEW_USER)
    world.put(alice, inbox_series(world), album)
    add_member(world, alice, album, world.person("bob").sub)
    world.later(far, **QUIET)
    assert [got.headers["x-kheops-event"] for got in far.got] == ["new_user"]


def test_a_disabled_webhook_hears_nothing(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, enabled=False)
    world.put(alice, inbox_series(world), album)
    add_member(world, alice, album, world.person("bob").sub)
    assert world.later(far, **QUIET) == 0


def test_a_webhook_that_is_disabled_meanwhile_gets_nothing_more(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    add_member(world, alice, album, world.person("bob").sub)
    world.execute("UPDATE webhooks SET enabled = false")
    world.deliver(far)
    assert far.got == []
    assert world.waiting() == []


def test_removed_series_are_told_of_with_what_they_were(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    first = inbox_series(world)
    describe(world, first)
    second = inbox_series(world, study=first.study)
    for series in (first, second):
        world.put(alice, series, album)
    world.webhook(alice, album, far, WebhookEvent.REMOVE_SERIES)
    assert world.drop(alice, first, album) == "ok"
    assert world.drop(alice, second, album) == "ok"
    # Whoever has the UIDs now is nobody's business.
    world.execute("UPDATE series SET patient_name = 'Somebody^Else'")
    world.deliver(far)
    told = sorted(bodies(far), key=lambda body: body["remove_all_series"])
    assert [body["remove_all_series"] for body in told] == [False, True]
    removed = told[0]["removed_study"]
    assert removed["patient_name"] == "Yamada^Tarou=山田^太郎"
    assert [each["series_uid"] for each in removed["series"]] == [first.series]
    assert "retrieve_url" not in removed
    assert "retrieve_url" not in removed["series"][0]
    # Nothing of it is kept.
    assert world.scalar("SELECT count(*) FROM outbox WHERE payload <> '{}'") == 0


@pytest.mark.parametrize("role", ["member", "administrator"])
def test_a_new_member_is_told_of_at_once(world: OutboxWorld, far: Receiver, role: str) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    world.person("bob")
    add = world.albums.members.add if role == "member" else world.albums.members.promote
    assert world.outcome(add(alice, album, "bob", asked=world.use(alice))) == "ok"
    assert world.outcome(add(alice, album, "bob", asked=world.use(alice))) == "ok"
    assert world.deliver(far) == 1
    [body] = bodies(far)
    person = {"email": "bob@example.org", "name": "Bob", "sub": "bob", "is_admin": role == "administrator"}
    assert body["new_user"] == person


def test_a_deleted_album_is_told_of_though_its_webhooks_are_gone(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.DELETE_ALBUM, secret="key")
    world.webhook(alice, album, far, WebhookEvent.NEW_SERIES)
    assert world.outcome(world.albums.delete(alice, album, asked=world.use(alice))) == "ok"
    assert world.deliver(far) == 1
    [got] = far.got
    assert got.headers["x-kheops-event"] == "delete_album"
    assert "x-kheops-delivery" not in got.headers
    assert got.headers["x-kheops-signature"] == hmac.new(b"key", got.body, hashlib.sha256).hexdigest()
    [body] = bodies(far)
    body.pop("event_time")
    source = {"email": "alice@example.org", "name": "Alice", "sub": "alice", "is_admin": True}
    assert body == {"host": HOST, "album_id": album, "source": source, "is_manual_trigger": False}


def test_a_token_of_the_album_is_named_as_the_source(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far)
    world.execute(
        "INSERT INTO capabilities (id, secret_hash, title, scope_type, user_pk, album_pk, read_permission, "
        "write_permission, appropriate_permission, download_permission, issued_at, not_before, expires_at) VALUES "
        "('cap0000002', 'h', 'Robot', 'album', :u, :a, true, true, true, true, now(), now(), now() + interval '1 d')",
        u=alice.user,
        a=world.key(album),
    )
    series = world.series(world.key(album), origin=album)
    assert world.drop(world.album_token(alice, album, "rw"), series, album) == "ok"
    world.deliver(far)
    assert bodies(far)[0]["source"]["capability_token"] == {"id": "cap0000002", "title": "Robot"}


def test_an_attempt_that_fails_is_made_again_under_the_same_delivery(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    hook = world.webhook(alice, album, far)
    add_member(world, alice, album, world.person("bob").sub)
    far.statuses = [500, 302]
    for seconds in (0, 12, 70, 400):
        world.later(far, seconds=seconds)
    assert [got.headers["x-kheops-attempt"] for got in far.got] == ["1/5", "2/5", "3/5"]
    assert len({got.headers["x-kheops-delivery"] for got in far.got}) == 1
    assert len({got.body for got in far.got}) == 1
    assert [attempt.status for attempt in log(world, album, hook, alice)] == [500, 302, 200]


def log(world: OutboxWorld, album: AlbumId, hook: Any, by: Any) -> Any:
    view = world.run(world.webhooks.get(by, album, hook.record.webhook, Page()))
    assert view.deliveries is not None
    return view.deliveries[0].attempts


def test_after_five_attempts_it_has_failed(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    hook = world.webhook(alice, album, far)
    add_member(world, alice, album, world.person("bob").sub)
    far.status = 503
    for seconds in (0, 12, 70, 400, 2400, 9000):
        world.later(far, seconds=seconds)
    assert [got.headers["x-kheops-attempt"] for got in far.got] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert [attempt.status for attempt in log(world, album, hook, alice)] == [503] * 5
    assert (world.waiting(), world.failed()) == ([], 1)


def test_no_answer_is_status_minus_one(world: OutboxWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    hook = world.webhook(alice, album)
    add_member(world, alice, album, world.person("bob").sub)
    # The name leads to loopback, and nothing allows that.
    world.deliver()
    assert [attempt.status for attempt in log(world, album, hook, alice)] == [-1]


def test_two_workers_send_each_delivery_once(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    for _ in range(3):
        world.webhook(alice, album, far)
    for number in range(5):
        add_member(world, alice, album, world.person(f"p{number}").sub)
    world.deliver(far, workers=3)
    sent = [(got.headers["x-kheops-delivery"], got.headers["x-kheops-attempt"]) for got in far.got]
    assert len(sent) == len(set(sent)) == 15


def test_a_deleted_webhook_gets_nothing_more(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    hook = world.webhook(alice, album, far)
    add_member(world, alice, album, world.person("bob").sub)
    deleted = world.webhooks.delete(alice, album, hook.record.webhook, asked=world.use(alice))
    assert world.outcome(deleted) == "ok"
    world.deliver(far)
    assert far.got == []
    assert world.waiting() == []


def test_a_secret_that_cannot_be_opened_sends_nothing_unsigned(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, secret="key")
    world.execute("UPDATE webhooks SET secret = 'sealed under another pepper'")
    add_member(world, alice, album, world.person("bob").sub)
    world.deliver(far)
    assert far.got == []
    assert world.failed() == 1


def test_the_database_has_no_secret_in_the_clear(world: OutboxWorld) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, secret="correct horse battery")
    world.outcome(world.albums.delete(alice, album, asked=world.use(alice)))
    kept = world.scalar("SELECT payload::text FROM outbox")
    assert "url" in kept
    assert "correct" not in kept


def headers_of(got: Got) -> set[str]:
    return {name for name in got.headers if name.startswith("x-")}


def test_nothing_else_is_told_in_headers(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, secret="key")
    add_member(world, alice, album, world.person("bob").sub)
    world.deliver(far)
    expected = {"x-kheops-delivery", "x-kheops-attempt", "x-kheops-event", "x-kheops-signature"}
    assert headers_of(far.got[0]) == expected
    assert not {"authorization", "cookie"} & set(far.got[0].headers)


def test_a_delivery_that_died_in_its_last_attempt_shows_it_in_the_log(world: OutboxWorld, far: Receiver) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    album = world.album(alice)
    hook = world.webhook(alice, album, far, WebhookEvent.NEW_USER)
    assert add_member(world, alice, album, bob.sub) == "ok"
    for _ in range(5):
        claimed = world.database.run_blocking(
            lambda tx: outbox.claim(tx, most={"webhook": 8}, at=world.now(), lease=timedelta(minutes=2))
        )
        assert len(claimed) == 1
        world.moved += timedelta(minutes=3)
    world.run(world.worker(world.guard(far)).clear())
    view = world.run(world.webhooks.get(alice, album, hook.record.webhook, Page()))
    assert view.deliveries is not None
    assert [(each.attempt, each.status) for each in view.deliveries[0].attempts] == [(5, -1)]
    assert world.failed() == 1


def test_series_that_are_not_confirmed_are_not_told(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    hook = world.webhook(alice, album, far, WebhookEvent.NEW_SERIES)
    series = inbox_series(world)
    assert world.put(alice, series, album) == "ok"
    # As after a deletion for good that has begun.
    world.execute("UPDATE series SET state = 'deleting' WHERE series_instance_uid = :uid", uid=series.series)
    world.later(far, **QUIET)
    assert far.got == []
    tried = world.webhooks.trigger_new_series(
        alice, album, hook.record.webhook, series.study, [series.series], asked=world.use(alice)
    )
    assert world.outcome(tried) == "NotFoundError"


def test_what_is_removed_and_added_again_is_new_once(world: OutboxWorld, far: Receiver) -> None:
    alice = world.person("alice")
    album = world.album(alice)
    world.webhook(alice, album, far, WebhookEvent.NEW_SERIES)
    series = inbox_series(world, instances=3)
    assert [world.put(alice, series, album), world.drop(alice, series, album)] == ["ok", "ok"]
    assert world.put(alice, series, album) == "ok"
    world.later(far, **QUIET)
    [body] = bodies(far)
    assert body["updated_study"]["series"][0]["number_of_new_instances"] == 3


def test_a_report_provider_is_named_as_the_source_to_its_own_album_only(world: OutboxWorld) -> None:
    alice = world.person("alice")
    album, other = world.key(world.album(alice)), world.key(world.album(alice))
    provider = new_report_provider_id()
    world.execute(
        "INSERT INTO report_providers (client_id, album_pk, name, url, created_at) "
        "VALUES (:id, :album, 'Reports', 'https://reports.example/', now())",
        id=provider,
        album=album,
    )
    token = ReportToken(
        report=ReportTokenPk(1), parent=alice, provider=provider, album=album, studies=(), read=True, write=True
    )
    facts = webhook_subjects.source_facts(token)

    def source(key: AlbumPk) -> object:
        doer = world.database.run_blocking(lambda tx: webhook_subjects.doer(tx, key, facts))
        return common_json(host=HOST, album=AlbumId("a"), event_time=world.now(), source=doer, is_manual=False)[
            "source"
        ]

    person = {"email": "alice@example.org", "name": "Alice", "sub": "alice", "is_admin": True}
    assert source(album) == {**person, "report_provider": {"name": "Reports", "client_id": provider}}
    assert source(other) == person
