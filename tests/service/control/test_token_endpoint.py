"""``/token`` as viewers and clients of KHEOPS see it."""

import base64
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest

from kheops import factory
from kheops.domain.viewer_tokens import VIEWER_TOKENS_AT_ONCE
from kheops.jobs.maintenance import maintain
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.exchange import (
    ACCESS_TOKEN,
    EXCHANGE,
    capability,
    exchange,
    form_of,
    inbox,
    known,
    studies,
    viewer_of,
)
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


def test_an_exchange_answers_as_rfc_8693_says(run: Run) -> None:
    async def body(served: Served) -> None:
        answer = await exchange(served, served.token("alice"))
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        made = answer.json()
        assert re.fullmatch(r"v[A-Za-z0-9]{43}", made.pop("access_token"))
        assert made == {
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "bearer",
            "expires_in": 5 * 3600,
            "scope": "viewer read",
        }
        for scope, granted in (
            ("viewer", "viewer read"),
            ("write viewer", "viewer write"),
            ("viewer read write", "viewer read write"),
        ):
            assert (await exchange(served, served.token("alice"), scope=scope)).json()["scope"] == granted

    run(body)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "read"}, "invalid_scope"),
        ({"scope": "viewer admin"}, "invalid_scope"),
        ({"scope": "pep", "seriesUID": "1.2"}, "unauthorized_client"),
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token": "nonsense"}, "invalid_request"),
        ({"subject_token": "a" * 22}, "invalid_request"),
        ({"subject_token": "v" + "a" * 43}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"audience": "https://elsewhere.example"}, "invalid_target"),
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"studyUID": None}, "invalid_request"),
        ({"studyUID": "1.2.x"}, "invalid_request"),
        ({"source_type": "study"}, "invalid_request"),
        ({"source_type": "album"}, "invalid_request"),
        ({"source_type": "album", "source_id": "not-an-id"}, "invalid_request"),
        ({"source_type": "album", "source_id": "absent0000"}, "invalid_grant"),
        ({"source_type": "inbox", "source_id": "absent0000"}, "invalid_request"),
        ({"source_id": "absent0000"}, "invalid_request"),
        ({"client_assertion": "x", "client_assertion_type": "y"}, "invalid_client"),
    ],
)
def test_what_is_wrong_with_an_exchange_is_said_in_oauths_words(
    run: Run, change: dict[str, str | None], error: str
) -> None:
    async def body(served: Served) -> None:
        changed: dict[str, str | None] = {**form_of(served.token("alice")), **change}
        form = {name: value for name, value in changed.items() if value is not None}
        answer = await served.call("POST", "/api/token", form=form)
        assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
        assert set(answer.json()) == {"error", "error_description"}
        assert answer.headers["cache-control"] == "no-store"
        assert served.world.scalar("SELECT count(*) FROM viewer_tokens") == 0

    run(body)


def test_the_form_and_the_clients_authentication_are_checked(run: Run) -> None:
    async def body(served: Served) -> None:
        form = form_of(served.token("alice"))
        for headers, more, status, error in (
            ({"authorization": "Basic " + base64.b64encode(b"id:secret").decode()}, {}, 400, "invalid_client"),
            ({"authorization": "Digest x"}, {}, 400, "invalid_request"),
            ({"authorization": "Bearer whatever"}, {"client_assertion": "x"}, 400, "invalid_request"),
            ({"authorization": "Bearer whatever"}, {}, 200, None),
        ):
            for path in ("/api/token", "/api/token/introspect"):
                sent = {**form, **more} if path == "/api/token" else {"token": "unknown", **more}
                answer = await served.call("POST", path, form=sent, headers=headers)
                assert (answer.status_code, answer.json().get("error")) == (status, error), (path, headers)
        content = "&".join(f"{name}=x" for name in ("token", "token"))
        plain = {"content-type": "application/x-www-form-urlencoded"}
        twice = await served.api.post("/api/token/introspect", content=content, headers=plain)
        assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
        json = await served.api.post("/api/token", json={"grant_type": EXCHANGE})
        assert (json.status_code, json.json()["error"]) == (415, "invalid_request")
        large = await served.api.post("/api/token", content="x=" + "y" * 70_000, headers=plain)
        assert (large.status_code, large.json()["error"]) == (413, "invalid_request")
        assert (await served.call("GET", "/api/token")).status_code == 405

    run(body)


