"""Report tokens: what they are good for, and what ends them."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Connection

from kheops.domain.principals import ReportToken
from kheops.ids import ReportTokenPk, UserPk
from kheops.storage import standing
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import capability, exchange
from tests.service.control.reporting import PROVIDER_KEY, Run, Scene, allow, runner
from tests.service.control.served import KEY, PUBLIC_URL
from tests.service.control.world import World


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeIssuer]:
    with running(PROVIDER_KEY) as provider:
        yield provider


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, fake: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    allow(monkeypatch, shared_url, issuer, fake)
    return runner(world, issuer, fake)


def _error(answer: object) -> object:
    return answer.json()["error"]  # type: ignore[attr-defined]


def test_a_report_token_does_nothing_but_read_and_store(run: Run) -> None:
    async def body(at: Scene) -> None:
        token = await at.token()
        for method, path in (
            ("GET", f"/api/albums/{at.album}"),
            ("GET", "/api/albums"),
            ("GET", f"/api/albums/{at.album}/users"),
            ("GET", f"/api/albums/{at.album}/reportproviders"),
            ("GET", "/api/inboxinfo"),
            ("GET", "/api/capabilities"),
            ("PUT", f"/api/studies/{at.study}/users/carol@example.org"),
            ("PUT", f"/api/studies/{at.study}/albums/{at.album}?inbox=true"),
            ("DELETE", f"/api/studies/{at.study}/albums/{at.album}"),
            ("DELETE", f"/api/studies/{at.study}"),
            ("GET", f"/api/studies/{at.study}/comments"),
            ("GET", "/api/studies?inbox=true"),
        ):
            assert (await at.served.call(method, path, token=token)).status_code == 403, path
        again = await at.report(token=token)
        assert again.status_code == 403
        assert _error(await exchange(at.served, token, at.study)) == "invalid_grant"

    run(body)


def test_userinfo_is_for_report_tokens_alone(run: Run) -> None:
    async def body(at: Scene) -> None:
        token = await at.token()
        told = await at.served.call("GET", "/api/userinfo", token=token)
        assert told.json() == {"sub": "bob", "name": "Bob", "email": "bob@example.org"}
        assert (await at.served.call("GET", "/api/userinfo", by="bob")).status_code == 403
        assert (await at.served.call("GET", "/api/userinfo", token="r" + "x" * 43)).status_code == 401
        assert (await at.served.call("GET", "/api/userinfo")).status_code == 401

    run(body)


def test_an_introspection_tells_what_a_report_token_is_good_for(run: Run) -> None:
    async def body(at: Scene) -> None:
        token = await at.token()
        form = {"token": token}
        told = (await at.served.call("POST", "/api/token/introspect", form=form)).json()
        assert told.pop("exp") - told.pop("iat") == 3600
        told.pop("nbf")
        assert told == {
            "active": True,
            "iss": PUBLIC_URL,
            "sub": "bob",
            "token_type": "bearer",
            "scope": "read write",
            "azp": at.provider.client_id,
            "client_id": at.provider.client_id,
            "aud": PUBLIC_URL,
            "album_id": at.album,
            "studyUID": at.study,
            "redirect_uri": at.provider.redirect_uri,
        }
        proven = {
            **form,
            "client_id": at.provider.client_id,
            "client_assertion_type": at.provider.form("")["client_assertion_type"],
            "client_assertion": at.provider.assertion(endpoint="/api/token/introspect"),
        }
        assert (await at.served.call("POST", "/api/token/introspect", form=proven)).json()["active"] is True
        refused = await at.served.call("POST", "/api/token/introspect", form=proven)
        assert _error(refused) == "invalid_client"

    run(body)


ENDS: dict[str, tuple[str, str] | str] = {
    "the provider is removed": ("DELETE", "/api/albums/{album}/reportproviders/{client}"),
    "the person is no member any longer": ("DELETE", "/api/albums/{album}/users/bob@example.org"),
    "the album is deleted": ("DELETE", "/api/albums/{album}"),
    "the person is suspended": "UPDATE users SET suspended_at = now() WHERE sub = 'bob'",
    "its time is over": "UPDATE report_tokens SET expires_at = now()",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_report_token_and_a_code_end_when(run: Run, how: str) -> None:
    async def body(at: Scene) -> None:
        token, code = await at.token(), await at.code()
        assert await at.reads(token) == sorted(at.series)
        ending = ENDS[how]
        if isinstance(ending, str):
            at.served.world.execute(ending)
        else:
            path = ending[1].format(album=at.album, client=at.provider.client_id)
            assert (await at.served.call(ending[0], path, by="alice")).status_code == 204
        assert await at.reads(token) == 401
        assert (await at.served.call("POST", "/api/token/introspect", form={"token": token})).json() == {
            "active": False
        }
        assert (await at.exchange(code)).status_code == 400

    run(body)


def test_a_report_token_ends_with_the_capability_token_behind_it_and_reads_only_as_that_may(run: Run) -> None:
    async def body(at: Scene) -> None:
        secret, public = await capability(at.served, "bob", write_permission="true")
        answer = await at.report(token=secret)
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        token = (await at.exchange(code)).json()["access_token"]
        assert await at.reads(token) == sorted(at.series)
        at.served.world.execute("UPDATE capabilities SET read_permission = false WHERE id = :id", id=public)
        assert await at.reads(token) == 403
        at.served.world.execute("UPDATE capabilities SET read_permission = true WHERE id = :id", id=public)
        waiting = await at.report(token=secret)
        late = parse_qs(urlsplit(waiting.headers["location"]).query)["code"][0]
        at.served.world.execute("UPDATE capabilities SET expires_at = now() WHERE id = :id", id=public)
        assert _error(await at.exchange(late)) == "invalid_grant"
        at.served.world.execute(
            "UPDATE capabilities SET expires_at = now() + interval '1 day' WHERE id = :id", id=public
        )
        assert await at.reads(token) == sorted(at.series)
        assert (await at.served.call("POST", f"/api/capabilities/{public}/revoke", by="bob")).status_code == 200
        assert await at.reads(token) == 401

    run(body)


def test_an_upload_that_was_left_behind_is_settled_for_the_report_token_that_it_came_by(run: Run) -> None:
    async def body(at: Scene) -> None:
        await at.token()
        report = ReportTokenPk(at.served.world.scalar("SELECT pk FROM report_tokens"))
        user = UserPk(at.served.world.scalar("SELECT pk FROM users WHERE sub = 'bob'"))

        def settle(tx: Connection) -> tuple[object, bool]:
            found = standing.principal_of_upload(tx, user, capability=None, viewer=None, report=report)
            assert found is not None
            return found, standing.stands(tx, found, at.served.world.now())

        principal, stands = at.served.world.database.run_blocking(settle)
        assert isinstance(principal, ReportToken)
        assert (principal.album, principal.studies, principal.read, principal.write) == (
            at.key,
            (at.study,),
            True,
            True,
        )
        assert (principal.provider, principal.user, stands) == (at.provider.client_id, user, True)
        path = f"/api/albums/{at.album}/reportproviders/{at.provider.client_id}"
        assert (await at.served.call("DELETE", path, by="alice")).status_code == 204
        assert at.served.world.database.run_blocking(settle) == (principal, False)

    run(body)


def test_what_has_ended_is_cleared_away_and_nothing_else(run: Run) -> None:
    async def body(at: Scene) -> None:
        from kheops import factory

        await at.token()
        await at.code()
        at.served.world.execute("UPDATE report_tokens SET expires_at = now() WHERE code_used_at IS NOT NULL")
        process = await factory.open_process()
        assert await process.reports.clear() == 1
        assert at.served.world.scalar("SELECT count(*) FROM report_tokens") == 1
        assert at.served.world.scalar("SELECT count(*) FROM report_assertions") == 1
        at.served.world.execute("UPDATE report_assertions SET expires_at = :at", at=process.clock() - timedelta(1))
        assert await process.reports.clear() == 1

    run(body)
