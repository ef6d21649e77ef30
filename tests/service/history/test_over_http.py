"""Comments, histories, favourites, lookups and metrics as clients of KHEOPS see them."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from kheops.storage.holdings import Selection
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.history.world import HistoryWorld

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]

ABSENT = "1.2.999"


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: HistoryWorld, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    rules = [{"issuer": issuer.issuer, "claim": "groups", "value": "kheops-administrators"}]
    monkeypatch.setenv("KHEOPS_ADMINISTRATORS", json.dumps(rules))
    return lambda body: serve(world, issuer, body)


async def scene(served: Served) -> tuple[str, Selection]:
    """Give an album of Alice's with Bob in it, and a series that it holds; Eve is known and in nothing."""
    for sub in ("bob", "eve"):
        assert (await served.call("GET", "/api/inboxinfo", by=sub)).status_code == 200
    made = await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})
    album: str = made.json()["album_id"]
    assert (await served.call("PUT", f"/api/albums/{album}/users/bob", by="alice")).status_code == 201
    key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
    return album, served.world.series(key)


def without_time(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for entry in entries:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", entry.pop("post_date"))
    return entries


def test_a_history_is_answered_with_exactly_kheops_fields(run: Run) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)
        path = f"/api/studies/{series.study}/series/{series.series}/favorites?album={album}"
        assert (await served.call("PUT", path, by="alice")).status_code == 204
        form = {"comment": " psst ", "to_user": "bob@example.org"}
        said = await served.call("POST", f"/api/albums/{album}/comments", by="alice", form=form)
        assert (said.status_code, said.content) == (204, b"")
        alice = {
            "email": "alice@example.org",
            "name": "Alice",
            "iss": served.issuer.issuer,
            "sub": "alice",
            "can_access": True,
            "is_admin": True,
        }
        bob = {**alice, "email": "bob@example.org", "name": "Bob", "sub": "bob", "is_admin": False}
        answer = await served.call("GET", f"/api/albums/{album}/events?limit=3", by="bob")
        assert (answer.status_code, answer.headers["x-total-count"]) == (200, "4")
        assert without_time(answer.json()) == [
            {"event_type": "Comment", "source": alice, "comment": "psst", "is_private": True, "target": bob},
            {
                "event_type": "Mutation",
                "source": alice,
                "mutation_type": "ADD_FAV",
                "study": {"UID": series.study, "series": [{"UID": series.series, "is_present_in_album": True}]},
            },
            {"event_type": "Mutation", "source": alice, "mutation_type": "ADD_USER", "target": bob},
        ]

    run(body)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["loud", "ADD_USER", "CREATE_ALBUM"]),
        ("types=comments", ["loud"]),
        ("types=mutations", ["ADD_USER", "CREATE_ALBUM"]),
        ("types=mutations&types=comments&limit=1&offset=2", ["CREATE_ALBUM"]),
        ("types=mutations&type=CREATE_ALBUM", ["CREATE_ALBUM"]),
        ("types=mutations&family=Users", ["ADD_USER"]),
        ("types=mutations&family=users&type=CREATE_ALBUM", []),
        ("types=mutations&family=report_provider", []),
        ("types=mutations&user=alice", ["ADD_USER", "CREATE_ALBUM"]),
        ("types=mutations&user=bob", []),
        ("types=mutations&studies=1.2.999&studies=1.2.998", []),
        ("types=mutations&series=1.2.999", []),
        ("types=mutations&capabilityToken=absent0000", []),
        ("types=mutations&startDate=2020-01-01&endDate=2999-12-31", ["ADD_USER", "CREATE_ALBUM"]),
        ("types=mutations&startDate=2999-12-31%2023:59:59", []),
        ("types=mutations&endDate=9999-12-31", ["ADD_USER", "CREATE_ALBUM"]),
    ],
)
def test_filters_of_a_history(run: Run, query: str, expected: list[str]) -> None:
    async def body(served: Served) -> None:
        album, _ = await scene(served)
        said = await served.call("POST", f"/api/albums/{album}/comments", by="bob", form={"comment": "loud"})
        assert said.status_code == 204
        answer = await served.call("GET", f"/api/albums/{album}/events?{query}", by="alice")
        assert [each.get("comment", each.get("mutation_type")) for each in answer.json()] == expected

    run(body)


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/api/albums/{album}/events?types=others", None),
        ("GET", "/api/albums/{album}/events?type=CREATE_ALBUM", None),
        ("GET", "/api/albums/{album}/events?types=comments&user=alice", None),
        ("GET", "/api/albums/{album}/events?types=mutations&type=NONE", None),
        ("GET", "/api/albums/{album}/events?types=mutations&family=none", None),
        ("GET", "/api/albums/{album}/events?types=mutations&studies=x", None),
        ("GET", "/api/albums/{album}/events?types=mutations&series=x", None),
        ("GET", "/api/albums/{album}/events?types=mutations&capabilityToken=x", None),
        ("GET", "/api/albums/{album}/events?types=mutations&startDate=2026-02-30", None),
        ("GET", "/api/albums/{album}/events?types=mutations&endDate=20260101", None),
        ("GET", "/api/albums/{album}/events?limit=0", None),
        ("GET", "/api/albums/{album}/events?x=1", None),
        ("GET", "/api/albums?created_time=2026", None),
        ("GET", "/api/albums?created_time=-", None),
        ("GET", "/api/albums?last_event_time=20260230", None),
        ("GET", "/api/albums?last_event_time=20260101-20260102-", None),
        ("GET", "/api/albums?fuzzymatching=maybe", None),
        ("GET", "/api/albums?sort=number_of_series", None),
        ("POST", "/api/albums/{album}/comments", {}),
        ("POST", "/api/albums/{album}/comments", {"comment": " "}),
        ("POST", "/api/albums/{album}/comments", {"comment": "x" * 1025}),
        ("POST", "/api/albums/{album}/comments", {"comment": "x", "to_user": ""}),
        ("POST", "/api/albums/{album}/comments", {"comment": "x", "other": "y"}),
        ("POST", "/api/studies/{study}/comments", {"comment": " "}),
        ("POST", "/api/studies/{study}/comments", {"comment": "x" * 1025}),
        ("POST", "/api/studies/{study}/comments", {"comment": "x", "to_user": ""}),
        ("GET", "/api/studies/{study}/comments?limit=0", None),
        ("PUT", "/api/studies/{study}/favorites", None),
        ("PUT", "/api/studies/{study}/favorites?inbox=false", None),
        ("DELETE", "/api/studies/{study}/favorites?inbox=true&album={album}", None),
        ("PUT", "/api/studies/{study}/favorites?album={album}&album={album}", None),
        ("GET", "/api/studies?favorite=true", None),
        ("GET", "/api/studies?favorite=false&inbox=true", None),
        ("GET", "/api/studies?includefield=favorite", None),
        ("GET", "/api/studies?includefield=00012345", None),
        ("GET", "/api/studies/{study}/series?favorite=false", None),
        ("GET", "/api/studies/{study}/instances?favorite=true&inbox=true", None),
        ("GET", "/api/users", None),
        ("GET", "/api/users?search=ab", None),
        ("GET", "/api/users?search=abc&reference=bob", None),
        ("GET", "/api/users?reference=bob&limit=1", None),
        ("GET", "/api/users?search=bob&studyInstanceUID=x", None),
        ("GET", "/api/metrics?x=1", None),
    ],
)
def test_a_bad_form_or_query_is_refused(run: Run, method: str, path: str, form: dict[str, str] | None) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)
        filled = path.format(album=album, study=series.study)
        answer = await served.call(method, filled, by="alice", form=form)
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]

    run(body)


