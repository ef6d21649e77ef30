"""``/albums/{album}/reportproviders`` and what goes with it, as clients of KHEOPS see it."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from kheops.domain.report_providers import PROVIDERS_OF_ALBUM
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import capability
from tests.service.control.reporting import PROVIDER_KEY, Body, Scene, allow, scene
from tests.service.control.served import KEY, PUBLIC_URL, Served, serve
from tests.service.control.world import World

Run = Callable[[Body], None]


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

    def run(body: Body) -> None:
        async def inside(served: Served) -> None:
            await body(await scene(served, fake))

        serve(world, issuer, inside)

    return run


def _path(at: Scene, client: str | None = None) -> str:
    base = f"/api/albums/{at.album}/reportproviders"
    return base if client is None else f"{base}/{client}"


def test_a_provider_is_registered_read_listed_changed_and_removed(run: Run) -> None:
    async def body(at: Scene) -> None:
        form = {"name": "  Second ", "url": at.provider.url}
        made = await at.served.call("POST", _path(at), by="alice", form=form)
        assert made.status_code == 201
        second = made.json()
        assert set(second) == {"name", "url", "client_id", "created_time"}
        assert (second["name"], second["url"], len(second["client_id"])) == ("Second", at.provider.url, 22)
        path = _path(at, second["client_id"])
        assert (await at.served.call("GET", path, by="bob")).json() == second
        listed = await at.served.call("GET", f"{_path(at)}?limit=1&offset=1", by="bob")
        assert (listed.json(), listed.headers["x-total-count"]) == ([second], "2")
        changed = await at.served.call("PATCH", path, by="alice", form={"name": "Third", "url": " "})
        assert changed.json() == {**second, "name": "Third"}
        assert (await at.served.call("DELETE", path, by="alice")).status_code == 204
        for method in ("GET", "DELETE"):
            assert (await at.served.call(method, path, by="alice")).status_code == 404
        assert (await at.served.call("GET", _path(at), by="bob")).headers["x-total-count"] == "1"
        kinds = at.served.world.rows(
            "SELECT kind, subject FROM audit "
            "WHERE kind ~ 'report-provider-[cer].*ed$' AND outcome = 'granted' ORDER BY pk"
        )
        assert kinds[1:] == [
            ("report-provider-created", second["client_id"]),
            ("report-provider-edited", second["client_id"]),
            ("report-provider-removed", second["client_id"]),
        ]

    run(body)


def test_only_administrators_manage_providers_and_strangers_find_no_album(run: Run) -> None:
    async def body(at: Scene) -> None:
        token, _ = await capability(at.served, "alice", write_permission="true")
        link, _ = await capability(at.served, "alice", scope_type="album", album=at.album, read_permission="true")
        own = _path(at, at.provider.client_id)
        form = {"name": "n", "url": at.provider.url}
        asked = [("POST", _path(at), form), ("PATCH", own, form), ("DELETE", own, None)]
        hits = len(at.provider.fake.asked)
        for method, path, sent in asked:
            statuses = [
                (await at.served.call(method, path, by="bob", form=sent)).status_code,
                (await at.served.call(method, path, token=token, form=sent)).status_code,
                (await at.served.call(method, path, token=link, form=sent)).status_code,
                (await at.served.call(method, path, by="carol", form=sent)).status_code,
                (await at.served.call(method, path, form=sent)).status_code,
            ]
            assert statuses == [403, 403, 403, 404, 401], method
        assert len(at.provider.fake.asked) == hits, "nothing is fetched for who may not register"
        for path in (_path(at), own):
            assert (await at.served.call("GET", path, token=token)).status_code == 200
            assert (await at.served.call("GET", path, token=link)).status_code == 403
            hidden = await at.served.call("GET", path, by="carol")
            absent = await at.served.call("GET", path.replace(at.album, "Zz00000000"), by="carol")
            assert hidden.status_code == absent.status_code == 404
            assert hidden.json() == absent.json()

    run(body)


def test_a_provider_of_another_album_is_none_of_this_one(run: Run) -> None:
    async def body(at: Scene) -> None:
        other = (await at.served.call("POST", "/api/albums", by="alice", form={"name": "Other"})).json()["album_id"]
        path = f"/api/albums/{other}/reportproviders/{at.provider.client_id}"
        for method, form in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            answer = await at.served.call(method, path, by="alice", form=form)
            assert (answer.status_code, answer.json()["message"]) == (404, "Report Provider Not Found")
        assert (
            await at.served.call("GET", f"/api/albums/{other}/reportproviders/short", by="alice")
        ).status_code == 404

    run(body)


def test_what_cannot_be_a_provider_is_not_registered(run: Run) -> None:
    async def body(at: Scene) -> None:
        async def status(**form: str) -> int:
            return (await at.served.call("POST", _path(at), by="alice", form=form)).status_code

        good = at.provider.url
        assert await status(name=" ", url=good) == 400
        assert await status(name="n" * 1025, url=good) == 400
        assert await status(name="n") == 400
        for url in ("ftp://example.org/", "http://127.0.0.1:1/", "https://169.254.169.254/", "no url", f"{good}x"):
            assert await status(name="n", url=url) == 400, url
        at.provider.configure(redirect_uri=None)
        assert await status(name="n", url=good) == 400
        path = _path(at, at.provider.client_id)
        changed = await at.served.call("PATCH", path, by="alice", form={"url": f"{good}?x=1"})
        assert changed.status_code == 400
        assert at.served.world.scalar("SELECT count(*) FROM report_providers") == 1

    run(body)


def test_an_album_has_no_more_than_a_hundred_providers(run: Run) -> None:
    async def body(at: Scene) -> None:
        at.served.world.execute(
            "INSERT INTO report_providers (client_id, album_pk, name, url, created_at) "
            "SELECT lpad(n::text, 22, '0'), :album, 'n', 'u', now() FROM generate_series(1, :more) n",
            album=at.key,
            more=PROVIDERS_OF_ALBUM - 2,
        )
        form = {"name": "n", "url": at.provider.url}
        posts = [at.served.call("POST", _path(at), by="alice", form=form) for _ in range(3)]
        answers = await asyncio.gather(*posts)
        assert sorted(each.status_code for each in answers) == [201, 409, 409]

    run(body)


def test_a_new_address_ends_what_the_old_one_was_given_and_a_new_name_does_not(run: Run) -> None:
    async def body(at: Scene) -> None:
        path = _path(at, at.provider.client_id)
        token = await at.token()
        assert (await at.served.call("PATCH", path, by="alice", form={"name": "New"})).status_code == 200
        assert await at.reads(token) == sorted(at.series)
        at.provider.fake.metadata["unknown member"] = 1
        moved = at.provider.url.replace("127.0.0.1", "localhost")
        assert (await at.served.call("PATCH", path, by="alice", form={"url": moved})).status_code == 400
        assert await at.reads(token) == sorted(at.series)
        at.served.world.execute("UPDATE report_providers SET url = 'https://old.example.org/'")
        assert (await at.served.call("PATCH", path, by="alice", form={"url": at.provider.url})).status_code == 200
        assert await at.reads(token) == 401

    run(body)


def test_the_history_names_providers_and_can_be_asked_for_one(run: Run) -> None:
    async def body(at: Scene) -> None:
        own, client = _path(at, at.provider.client_id), at.provider.client_id
        second = (
            await at.served.call("POST", _path(at), by="alice", form={"name": "Two", "url": at.provider.url})
        ).json()["client_id"]
        assert (await at.served.call("PATCH", own, by="alice", form={"name": "New"})).status_code == 200
        assert (await at.served.call("DELETE", own, by="alice")).status_code == 204

        async def events(query: str) -> list[dict[str, object]]:
            answer = await at.served.call("GET", f"/api/albums/{at.album}/events?types=mutations&{query}", by="bob")
            assert answer.status_code == 200, answer.text
            found: list[dict[str, object]] = answer.json()
            return found

        told = await events(f"reportProvider={client}")
        assert [each["mutation_type"] for each in told] == [
            "DELETE_REPORT_PROVIDER",
            "EDIT_REPORT_PROVIDER",
            "CREATE_REPORT_PROVIDER",
        ]
        assert {str(each["report_provider"]) for each in told} == {
            str({"name": "New", "client_id": client, "is_removed": True})
        }
        both = await events(f"reportProvider={client}&reportProvider={second}")
        assert len(both) == 4
        assert len(await events("family=report_provider")) == 4
        assert await events(f"reportProvider={'Z' * 22}") == []
        bad = await at.served.call(
            "GET", f"/api/albums/{at.album}/events?types=mutations&reportProvider=short", by="bob"
        )
        assert bad.status_code == 400

    run(body)


def test_the_probe_tells_what_a_document_says_and_reaches_nothing_inside(run: Run) -> None:
    async def body(at: Scene) -> None:
        async def probe(url: str, by: str = "carol") -> dict[str, object]:
            answer = await at.served.call("POST", "/api/reportproviders/metadata", by=by, form={"url": url})
            assert answer.status_code == 200, answer.text
            told: dict[str, object] = answer.json()
            return told

        at.provider.configure(client_name="R", contacts=["a@example.org"], logo_uri="https://x.example.org/l.png")
        assert await probe(at.provider.url) == {
            "valid": True,
            "client_name": "R",
            "contacts": ["a@example.org"],
            "logo_uri": "https://x.example.org/l.png",
            "redirect_uri": at.provider.redirect_uri,
            "response_type": "code",
            "jwks_uri": f"{at.provider.fake.issuer}/jwks",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "RS256",
        }
        at.provider.configure(response_type="id_token")
        assert (await probe(at.provider.url))["valid"] is False
        inside, nowhere = await probe("https://127.0.0.1:1/"), await probe(f"{at.provider.fake.issuer}/nothing")
        assert (inside["valid"], nowhere["valid"]) == (False, False)
        link, _ = await capability(at.served, "alice", scope_type="album", album=at.album, read_permission="true")
        form = {"url": at.provider.url}
        assert (
            await at.served.call("POST", "/api/reportproviders/metadata", token=link, form=form)
        ).status_code == 403
        assert (await at.served.call("POST", "/api/reportproviders/metadata", form=form)).status_code == 401
        assert (await at.served.call("POST", "/api/reportproviders/metadata", by="bob", form={})).status_code == 400

    run(body)


def test_providers_are_told_where_everything_is(run: Run) -> None:
    async def body(at: Scene) -> None:
        told = await at.served.call("GET", "/api/.well-known/report-provider-configuration")
        assert told.json() == {
            "issuer": PUBLIC_URL,
            "dicomweb_endpoint": f"{PUBLIC_URL}/api",
            "dicomweb_uri_endpoint": f"{PUBLIC_URL}/api/wado",
            "token_endpoint": f"{PUBLIC_URL}/api/token",
            "introspection_endpoint": f"{PUBLIC_URL}/api/token/introspect",
            "userinfo_endpoint": f"{PUBLIC_URL}/api/userinfo",
            "grant_types_supported": ["authorization_code", "implicit"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "introspection_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
            "introspection_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "token"],
            "response_modes_supported": ["query", "fragment"],
            "code_challenge_methods_supported": ["S256"],
        }

    run(body)
