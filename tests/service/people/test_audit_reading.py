"""The audit trail as administrators of the installation read it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import Connection

from kheops.domain.albums import Page
from kheops.domain.uses import UseFilter
from kheops.storage import audit_search
from kheops.storage.audit_search import PAGE_BYTES, RecordedUse
from tests.service.control.served import Served
from tests.service.people.asking import album_of, as_root, audited, known
from tests.service.people.conftest import Run

Row = dict[str, object]


async def _rows(served: Served, query: str = "") -> list[Row]:
    answer = await as_root(served, "GET", f"/api/audit{query}")
    assert answer.status_code == 200, answer.text
    rows: list[Row] = answer.json()
    return rows


def _kinds(rows: list[Row]) -> list[object]:
    return [each["kind"] for each in rows]


def _use(served: Served, *, at: datetime, kind: str = "search", **columns: object) -> None:
    values = {"sub": "x", "series": [], "studies": [], "subject": None, "outcome": "granted", **columns}
    served.world.execute(
        "INSERT INTO audit (at, last_at, iss, sub, kind, outcome, study_instance_uids, series_instance_uids, subject, "
        "request_id) VALUES (:at, :at, 'https://elsewhere.example', :sub, :kind, :outcome, :studies, :series, "
        ":subject, 'r')",
        at=at,
        kind=kind,
        **values,
    )


def test_it_tells_who_did_what_to_whom_the_latest_first(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "bob")
        album = await album_of(served, "alice", "bob")
        rows = await _rows(served, f"?album={album}")
        assert _kinds(rows) == ["member-added", "album-created"]
        added, created = rows
        assert (added["sub"], added["subject"]) == ("alice", f"{album} {served.issuer.issuer} bob")
        assert (created["subject"], created["outcome"], created["uses"]) == (album, "granted", 1)
        assert str(created["time"]).endswith("Z")
        assert int(str(added["number"])) > int(str(created["number"]))

    run(body)


def test_it_is_searched_by_person_object_kind_outcome_and_time(run: Run) -> None:
    async def body(served: Served) -> None:
        now = datetime(2026, 5, 1, tzinfo=UTC)
        _use(served, at=now, sub="ann", studies=["1.2"], series=["1.2.3"], kind="read-pixels")
        _use(served, at=now + timedelta(hours=1), sub="ann", studies=["1.2"], series=["1.2.4"], outcome="refused")
        _use(served, at=now + timedelta(hours=2), sub="ben", studies=["1.9"], kind="store")
        elsewhere = quote("https://elsewhere.example", safe="")
        for query, expected in (
            (f"user=ann&issuer={elsewhere}", ["search", "read-pixels"]),
            ("user=ann", []),
            ("study=1.2", ["search", "read-pixels"]),
            ("series=1.2.3", ["read-pixels"]),
            ("series=1.2", []),
            ("kind=store&kind=read-pixels&to=2027-01-01T00:00:00Z", ["store", "read-pixels"]),
            ("study=1.2&outcome=refused", ["search"]),
            ("from=2026-05-01T01:00:00Z&to=2026-05-01T02:00:00Z", ["search"]),
            ("to=2026-05-01T03:00:00%2B02:00", ["read-pixels"]),
        ):
            assert _kinds(await _rows(served, f"?{query}")) == expected, query

    run(body)


def test_a_person_is_found_by_their_address(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        rows = await _rows(served, "?user=alice%40example.org")
        assert {each["sub"] for each in rows} == {"alice"}
        assert (await as_root(served, "GET", "/api/audit?user=nobody%40example.org")).status_code == 404

    run(body)


def test_nobody_waits_for_a_person_whose_uses_are_searched(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    search = audit_search.list_uses
    seen: list[int] = []

    async def body(served: Served) -> None:
        await known(served, "alice")

        def searched(tx: Connection, wanted: UseFilter, page: Page) -> tuple[Sequence[RecordedUse], int]:
            # What each row does that refers to somebody, such as a token of theirs.
            seen.append(served.world.scalar("SELECT 1 FROM users WHERE sub = 'alice' FOR KEY SHARE NOWAIT"))
            return search(tx, wanted, page)

        monkeypatch.setattr(audit_search, "list_uses", searched)
        await _rows(served, "?user=alice%40example.org")
        assert seen == [1]

    run(body)


def test_the_whole_list_is_counted_and_paged(run: Run) -> None:
    async def body(served: Served) -> None:
        for hour in range(5):
            _use(served, at=datetime(2026, 5, 1, hour, tzinfo=UTC), sub=f"p{hour}", studies=["1.2"])
        answer = await as_root(served, "GET", "/api/audit?study=1.2&limit=2&offset=1")
        assert answer.headers["X-Total-Count"] == "5"
        assert [each["sub"] for each in answer.json()] == ["p3", "p2"]

    run(body)


def test_no_more_are_counted_than_a_bound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_search, "COUNTED", 3)

    async def body(served: Served) -> None:
        for hour in range(5):
            _use(served, at=datetime(2026, 5, 1, hour, tzinfo=UTC), studies=["1.3"])
        answer = await as_root(served, "GET", "/api/audit?study=1.3")
        assert (answer.headers["X-Total-Count"], len(answer.json())) == ("3", 5)

    run(body)


def test_a_page_comes_after_a_use_where_many_have_one_time(run: Run) -> None:
    async def body(served: Served) -> None:
        for number in range(5):
            _use(served, at=datetime(2026, 5, 1, tzinfo=UTC), sub=f"p{number}", studies=["1.5"])
        seen = []
        rows = await _rows(served, "?study=1.5&limit=2")
        while rows:
            seen += [each["sub"] for each in rows]
            rows = await _rows(served, f"?study=1.5&limit=2&after={rows[-1]['number']}")
        assert seen == ["p4", "p3", "p2", "p1", "p0"]
        assert await _rows(served, "?study=1.5&after=999999999") == []

    run(body)


def test_a_kind_of_a_newer_release_is_told_as_it_is(run: Run) -> None:
    async def body(served: Served) -> None:
        _use(served, at=datetime(2026, 5, 1, tzinfo=UTC), studies=["1.4"], kind="not-known-here")
        assert _kinds(await _rows(served, "?study=1.4")) == ["not-known-here"]

    run(body)


def test_a_use_that_was_repeated_later_is_among_those_since(run: Run) -> None:
    async def body(served: Served) -> None:
        begun = datetime(2026, 1, 1, 12, tzinfo=UTC)
        _use(served, at=begun, sub="often")
        _use(served, at=begun, sub="once")
        served.world.execute(
            "UPDATE audit SET last_at = :later, uses = 2 WHERE sub = 'often'", later=begun + timedelta(minutes=10)
        )
        since = quote((begun + timedelta(minutes=5)).isoformat())
        rows = await _rows(served, f"?kind=search&from={since}&to={quote((begun + timedelta(hours=1)).isoformat())}")
        assert [each["sub"] for each in rows] == ["often"]

    run(body)


def test_a_page_ends_before_it_is_too_large(run: Run) -> None:
    async def body(served: Served) -> None:
        many = [f"1.2.826.0.1.3680043.8.498.{number:035d}" for number in range(1000)]
        for hour in range(100):
            at = datetime(2026, 5, 1, tzinfo=UTC) + timedelta(hours=hour)
            _use(served, at=at, studies=["1.7", *many], series=many)
        first = await as_root(served, "GET", "/api/audit?study=1.7")
        assert (first.status_code, first.headers["X-Total-Count"]) == (200, "100")
        assert 0 < len(first.json()) < 100
        assert len(first.content) < PAGE_BYTES * 1.1
        one = await _rows(served, "?study=1.7&limit=1&offset=99")
        assert len(one) == 1

    run(body)


def test_reading_it_is_in_it(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        await _rows(served, "?study=1.2.3&series=1.2.3.4&user=alice&album=AAAAAAAAAA")
        await _rows(served)
        assert audited(served, "audit-read") == [
            ("granted", f"AAAAAAAAAA {served.issuer.issuer} alice", None),
            ("granted", None, None),
        ]
        (row,) = await _rows(served, "?study=1.2.3&kind=audit-read")
        assert (row["series_uids"], row["sub"]) == (["1.2.3.4"], "root")

    run(body)


def test_it_is_the_administrators_alone(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "root")
        album = await album_of(served, "alice")
        for query in ("", f"?album={album}", "?study=1.2.3", "?user=alice"):
            assert (await served.call("GET", f"/api/audit{query}", by="alice")).status_code == 403, query
            assert (await served.call("GET", f"/api/audit{query}")).status_code == 401, query
        form = {"title": "t", "scope_type": "user", "read_permission": "true"}
        made = (await as_root(served, "POST", "/api/capabilities", form)).json()
        assert (await served.call("GET", "/api/audit", token=made["access_token"])).status_code == 403
        assert {outcome for outcome, *_ in audited(served, "audit-read")} == {"refused"}

    run(body)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "after=x",
        "after=9999999999999999999",
        "album=x",
        "study=1..2",
        "series=one",
        "kind=everything",
        "outcome=maybe",
        "from=yesterday",
        "to=2026-05-01T00:00:00",
        "from=0001-01-01T00:00:00%2B23:00",
        "issuer=https%3A%2F%2Fx.example",
        "user=%20",
        "name=Doe",
    ],
)
def test_bad_filters_are_told(run: Run, query: str) -> None:
    async def body(served: Served) -> None:
        answer = await as_root(served, "GET", f"/api/audit?{query}")
        assert answer.status_code == 400, answer.text
        assert "Doe" not in answer.text

    run(body)