def test_the_life_of_comments_on_a_study(run: Run) -> None:
    async def body(served: Served) -> None:
        _, series = await scene(served)
        path = f"/api/studies/{series.study}/comments"
        assert (await served.call("GET", path, by="bob")).json() == []
        for number in range(3):
            said = await served.call("POST", path, by="alice", form={"comment": f"no {number}"})
            assert (said.status_code, said.content) == (204, b"")
        page = await served.call("GET", f"{path}?limit=1&offset=1", by="bob")
        assert (page.status_code, page.headers["x-total-count"]) == (200, "3")
        assert without_time(page.json()) == [
            {
                "event_type": "Comment",
                "source": {
                    "email": "alice@example.org",
                    "name": "Alice",
                    "iss": served.issuer.issuer,
                    "sub": "alice",
                    "can_access": True,
                },
                "comment": "no 1",
                "is_private": False,
            }
        ]
        kinds = [(kind, list(uids)) for kind, uids in served.world.rows("SELECT kind, study_instance_uids FROM audit")]
        assert kinds.count(("comment-written", [series.study])) == 3
        assert kinds.count(("comment-read", [series.study])) == 1

    run(body)


def test_hidden_and_absent_studies_answer_alike(run: Run) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)

        async def answers(study: str, of: str) -> list[tuple[int, bytes]]:
            asked: list[httpx.Response] = [
                await served.call("GET", f"/api/studies/{study}/comments", by="eve"),
                await served.call("POST", f"/api/studies/{study}/comments", by="eve", form={"comment": "x"}),
                await served.call("PUT", f"/api/studies/{study}/favorites?inbox=true", by="eve"),
                await served.call("DELETE", f"/api/studies/{study}/favorites/?album={of}", by="eve"),
                await served.call("GET", f"/api/users?search=alice&studyInstanceUID={study}", by="eve"),
                await served.call("GET", f"/api/users?reference=alice&studyInstanceUID={study}", by="eve"),
                await served.call("GET", f"/api/albums/{of}/events", by="eve"),
                await served.call("POST", f"/api/albums/{of}/comments", by="eve", form={"comment": "x"}),
            ]
            return [(each.status_code, each.content) for each in asked]

        hidden, absent = await answers(series.study, album), await answers(ABSENT, "absent0000")
        assert hidden == absent
        assert {status for status, _ in hidden} == {404}
        refused = served.world.scalar("SELECT count(*) FROM audit WHERE outcome = 'refused'")
        assert refused == 16

    run(body)


