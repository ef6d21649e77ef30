"""``verifyInstance`` and ``fetch``, as uploaders and importers made for KHEOPS call them."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from kheops import factory
from kheops.ids import SeriesInstanceUID, UserPk
from kheops.services.sharing import Selection
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import capability, inbox, known
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
    return lambda body: serve(world, issuer, body)


async def _may_add(served: Served, by: str | None, study: str, series: str, *, token: str | None = None) -> bool:
    form = {"studyInstanceUID": study, "seriesInstanceUID": series, "patientName": "Somebody^Else"}
    answer = await served.call("POST", "/api/verifyInstance?skipVerify=true", by=by, token=token, form=form)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["is_valid"] == told["has_series_add_access"] == ("reason" not in told)
    return bool(told["is_valid"])


def test_what_storing_would_let_through_is_valid_and_nothing_is_reserved(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        own = inbox(served, "alice")
        alice = served.world.rows("SELECT pk FROM users WHERE sub = 'alice'")[0][0]
        series = served.world.series(own)
        served.world.execute("UPDATE series SET origin_user_pk = :user", user=alice)
        uid = str(series.series)
        assert await _may_add(served, "alice", series.study, uid)
        assert await _may_add(served, "alice", series.study, "1.2.999")
        assert await _may_add(served, "bob", "1.2.888", "1.2.999")
        # In use, and not Bob's: as storing tells him, and no more.
        assert not await _may_add(served, "bob", series.study, uid)
        assert not await _may_add(served, "bob", series.study, "1.2.999")
        assert not await _may_add(served, "alice", "1.2.888", uid)
        assert served.world.scalar("SELECT count(*) FROM series") == 1
        refused = served.world.rows("SELECT sub, reason FROM audit WHERE kind = 'store' ORDER BY pk")
        assert refused == [("bob", "not-origin"), ("bob", "foreign-study"), ("alice", "series-elsewhere")]

    run(body)


def test_tokens_that_may_not_write_may_add_nothing(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        reader, _ = await capability(served, "alice")
        writer, _ = await capability(served, "alice", write_permission="true")
        assert not await _may_add(served, None, "1.2.3", "1.2.4", token=reader)
        assert await _may_add(served, None, "1.2.3", "1.2.4", token=writer)

    run(body)


def test_who_is_refused_too_often_waits(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        study = served.world.series(inbox(served, "alice")).study
        for number in range(200):
            assert not await _may_add(served, "bob", study, f"1.2.999.{number}")
        form = {"studyInstanceUID": study, "seriesInstanceUID": "1.2.998"}
        assert (await served.call("POST", "/api/verifyInstance", by="bob", form=form)).status_code == 429

    run(body)


def test_requests_that_cannot_be_understood_are_refused(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        for form in ({}, {"studyInstanceUID": "1.2"}, {"studyInstanceUID": "1.2", "seriesInstanceUID": "x"}):
            assert (await served.call("POST", "/api/verifyInstance", by="alice", form=form)).status_code == 400
        assert (await served.call("POST", "/api/verifyInstance", form={})).status_code == 401
        path = "/api/studies/1.2.3/series/fetch"
        assert (await served.call("POST", path, by="alice", form={})).status_code == 400
        assert (await served.call("POST", path, by="alice", form={"SeriesInstanceUID": "x"})).status_code == 400
        assert (await served.call("POST", path, form={})).status_code == 401

    run(body)


def test_a_fetch_is_answered_alike_for_every_study(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        hidden: Selection = served.world.series(inbox(served, "bob"))
        answers = []
        for study, series in ((hidden.study, str(hidden.series)), ("1.2.999", "1.2.998")):
            answers.append(await served.call("POST", f"/api/studies/{study}/fetch", by="alice"))
            form = {"SeriesInstanceUID": series, "album": "Zz00000000"}
            answers.append(await served.call("POST", f"/api/studies/{study}/series/fetch", by="alice", form=form))
        assert {(each.status_code, each.content) for each in answers} == {(200, b"")}
        assert served.world.rows("SELECT dirty FROM series") == [(False,)]

    run(body)


def test_refusals_are_counted_together_with_those_of_storing(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        study = served.world.series(inbox(served, "alice")).study
        process = await factory.open_process()
        bob = UserPk(served.world.scalar("SELECT pk FROM users WHERE sub = 'bob'"))
        # As storing counts them: `Storing` has this very limit.
        for number in range(200):
            process.refusals.add(bob, SeriesInstanceUID(f"1.2.999.{number}"))
        form = {"studyInstanceUID": study, "seriesInstanceUID": "1.2.998"}
        assert (await served.call("POST", "/api/verifyInstance", by="bob", form=form)).status_code == 429
        assert process.storing._workshop.refusals is process.refusals

    run(body)
