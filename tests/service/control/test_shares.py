"""``POST /shares``: chosen series go all together or not at all."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from kheops.ids import AlbumId, AlbumPk
from kheops.services.sharing import Selection
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import capability, inbox, known, viewer_of
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.control.world import World

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    monkeypatch.setenv("KHEOPS_SHARED_SERIES", "5")
    return lambda body: serve(world, issuer, body)


def _chosen(*series: Selection) -> list[dict[str, str | None]]:
    return [{"StudyInstanceUID": each.study, "SeriesInstanceUID": each.series} for each in series]


async def _share(
    served: Served, by: str | None, body: object, *, token: str | None = None, content_type: str = "application/json"
) -> httpx.Response:
    headers = {"content-type": content_type}
    if by is not None or token is not None:
        headers["authorization"] = f"Bearer {token or served.token(by or '')}"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await served.api.post("/api/shares", content=content, headers=headers)


async def _album(served: Served, by: str) -> tuple[str, AlbumPk]:
    album = (await served.call("POST", "/api/albums", by=by, form={"name": "A"})).json()["album_id"]
    return album, AlbumPk(served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album))


def test_chosen_series_go_into_an_album_with_an_event_for_each_study(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        own = inbox(served, "alice")
        first = served.world.series(own)
        second = served.world.series(own, study=first.study)
        third = served.world.series(own)
        stays = served.world.series(own, study=first.study)
        album, key = await _album(served, "alice")
        answer = await _share(
            served, "alice", {"series": _chosen(third, first, second, first), "target": {"album": album}}
        )
        assert (answer.status_code, answer.content) == (201, b"")
        for each in (first, second, third):
            assert served.world.holders(each) == {own, key}
        assert served.world.holders(stays) == {own}
        events = served.world.rows(
            "SELECT study_instance_uid, series_instance_uids FROM events WHERE mutation_type = 'IMPORT_SERIES'"
        )
        assert sorted((row[0], sorted(row[1])) for row in events) == sorted(
            [
                (first.study, sorted([str(first.series), str(second.series)])),
                (third.study, [str(third.series)]),
            ]
        )
        shared = [row for row in served.world.audit() if row[0] == "share"]
        assert len(shared) == 1
        assert set(shared[0][2]) == {first.series, second.series, third.series}
        again = await _share(served, "alice", {"series": _chosen(first), "target": {"album": album}})
        assert again.status_code == 201
        assert served.world.events(AlbumId(album)) == ["CREATE_ALBUM", "IMPORT_SERIES", "IMPORT_SERIES"]

    run(body)


def test_chosen_series_go_into_somebodys_inbox(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        own, bobs = inbox(served, "alice"), inbox(served, "bob")
        first, second = served.world.series(own), served.world.series(own)
        body = {"series": _chosen(first, second), "target": {"user": "bob@example.org"}}
        assert (await _share(served, "alice", body)).status_code == 201
        assert served.world.holders(first) == served.world.holders(second) == {own, bobs}
        nobody = {**body, "target": {"user": "nobody@example.org"}}
        answer = await _share(served, "alice", nobody)
        assert (answer.status_code, answer.json()["message"]) == (404, "User Not Found")

    run(body)


def test_chosen_series_go_behind_a_link(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        own = inbox(served, "alice")
        first, second = served.world.series(own), served.world.series(own)
        body: dict[str, Any] = {
            "series": _chosen(first, second),
            "target": {"link": {"title": "Two", "max_uses": 3, "download_permission": True}},
        }
        answer = await _share(served, "alice", body)
        assert answer.status_code == 201, answer.text
        link = answer.json()
        assert (link["title"], link["max_uses"], link["download_permission"]) == ("Two", 3, True)
        opened = await served.call("POST", f"/api/links/{link['id']}/open", form={"secret": link["secret"]})
        found = await served.call("GET", "/api/studies", token=opened.json()["access_token"])
        assert {row["0020000D"]["Value"][0] for row in found.json()} == {first.study, second.study}
        hidden = _chosen(first, Selection(first.study, served.world.series(AlbumPk(own), state="orphan").series))
        assert (await _share(served, "alice", {**body, "series": hidden})).status_code == 404
        assert served.world.scalar("SELECT count(*) FROM links") == 1
        for wrong in ("x", {}, {"title": "t", "album": "x"}, {"title": ["t"]}, {"title": "t", "max_uses": 0}):
            assert (await _share(served, "alice", {**body, "target": {"link": wrong}})).status_code == 400, wrong
        assert (await _share(served, "alice", {**body, "source": {"inbox": True}})).status_code == 400

    run(body)


def test_one_series_that_may_not_go_keeps_all_back_and_hidden_is_as_absent(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob", "carol")
        own, bobs, carols = (inbox(served, sub) for sub in ("alice", "bob", "carol"))
        mine = served.world.series(own)
        hidden = served.world.series(carols, study=mine.study)
        misplaced = Selection(hidden.study, served.world.series(own).series)
        album, key = await _album(served, "carol")
        no_sending = await served.call("PATCH", f"/api/albums/{album}", by="carol", form={"sendSeries": "false"})
        assert no_sending.status_code == 200
        assert (
            await served.call("PUT", f"/api/albums/{album}/users/alice@example.org", by="carol")
        ).status_code == 201
        read_only = served.world.series(key)
        own_album, _ = await _album(served, "alice")
        orphan = served.world.series(state="orphan")
        unused = Selection(mine.study, "1.2.999.1")  # type: ignore[arg-type]
        for target in ({"user": "bob@example.org"}, {"album": own_album}):
            answers = [
                await _share(served, "alice", {"series": _chosen(mine, each), "target": target})
                for each in (hidden, unused, misplaced, read_only, orphan)
            ]
            assert [each.status_code for each in answers] == [404] * 5
            assert len({each.text for each in answers}) == 1
        assert served.world.holders(mine) == {own}
        assert bobs not in served.world.holders(hidden)
        refused = served.world.rows("SELECT count(*) FROM audit WHERE kind = 'share' AND outcome = 'refused'")
        assert refused[0][0] == 10

    run(body)


def test_a_source_narrows_where_the_series_come_from(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        album, key = await _album(served, "alice")
        series = served.world.series(key)
        body = {"series": _chosen(series), "target": {"user": "bob@example.org"}}
        assert (await _share(served, "alice", {**body, "source": {"inbox": True}})).status_code == 404
        assert (await _share(served, "alice", {**body, "source": {"album": "Zz00000000"}})).status_code == 404
        assert (await _share(served, "alice", {**body, "source": {"album": "x"}})).status_code == 404
        assert (await _share(served, "alice", {**body, "source": {"album": album}})).status_code == 201
        assert (await _share(served, "alice", {**body, "source": {"inbox": False}})).status_code == 201

    run(body)


def test_tokens_share_only_what_they_may_pass_on(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        series = served.world.series(inbox(served, "alice"))
        body = {"series": _chosen(series), "target": {"user": "bob@example.org"}}
        reader, _ = await capability(served, "alice")
        passer, _ = await capability(served, "alice", appropriate_permission="true")
        viewer = await viewer_of(served, served.token("alice"), series.study)
        assert (await _share(served, None, body, token=reader)).status_code == 403
        assert (await _share(served, None, body, token=viewer)).status_code == 403
        assert (await _share(served, None, body, token="bad")).status_code == 401
        assert (await _share(served, None, body)).status_code == 401
        assert (await _share(served, None, body, token=passer)).status_code == 201
        album, _ = await _album(served, "bob")
        strange = await _share(served, "alice", {**body, "target": {"album": album}})
        assert (strange.status_code, strange.json()["message"]) == (404, "Album Not Found")

    run(body)


ONE = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"}
GOOD = {"series": [ONE], "target": {"user": "bob"}}
BAD: dict[str, object] = {
    "no json": b"{",
    "not utf-8": b'{"series": "\xff"}',
    "no object": [],
    "a member twice": b'{"series": [], "series": [], "target": {"user": "b"}}',
    "an unknown member": {**GOOD, "album": "x"},
    "no series": {**GOOD, "series": []},
    "series that are no list": {**GOOD, "series": ONE},
    "too many series": {**GOOD, "series": [{**ONE, "SeriesInstanceUID": f"1.{n}"} for n in range(6)]},
    "half a series": {**GOOD, "series": [{"StudyInstanceUID": "1.2"}]},
    "more than a series": {**GOOD, "series": [{**ONE, "SOPInstanceUID": "1.4"}]},
    "no uid": {**GOOD, "series": [{**ONE, "SeriesInstanceUID": "x"}]},
    "a number for a uid": {**GOOD, "series": [{**ONE, "SeriesInstanceUID": 12}]},
    "no target": {"series": [ONE]},
    "two targets": {**GOOD, "target": {"user": "bob", "album": "x"}},
    "an unknown target": {**GOOD, "target": {"group": "x"}},
    "a target that is no text": {**GOOD, "target": {"user": 7}},
    "a source that is none": {**GOOD, "source": {"inbox": "true"}},
}


@pytest.mark.parametrize("bad", BAD)
def test_a_body_that_cannot_be_understood_is_refused(run: Run, bad: str) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        assert (await _share(served, "alice", BAD[bad])).status_code == 400

    run(body)


def test_bodies_that_are_no_json_or_too_large_are_refused(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        assert (await _share(served, "alice", GOOD, content_type="text/plain")).status_code == 415
        assert (await _share(served, "alice", b" " * (1024 * 1024 + 1))).status_code == 413
        query = await served.api.post(
            "/api/shares?album=x", headers={"authorization": f"Bearer {served.token('alice')}"}
        )
        assert query.status_code == 400

    run(body)


def test_two_shares_that_cross_wait_for_each_other_and_both_end(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob", "carol")
        own = inbox(served, "alice")
        series = [served.world.series(own) for _ in range(5)]
        targets = ("bob@example.org", "carol@example.org")
        answers = await asyncio.gather(
            *(
                _share(
                    served,
                    "alice",
                    {"series": _chosen(*(series if n % 2 else reversed(series))), "target": {"user": targets[n % 2]}},
                )
                for n in range(8)
            )
        )
        assert {each.status_code for each in answers} == {201}
        for each in series:
            assert served.world.holders(each) == {own, inbox(served, "bob"), inbox(served, "carol")}

    run(body)


@pytest.mark.parametrize(
    "member",
    [
        {"title": "\ud800"},
        {"title": "a\u0000b"},
        {"title": "t", "passcode": "\ud800" * 8},
        {"title": "t", "passcode": "a\u0000bcdefgh"},
        {"title": "t", "expiration_time": "\udfff"},
        {"title": True, "max_uses": "\u0663"},
        {"a\u0000": "t"},
    ],
)
def test_texts_that_no_database_takes_are_refused(run: Run, member: dict[str, object]) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        series = _chosen(served.world.series(inbox(served, "alice")))
        answer = await _share(served, "alice", {"series": series, "target": {"link": member}})
        assert answer.status_code == 400, answer.text
        assert served.world.scalar("SELECT count(*) FROM links") == 0

    run(body)


@pytest.mark.parametrize("wrong", [b"[" * 100_000, b'{"series":' + b"[" * 900 + b"]" * 900 + b', "target": 1}'])
def test_a_body_of_any_depth_is_answered(run: Run, wrong: bytes) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        assert (await _share(served, "alice", wrong)).status_code == 400

    run(body)


def test_a_body_that_breaks_off_is_the_clients_doing(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        sent: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": b'{"series"', "more_body": True},
            {"type": "http.disconnect"},
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/api/shares",
            "raw_path": b"/api/shares",
            "query_string": b"",
            "headers": [
                (b"content-type", b"application/json"),
                (b"authorization", f"Bearer {served.token('alice')}".encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await served.api._transport.app(scope, receive, send)  # type: ignore[attr-defined]
        assert sent[0]["status"] < 500

    run(body)