def test_favourites_are_found_by_searches_in_their_place(run: Run) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)
        key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
        second = served.world.series(key, study=series.study)
        other = served.world.series(key)
        path = f"/api/studies/{series.study}/series/{series.series}/favorites?album={album}"
        assert (await served.call("PUT", path, by="bob")).status_code == 204

        async def found(query: str, tag: str) -> list[Any]:
            answer = await served.call("GET", f"/api/{query}", by="alice")
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-total-count"] == str(len(answer.json()))
            return [row[tag]["Value"][0] for row in answer.json()]

        assert await found(f"studies?album={album}&favorite=true", "0020000D") == [series.study]
        assert await found("studies?inbox=true&favorite=true", "0020000D") == []
        counts = f"studies?album={album}&includefield=favorite&sort=StudyInstanceUID"
        by_study = dict(zip(await found(counts, "0020000D"), await found(counts, "00012345"), strict=True))
        assert by_study == {series.study: 1, other.study: 0}
        below = f"studies/{series.study}/series?album={album}"
        assert await found(f"{below}&favorite=true", "0020000E") == [series.series]
        assert await found(f"{below}&favorite=false", "0020000E") == [second.series]
        marks = f"{below}&includefield=00012345&sort=SeriesInstanceUID"
        by_series = dict(zip(await found(marks, "0020000E"), await found(marks, "00012345"), strict=True))
        assert by_series == {series.series: "true", second.series: "false"}
        shown = await served.call("GET", f"/api/{marks}", by="alice")
        assert {row["00012345"]["vr"] for row in shown.json()} == {"SH"}
        plain = await served.call("GET", f"/api/studies?album={album}&includefield=all", by="alice")
        assert not any("00012345" in row or "00012346" in row for row in plain.json())

    run(body)


