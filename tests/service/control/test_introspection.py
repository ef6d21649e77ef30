"""``/token/introspect``: who may ask about what, and what they are told."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest

from kheops.web.api.tokens import INTROSPECT
from kheops.web.declaration import JSON
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import capability, inbox, known, viewer_of
from tests.service.control.served import KEY, PUBLIC_URL, Served, environment, serve
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


async def introspect(
    served: Served, token: str, *, by: str | None = None, bearer: str | None = None
) -> httpx.Response:
    return await served.call("POST", "/api/token/introspect", by=by, token=bearer, form={"token": token})


def epoch(written: str) -> int:
    return int(datetime.fromisoformat(written).astimezone(UTC).timestamp())


def test_a_visit_by_a_link_is_nobody_and_is_told_as_declared(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        series = served.world.series(inbox(served, "alice"))
        form = {"title": "t", "series": f"{series.study}/{series.series}"}
        made = (await served.call("POST", "/api/links", by="alice", form=form)).json()
        opened = await served.call("POST", f"/api/links/{made['id']}/open", form={"secret": made["secret"]})
        told = (await introspect(served, opened.json()["access_token"])).json()
        assert told["active"] is True
        assert "alice" not in str(told)
        _, declared = cast("list[dict[str, Any]]", INTROSPECT.answers[200].content[JSON]["anyOf"])
        assert set(declared["required"]) <= told.keys() <= set(declared["properties"])

    run(body)


def test_capability_tokens_are_introspected_by_whoever_holds_them(run: Run) -> None:
    async def body(served: Served) -> None:
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        flags = {"write_permission": "true", "appropriate_permission": "true", "download_permission": "true"}
        of_album, album_token = await capability(served, "alice", scope_type="album", album=album, **flags)
        of_user, user_token = await capability(served, "alice")
        for secret, made, scope, more in (
            (of_album, album_token, "read write downloadbutton send", {"album_id": album}),
            (of_user, user_token, "user read", {}),
        ):
            answer = await introspect(served, secret)
            shown = (await served.call("GET", f"/api/capabilities/{made}", by="alice")).json()
            assert "last_used" not in shown, "being asked about is no use"
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            assert answer.json() == {
                "active": True,
                "iss": PUBLIC_URL,
                "sub": "alice",
                "token_type": "bearer",
                "scope": scope,
                "cap_token": made,
                "exp": epoch(shown["expiration_time"]),
                "iat": epoch(shown["issued_at_time"]),
                "nbf": epoch(shown["not_before_time"]),
                **more,
            }

    run(body)


def test_viewer_tokens_are_introspected_by_whoever_holds_them(run: Run) -> None:
    async def body(served: Served) -> None:
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        secret, made = await capability(served, "alice", scope_type="album", album=album)
        impersonated = served.token("alice", act={"sub": "admin"})
        source = {"source_type": "album", "source_id": album}
        of_person = (
            await introspect(served, await viewer_of(served, impersonated, "1.2.3", scope="viewer write"))
        ).json()
        assert of_person.pop("exp") - of_person.pop("iat") == 5 * 3600
        assert of_person == {
            "active": True,
            "iss": PUBLIC_URL,
            "sub": "alice",
            "token_type": "bearer",
            "scope": "viewer write",
            "studyUID": "1.2.3",
            "act": {"sub": "admin"},
        }
        of_link = (await introspect(served, await viewer_of(served, secret, "1.2.3", **source))).json()
        assert (of_link["scope"], of_link["cap_token"], of_link["album_id"]) == ("viewer read", made, album)

    run(body)


def test_access_tokens_are_introspected_by_known_callers_only_and_no_answer_tells_good_from_bad(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        token = served.token("bob")
        forged = token[:-8] + "AAAAAAAA"
        refusals = [await introspect(served, each) for each in (token, forged, "a.b.c", served.token("alice", exp=1))]
        assert {answer.status_code for answer in refusals} == {401}
        assert len({answer.content for answer in refusals}) == 1
        assert (await introspect(served, token, bearer=forged)).status_code == 401
        viewer = await viewer_of(served, served.token("alice"), "1.2.3")
        assert (await introspect(served, token, bearer=viewer)).status_code == 403
        for answer in (await introspect(served, token, bearer=token), await introspect(served, token, by="alice")):
            shown = answer.json()
            assert shown.pop("exp") > datetime.now(UTC).timestamp()
            assert shown == {"active": True, "iss": served.issuer.issuer, "sub": "bob", "token_type": "bearer"}
        assert served.world.scalar("SELECT count(*) FROM users WHERE sub = 'carol'") == 0
        assert (await introspect(served, served.token("carol"), by="alice")).json()["active"] is True
        assert served.world.scalar("SELECT count(*) FROM users WHERE sub = 'carol'") == 0, "asking makes nobody known"
        assert (await introspect(served, forged, by="alice")).json() == {"active": False}

    run(body)


def test_everything_that_is_not_good_is_inactive_and_nothing_more(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "dora")
        revoked, made = await capability(served, "alice")
        of_revoked = await viewer_of(served, revoked, "1.2.3")
        await served.call("POST", f"/api/capabilities/{made}/revoke", by="alice")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        early, _ = await capability(served, "alice", not_before_time=tomorrow.isoformat())
        expired = await viewer_of(served, served.token("alice"), "1.2.3")
        served.world.execute("UPDATE viewer_tokens SET expires_at = now() WHERE capability_pk IS NULL")
        suspended, _ = await capability(served, "dora")
        of_suspended = await viewer_of(served, served.token("dora"), "1.2.3")
        jwt = served.token("dora")
        served.world.execute("UPDATE users SET suspended_at = now() WHERE sub = 'dora'")
        unknown = ("nonsense", "a" * 22, "v" + "a" * 43, "v" * 44, " ", "\N{BULLET}" * 22)
        for token in (revoked, of_revoked, early, expired, suspended, of_suspended, *unknown[:4], unknown[5]):
            answer = await introspect(served, token)
            assert (answer.status_code, answer.content) == (200, b'{"active":false}'), token
        assert (await introspect(served, jwt, by="alice")).content == b'{"active":false}'
        missing = await introspect(served, unknown[4])
        assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")

    run(body)