def test_a_viewer_sees_its_study_in_its_source_and_no_more(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        world = served.world
        kept = world.series(inbox(served, "alice"))
        world.series(world.key(album), study=kept.study, modality="MR")
        other = world.series(inbox(served, "alice"))
        alice = served.token("alice")
        anywhere = await viewer_of(served, alice, kept.study)
        in_inbox = await viewer_of(served, alice, kept.study, source_type="inbox")
        in_album = await viewer_of(served, alice, kept.study, source_type="album", source_id=album)
        for token, modalities in ((anywhere, {"CT", "MR"}), (in_inbox, {"CT"}), (in_album, {"MR"})):
            listed = (await served.call("GET", "/api/studies", token=token)).json()
            assert [row["0020000D"]["Value"][0] for row in listed] == [kept.study]
            assert set(listed[0]["00080061"]["Value"]) == modalities
            assert await studies(served, token, f"?StudyInstanceUID={other.study}") == []
            below = await served.call("GET", f"/api/studies/{other.study}/series", token=token)
            assert (below.status_code, below.json()) == (200, [])
            hidden = await served.call("GET", f"/api/studies/{other.study}/metadata", token=token)
            absent = await served.call("GET", "/api/studies/1.9.9/metadata", token=token)
            assert (
                (hidden.status_code, hidden.content) == (absent.status_code, absent.content) == (404, absent.content)
            )
        assert await studies(served, anywhere, f"?album={album}") == [kept.study]
        assert (await served.call("GET", f"/api/studies?album={album}", token=in_inbox)).status_code == 404
        assert (await served.call("GET", "/api/studies?inbox=true", token=in_album)).status_code == 403
        basic = {"authorization": "Basic " + base64.b64encode(f"any:{anywhere}".encode()).decode()}
        assert len((await served.call("GET", "/api/studies", headers=basic)).json()) == 1
        linked = (await served.call("GET", f"/api/link/{anywhere}/studies")).json()
        assert linked[0]["00081190"]["Value"] == [f"{PUBLIC_URL}/api/link/{anywhere}/studies/{kept.study}"]

    run(body)


def test_a_token_without_source_of_any_parent_searches_and_an_albums_token_makes_none_for_the_inbox(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        series = served.world.series(served.world.key(album), inbox(served, "alice"))
        of_album, _ = await capability(served, "alice", scope_type="album", album=album)
        for parent in (served.token("alice"), of_album, (await capability(served, "alice"))[0]):
            assert await studies(served, await viewer_of(served, parent, series.study)) == [series.study]
        refused = await exchange(served, of_album, series.study, source_type="inbox")
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        writing = await exchange(served, of_album, series.study, scope="viewer write")
        assert (writing.status_code, writing.json()["error"]) == (400, "invalid_scope")

    run(body)


def test_a_viewer_token_does_nothing_but_read_and_store(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        series = served.world.series(inbox(served, "alice"), served.world.key(album))
        token = await viewer_of(served, served.token("alice"), series.study, scope="viewer read write")
        _, made = await capability(served, "alice")
        study, one = f"/api/studies/{series.study}", f"/api/studies/{series.study}/series/{series.series}"
        for method, path in (
            ("GET", "/api/albums"),
            ("POST", "/api/albums"),
            ("GET", f"/api/albums/{album}"),
            ("PATCH", f"/api/albums/{album}"),
            ("DELETE", f"/api/albums/{album}"),
            ("PUT", f"/api/albums/{album}/favorites"),
            ("GET", f"/api/albums/{album}/users"),
            ("PUT", f"/api/albums/{album}/users/bob"),
            ("DELETE", f"/api/albums/{album}/users/alice"),
            ("GET", "/api/users?reference=bob"),
            ("GET", "/api/inboxinfo"),
            ("GET", "/api/capabilities"),
            ("GET", f"/api/capabilities/{made}"),
            ("POST", f"/api/capabilities/{made}/revoke"),
            *(
                (verb, of + below)
                for verb in ("PUT", "DELETE")
                for of in (study, one)
                for below in ("", f"/albums/{album}")
            ),
            ("PUT", f"{study}/users/bob"),
            ("PUT", f"{one}/users/bob"),
        ):
            form = {"name": "x"} if method in {"PATCH", "POST"} and "revoke" not in path else None
            answer = await served.call(method, path, token=token, form=form)
            assert answer.status_code == 403, (method, path, answer.text)
        form = {"title": "t", "scope_type": "user", "read_permission": "true"}
        assert (await served.call("POST", "/api/capabilities", token=token, form=form)).status_code == 403
        again = await exchange(served, token, series.study)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert served.world.holders(series) == {inbox(served, "alice"), served.world.key(album)}

    run(body)


def test_it_ends_with_the_grant_and_each_request_is_decided_anew(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        album = (await served.call("POST", "/api/albums", by="alice", form={"name": "Hearts"})).json()["album_id"]
        series = served.world.series(inbox(served, "alice"))
        early = await viewer_of(served, served.token("bob"), series.study)
        assert await studies(served, early) == []
        await served.call("PUT", f"/api/albums/{album}/users/bob", by="alice")
        await served.call("PUT", f"/api/studies/{series.study}/albums/{album}", by="alice")
        assert await studies(served, early) == [series.study]
        token = await viewer_of(served, served.token("bob"), series.study, source_type="album", source_id=album)
        assert await studies(served, token) == [series.study]
        await served.call("DELETE", f"/api/albums/{album}/users/bob", by="alice")
        assert await studies(served, token) == await studies(served, early) == []
        secret, made = await capability(served, "alice")
        of_capability = await viewer_of(served, secret, series.study)
        assert await studies(served, of_capability) == [series.study]
        await served.call("POST", f"/api/capabilities/{made}/revoke", by="alice")
        ended = await served.call("GET", "/api/studies", token=of_capability)
        assert ended.status_code == 401
        assert 'error="invalid_token"' in ended.headers["www-authenticate"]

    run(body)


def test_it_outlives_the_process_and_the_access_token_it_was_made_from(run: Run) -> None:
    kept: dict[str, str] = {}

    async def before(served: Served) -> None:
        await known(served, "alice")
        kept["study"] = served.world.series(inbox(served, "alice")).study
        kept["token"] = await viewer_of(served, served.token("alice"), kept["study"])

    async def after(served: Served) -> None:
        expired = served.token("alice", exp=1)
        assert (await served.call("GET", "/api/studies", token=expired)).status_code == 401
        assert await studies(served, kept["token"]) == [kept["study"]]
        renewed = await viewer_of(served, served.token("alice"), kept["study"])
        assert renewed != kept["token"]
        assert await studies(served, renewed) == await studies(served, kept["token"]) == [kept["study"]]

    run(before)
    run(after)


def test_the_minutes_work_clears_ended_tokens_away(run: Run) -> None:
    async def body(served: Served) -> None:
        ended = await viewer_of(served, served.token("alice"), "1.2.3")
        served.world.execute("UPDATE viewer_tokens SET expires_at = now()")
        await viewer_of(served, served.token("alice"), "1.2.4")
        await maintain(await factory.open_process())
        assert served.world.rows("SELECT study_instance_uid FROM viewer_tokens") == [("1.2.4",)]
        assert (await served.call("GET", "/api/studies", token=ended)).status_code == 401

    run(body)


def test_too_many_are_told_to_wait(run: Run) -> None:
    async def body(served: Served) -> None:
        await viewer_of(served, served.token("alice"), "1.2.3")
        served.world.execute(
            "INSERT INTO viewer_tokens (secret_hash, user_pk, study_instance_uid, source_inbox, read_permission, "
            "write_permission, issued_at, expires_at) SELECT CAST('x' || n AS bytea), user_pk, study_instance_uid, "
            "source_inbox, read_permission, write_permission, issued_at, expires_at FROM viewer_tokens, "
            "generate_series(2, :most) AS n",
            most=VIEWER_TOKENS_AT_ONCE,
        )
        answer = await exchange(served, served.token("alice"))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "900")

    run(body)


def test_each_exchange_and_each_refusal_is_in_the_audit_trail(run: Run) -> None:
    async def body(served: Served) -> None:
        secret, made = await capability(served, "alice")
        token = await viewer_of(served, served.token("alice", act={"sub": "admin"}), "1.2.3")
        await exchange(served, secret, "1.2.4", scope="viewer write")
        await studies(served, token)
        assert (await served.call("GET", "/api/albums", token=token)).status_code == 403
        rows = served.world.rows(
            "SELECT kind, outcome, reason, token_id, acting_party, subject, study_instance_uids FROM audit "
            "WHERE kind IN ('viewer-token-created', 'search', 'album-read') ORDER BY pk"
        )
        name = rows[0][5]
        assert name == f"viewer:{served.world.scalar('SELECT pk FROM viewer_tokens')}"
        assert [tuple(row) for row in rows] == [
            ("viewer-token-created", "granted", None, "jti-alice", "admin", name, ["1.2.3"]),
            ("viewer-token-created", "refused", "invalid_scope", made, None, None, ["1.2.4"]),
            ("search", "granted", None, name, "admin", None, []),
            ("album-read", "refused", "forbidden", name, "admin", None, []),
        ]

    run(body)