def test_searches_count_the_comments_that_the_caller_reads(run: Run) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)
        path = f"/api/studies/{series.study}/comments"
        for form in ({"comment": "loud"}, {"comment": "psst", "to_user": "alice"}):
            assert (await served.call("POST", path, by="alice", form=form)).status_code == 204
        for by, number in (("alice", 2), ("bob", 1)):
            for field in ("comments", "00012346"):
                (row,) = (await served.call("GET", f"/api/studies?includefield={field}", by=by)).json()
                assert row["00012346"] == {"vr": "IS", "Value": [number]}
        below = await served.call("GET", f"/api/studies/{series.study}/series?includefield=00012346", by="bob")
        assert not [row for row in below.json() if "00012346" in row], "of studies alone"
        wanted = {"title": "PACS", "scope_type": "album", "album": album, "read_permission": "true"}
        made = await served.call("POST", "/api/capabilities", by="alice", form=wanted)
        assert made.status_code == 201, made.text
        link = f"/api/link/{made.json()['access_token']}"
        (row,) = (await served.call("GET", f"{link}/studies?includefield=comments")).json()
        assert "00012346" not in row, "the token reads no comments, and counts none"
        refused = await served.call("GET", f"{link}/studies/{series.study}/comments")
        assert refused.status_code == 403

    run(body)


def test_people_are_looked_up_and_searched(run: Run) -> None:
    async def body(served: Served) -> None:
        album, series = await scene(served)
        bob = {"email": "bob@example.org", "name": "Bob", "iss": served.issuer.issuer, "sub": "bob"}
        answer = await served.call("GET", "/api/users?search=bob", by="alice")
        assert (answer.status_code, answer.json(), answer.headers["x-total-count"]) == (200, [bob], "1")
        empty = await served.call("GET", "/api/users?search=eve", by="alice")
        assert (empty.status_code, empty.content, empty.headers["x-total-count"]) == (204, b"", "0")
        regard = f"album={album}&studyInstanceUID={series.study}"
        one = await served.call("GET", f"/api/users?reference=bob&{regard}", by="alice")
        assert one.json() == {**bob, "album_access": True, "study_access": True}
        eve = await served.call("GET", f"/api/users?reference=eve&{regard}", by="alice")
        assert (eve.json()["album_access"], eve.json()["study_access"]) == (False, False)
        both = await served.call("GET", f"/api/users?search=example&{regard}", by="alice")
        assert both.status_code == 204
        assert (await served.call("GET", f"/api/users?search=bob&{regard}", by="alice")).json() == [bob]

    run(body)


def test_metrics_are_for_whoever_presents_the_administrators_claim(run: Run) -> None:
    async def body(served: Served) -> None:
        await scene(served)
        assert (await served.call("GET", "/api/metrics")).status_code == 401
        assert (await served.call("GET", "/api/metrics", by="alice")).status_code == 403
        for groups in ([], ["others"], ["kheops-administrators-not"]):
            token = served.token("alice", groups=groups, jti=f"jti-{groups}")
            assert (await served.call("GET", "/api/metrics", token=token)).status_code == 403
        token = served.token("dora", groups=["others", "kheops-administrators"])
        answer = await served.call("GET", "/api/metrics", token=token)
        assert answer.status_code == 200
        counts = answer.json()
        assert (counts["number_of_users"], counts["number_of_albums"]) == (4, 1)
        assert counts["users_in_album_histogram"] == [{"nb_users": 2, "nb_albums": 1}]
        assert counts["series_in_album_histogram"] == [{"nb_series": 1, "nb_albums": 1}]
        assert counts["series_in_study_histogram"] == [{"nb_series": 1, "nb_studies": 1}]
        assert served.world.scalar("SELECT count(*) FROM audit WHERE kind = 'metrics-read'") == 5

    run(body)


def test_albums_are_searched_by_kheops_parameters(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _ = await scene(served)
        for query, number in (
            ("name=hea*", 1),
            ("name=lung", 0),
            ("name=", 1),
            ("name=Herts&fuzzymatching=true", 1),
            ("modality=ct", 1),
            ("modality=MR", 0),
            ("created_time=20200101-", 1),
            ("created_time=20200101", 0),
            ("last_event_time=-20200101", 0),
            ("last_event_time=20200101-29990101&sort=-number_of_comments", 1),
        ):
            answer = await served.call("GET", f"/api/albums?{query}", by="bob")
            assert (answer.status_code, answer.headers["x-total-count"]) == (200, str(number)), query
        assert (await served.call("POST", f"/api/albums/{album}/comments", by="bob", form={"comment": "x"})).is_success
        (listed,) = (await served.call("GET", "/api/albums", by="alice")).json()
        assert listed["number_of_comments"] == 1

    run(body)
