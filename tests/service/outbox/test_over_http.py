"""The routes of webhooks, as clients of KHEOPS see them."""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.fakes.jwks_server import FakeIssuer, running
from tests.postgres import Server
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.outbox.world import OutboxWorld
from tests.unit.outbound.receiver import Receiver

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]
FORM = {"url": "https://hook.example/", "name": " My hook ", "event": "new_series", "secret": "a secret"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def http_url(postgres: Server) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture
def http_world(http_url: str) -> Iterator[OutboxWorld]:
    world = OutboxWorld(http_url)
    world.empty()
    yield world
    world.close()


@pytest.fixture
def run(
    http_world: OutboxWorld, http_url: str, issuer: FakeIssuer, far: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Run:
    environment(monkeypatch, http_url, issuer)
    monkeypatch.setenv("KHEOPS_OUTBOUND_ALLOWED", far.destination)
    return lambda body: serve(http_world, issuer, body)


async def album_of(served: Served, owner: str, *members: str) -> str:
    album: str = (await served.call("POST", "/api/albums", by=owner, form={"name": "Hearts"})).json()["album_id"]
    for member in members:
        assert (await served.call("GET", "/api/inboxinfo", by=member)).status_code == 200
        added = await served.call("PUT", f"/api/albums/{album}/users/{member}@example.org", by=owner)
        assert added.status_code == 201
    return album


async def hook_of(served: Served, owner: str, album: str, **form: Any) -> str:
    made = await served.call("POST", f"/api/albums/{album}/webhooks", by=owner, form={**FORM, **form})
    assert made.status_code == 201, made.text
    webhook: str = made.json()["id"]
    return webhook


async def deliver() -> None:
    from kheops import factory

    await (await factory.open_process()).outbox.run_once()


def test_a_webhook_is_answered_with_exactly_kheops_fields_and_never_with_its_secret(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        path = f"/api/albums/{album}/webhooks"
        form = {**FORM, "event": ["NEW_SERIES", "new_user"]}
        made = await served.call("POST", path, by="alice", form=form)  # type: ignore[arg-type]
        assert made.status_code == 201
        hook = made.json()
        webhook = hook["id"]
        assert re.fullmatch(r"[A-Za-z0-9]{20}", webhook)
        assert hook == {
            "id": webhook,
            "url": "https://hook.example/",
            "name": "My hook",
            "use_secret": True,
            "events": ["new_series", "new_user"],
            "enabled": True,
            "number_of_triggers": 0,
            "last_triggers": [],
        }
        listed = await served.call("GET", path, by="alice")
        assert (listed.status_code, listed.headers["x-total-count"], listed.json()) == (200, "1", [hook])
        got = await served.call("GET", f"{path}/{webhook}", by="alice")
        assert got.json() == {**hook, "triggers": []}
        events = await served.call("GET", f"/api/albums/{album}/events?types=mutations&family=webhooks", by="alice")
        assert [event["mutation_type"] for event in events.json()] == ["CREATE_WEBHOOK"]
        for answer in (made, listed, got, events):
            assert "a secret" not in answer.text
        assert ("webhook-created", f"{album} {webhook}") in [(kind, of) for kind, of, _ in served.world.audit()]

    run(body)


@pytest.mark.parametrize(
    "form",
    [
        {"url": None},
        {"url": ""},
        {"url": "http://hook.example/"},
        {"url": "ftp://hook.example/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://169.254.169.254/"},
        {"url": "https://user:pass@hook.example/"},
        {"url": f"https://hook.example/{'x' * 1024}"},
        {"name": None},
        {"name": "  "},
        {"name": "x" * 256},
        {"secret": "x" * 1025},
        {"event": None},
        {"event": "new_moon"},
        {"enabled": "perhaps"},
        {"other": "x"},
        {"name": ["a", "b"]},
    ],
)
def test_a_form_that_is_wrong_is_400(run: Run, form: dict[str, Any]) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        wanted = {name: value for name, value in {**FORM, **form}.items() if value is not None}
        made = await served.call("POST", f"/api/albums/{album}/webhooks", by="alice", form=wanted)
        assert (made.status_code, made.json()["message"]) == (400, "Bad Form Parameter")
        assert served.world.scalar("SELECT count(*) FROM webhooks") == 0

    run(body)


def test_a_webhook_is_changed(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        path = f"/api/albums/{album}/webhooks/{await hook_of(served, 'alice', album)}"

        async def change(**form: Any) -> Any:
            return await served.call("PATCH", path, by="alice", form=form)

        assert (await change(add_event=["new_user", "delete_album"])).json()["events"] == [
            "new_series",
            "new_user",
            "delete_album",
        ]
        assert (await change(remove_event="new_series", add_event="remove_series")).json()["events"] == [
            "remove_series",
            "new_user",
            "delete_album",
        ]
        changed = (await change(event="new_user", name="Other", url="https://other.example/", enabled="false")).json()
        assert (changed["events"], changed["name"], changed["url"], changed["enabled"], changed["use_secret"]) == (
            ["new_user"],
            "Other",
            "https://other.example/",
            False,
            True,
        )
        assert not (await change(secret="")).json()["use_secret"]
        told = "SELECT (SELECT count(*) FROM events), (SELECT max(last_event_at) FROM albums)"
        before = served.world.rows(told)
        for nothing in ({}, {"secret": ""}, {"name": "Other", "enabled": "false"}):
            assert (await change(**nothing)).status_code == 200
        assert served.world.rows(told) == before, "what changes nothing is no event"
        for wrong in (
            {"event": "new_user", "add_event": "new_series"},
            {"remove_event": "new_user"},
            {"url": "https://10.0.0.1/"},
            {"name": ""},
        ):
            assert (await change(**wrong)).status_code == 400, wrong
        assert (await served.call("GET", path, by="alice")).json() == {
            **changed,
            "use_secret": False,
            "triggers": [],
        }

    run(body)


def test_a_webhook_is_deleted(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        path = f"/api/albums/{album}/webhooks/{await hook_of(served, 'alice', album)}"
        deleted = await served.call("DELETE", path, by="alice")
        assert (deleted.status_code, deleted.content) == (204, b"")
        again = await served.call("DELETE", path, by="alice")
        assert (again.status_code, again.json()["message"]) == (404, "Webhook Not Found")

    run(body)


def test_lists_are_paged_and_filtered_by_url(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        hooks = [await hook_of(served, "alice", album, url=f"https://h{n % 2}.example/") for n in range(4)]
        path = f"/api/albums/{album}/webhooks"
        page = await served.call("GET", f"{path}?limit=2&offset=1", by="alice")
        assert ([hook["id"] for hook in page.json()], page.headers["x-total-count"]) == (hooks[1:3], "4")
        found = await served.call("GET", f"{path}?url=https%3A%2F%2Fh1.example%2F", by="alice")
        assert ([hook["id"] for hook in found.json()], found.headers["x-total-count"]) == ([hooks[1], hooks[3]], "2")
        assert (await served.call("GET", f"{path}?limit=0", by="alice")).status_code == 400

    run(body)


def test_the_log_of_deliveries_is_read_in_pages(run: Run, far: Receiver) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        webhook = await hook_of(served, "alice", album, url=far.url)
        path = f"/api/albums/{album}/webhooks/{webhook}"
        far.statuses = [500]
        for _ in range(7):
            tried = await served.call("POST", f"{path}/trigger", by="alice", form={"event": "new_user", "user": "bob"})
            assert (tried.status_code, tried.content) == (202, b"")
            await deliver()
        whole = (await served.call("GET", path, by="alice")).json()
        assert whole["number_of_triggers"] == 7
        triggers = whole["triggers"]
        assert [each["id"] for each in triggers] == [got.headers["x-kheops-delivery"] for got in reversed(far.got)]
        person = {
            "email": "bob@example.org",
            "name": "Bob",
            "iss": served.issuer.issuer,
            "sub": "bob",
            "is_admin": False,
        }
        assert {(each["is_manual_trigger"], each["event"]) for each in triggers} == {(True, "new_user")}
        assert triggers[0]["user"] == person
        assert [(each["status"], each["attempt"]) for each in triggers[6]["attempts"]] == [(500, 1)]
        page = (await served.call("GET", f"{path}?limit=2&offset=5", by="alice")).json()
        assert page["triggers"] == triggers[5:]
        [listed] = (await served.call("GET", f"/api/albums/{album}/webhooks", by="alice")).json()
        assert listed["last_triggers"] == [{"id": each["id"], "status": "pass"} for each in triggers[:5]]

    run(body)


def test_what_is_on_its_way_has_no_status_yet(run: Run, far: Receiver) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        path = f"/api/albums/{album}/webhooks"
        webhook = await hook_of(served, "alice", album, url=far.url, enabled="false")
        form = {"event": "new_user", "user": "bob@example.org"}
        await served.call("POST", f"{path}/{webhook}/trigger", by="alice", form=form)
        [listed] = (await served.call("GET", path, by="alice")).json()
        assert [sorted(each) for each in listed["last_triggers"]] == [["id"]]
        far.status = 404
        await deliver()
        [listed] = (await served.call("GET", path, by="alice")).json()
        assert [each["status"] for each in listed["last_triggers"]] == ["fail"], "a disabled one is tried all the same"

    run(body)


def test_a_trial_of_new_series_tells_of_series_in_the_album_only(run: Run, far: Receiver) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        webhook = await hook_of(served, "alice", album, url=far.url)
        key = served.world.key(album)  # type: ignore[arg-type]
        held, other = served.world.series(key), served.world.series()
        path = f"/api/albums/{album}/webhooks/{webhook}/trigger"

        async def trial(**form: Any) -> int:
            wanted = {"event": "new_series", **form}
            return (await served.call("POST", path, by="alice", form=wanted)).status_code

        assert await trial(StudyInstanceUID=held.study, SeriesInstanceUID=held.series) == 202
        assert await trial(StudyInstanceUID=other.study, SeriesInstanceUID=other.series) == 404
        assert await trial(StudyInstanceUID="1.9.9", SeriesInstanceUID="1.9.8") == 404
        assert await trial(StudyInstanceUID=held.study, SeriesInstanceUID=[held.series, other.series]) == 404
        for wrong in (
            {},
            {"StudyInstanceUID": held.study},
            {"SeriesInstanceUID": held.series},
            {"StudyInstanceUID": "x", "SeriesInstanceUID": held.series},
            {"StudyInstanceUID": held.study, "SeriesInstanceUID": held.series, "user": "alice"},
            {"event": "new_user"},
            {"event": "new_user", "user": "alice", "StudyInstanceUID": held.study},
            {"event": "remove_series"},
        ):
            assert await trial(**wrong) == 400, wrong
        assert await trial(event="new_user", user="nobody") == 404
        await deliver()
        assert [got.headers["x-kheops-event"] for got in far.got] == ["new_series"]
        log = (await served.call("GET", path.removesuffix("/trigger"), by="alice")).json()["triggers"]
        assert log[0]["study"] == {"UID": held.study, "series": [{"UID": held.series}]}

    run(body)


def test_only_people_who_administer_the_album_know_its_webhooks(run: Run) -> None:
    async def body(served: Served) -> None:
        album, other = await album_of(served, "alice", "bob"), await album_of(served, "alice")
        webhook, elsewhere = await hook_of(served, "alice", album), await hook_of(served, "alice", other)
        unused = "Zz" + "0" * 18
        scope = {"title": "t", "scope_type": "user", "read_permission": "true", "write_permission": "true"}
        secret = (await served.call("POST", "/api/capabilities", by="alice", form=scope)).json()["access_token"]
        path = f"/api/albums/{album}/webhooks"
        calls: list[tuple[str, str, dict[str, str] | None]] = [
            ("GET", path, None),
            ("POST", path, FORM),
            ("GET", f"{path}/{webhook}", None),
            ("PATCH", f"{path}/{webhook}", {"name": "x"}),
            ("POST", f"{path}/{webhook}/trigger", {"event": "new_user", "user": "bob"}),
            ("DELETE", f"{path}/{webhook}", None),
        ]
        await served.call("GET", "/api/albums", by="carol")
        for method, where, form in calls:
            assert (await served.call(method, where, by="bob", form=form)).status_code == 403, where
            assert (await served.call(method, where, token=secret, form=form)).status_code == 403, where
            outside = await served.call(method, where, by="carol", form=form)
            absent = await served.call(method, where.replace(album, "Zz00000000"), by="carol", form=form)
            assert (outside.status_code, outside.content) == (absent.status_code, absent.content)
            assert outside.status_code == 404
            assert (await served.call(method, where, form=form)).status_code == 401
            if webhook not in where:
                continue
            # One of another album of hers is as absent as one that never was.
            answers = [
                await served.call(method, where.replace(webhook, each), by="alice", form=form)
                for each in (elsewhere, unused)
            ]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
        assert served.world.scalar("SELECT count(*) FROM webhooks") == 2

    run(body)


def test_an_album_has_fifty_webhooks_at_most_also_when_many_are_made_at_once(run: Run) -> None:
    async def body(served: Served) -> None:
        import asyncio

        album = await album_of(served, "alice")
        for _ in range(47):
            await hook_of(served, "alice", album)
        path = f"/api/albums/{album}/webhooks"
        made = await asyncio.gather(*(served.call("POST", path, by="alice", form=FORM) for _ in range(6)))
        assert sorted(answer.status_code for answer in made) == [201] * 3 + [409] * 3
        assert served.world.scalar("SELECT count(*) FROM webhooks") == 50

    run(body)


def test_events_that_are_added_at_once_are_all_there(run: Run) -> None:
    async def body(served: Served) -> None:
        import asyncio

        album = await album_of(served, "alice")
        path = f"/api/albums/{album}/webhooks/{await hook_of(served, 'alice', album)}"
        added = ("remove_series", "new_user", "delete_album")
        await asyncio.gather(*(served.call("PATCH", path, by="alice", form={"add_event": event}) for event in added))
        assert set((await served.call("GET", path, by="alice")).json()["events"]) == {"new_series", *added}

    run(body)
