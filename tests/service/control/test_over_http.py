"""The control plane and the sharing verbs as clients of KHEOPS see them."""

import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kheops.ids import AlbumPk
from tests.fakes.jwks_server import FakeIssuer, running
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


async def album_of(served: Served, owner: str, *members: str, **form: str) -> str:
    answer = await served.call("POST", "/api/albums", by=owner, form={"name": "Hearts", **form})
    assert answer.status_code == 201, answer.text
    album: str = answer.json()["album_id"]
    for member in members:
        assert (await served.call("GET", "/api/inboxinfo", by=member)).status_code == 200
        added = await served.call("PUT", f"/api/albums/{album}/users/{member}@example.org", by=owner)
        assert (added.status_code, added.content) == (201, b"")
    return album


def inbox(served: Served, sub: str) -> AlbumPk:
    return AlbumPk(served.world.scalar("SELECT inbox_pk FROM users WHERE sub = :sub", sub=sub))


def test_an_album_is_answered_with_exactly_kheops_fields(run: Run) -> None:
    async def body(served: Served) -> None:
        form = {"name": "  Hearts ", "description": " All ", "addUser": "true", "sendSeries": "FALSE"}
        answer = await served.call("POST", "/api/albums", by="alice", form=form)
        assert answer.status_code == 201
        album = answer.json()
        assert re.fullmatch(r"[A-Za-z0-9]{10}", album.pop("album_id"))
        for name in ("created_time", "last_event_time"):
            written = datetime.fromisoformat(album.pop(name))
            assert written.tzinfo is None
            assert abs(written - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
        assert album == {
            "name": "Hearts",
            "description": "All",
            "modalities": [],
            "number_of_users": 1,
            "number_of_comments": 0,
            "number_of_studies": 0,
            "number_of_series": 0,
            "number_of_instances": 0,
            "add_user": True,
            "download_series": True,
            "send_series": False,
            "delete_series": False,
            "add_series": True,
            "write_comments": True,
            "is_admin": True,
            "is_favorite": False,
            "notification_new_series": False,
            "notification_new_comment": False,
        }

    run(body)


def _shown(served: Served, sub: str) -> dict[str, object]:
    return {"email": f"{sub}@example.org", "name": sub.title(), "iss": served.issuer.issuer, "sub": sub}


def test_members_are_answered_with_exactly_kheops_fields(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        listed = await served.call("GET", f"/api/albums/{album}/users?limit=1&offset=1", by="bob")
        bob = {**_shown(served, "bob"), "is_admin": False}
        assert (listed.status_code, listed.json(), listed.headers["x-total-count"]) == (200, [bob], "2")
        whole = await served.call("GET", f"/api/albums/{album}?includeUsers=true", by="bob")
        assert [user["sub"] for user in whole.json()["users"]] == ["alice", "bob"]
        assert "users" not in (await served.call("GET", f"/api/albums/{album}", by="bob")).json()
        head = await served.call("HEAD", f"/api/albums/{album}", by="bob")
        assert (head.status_code, head.content) == (200, b"")

    run(body)


def test_the_life_of_a_membership(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        users = f"/api/albums/{album}/users"
        assert (await served.call("PUT", f"{users}/bob/admin", by="alice")).status_code == 204
        assert (await served.call("DELETE", f"{users}/alice/admin", by="bob")).status_code == 204
        refused = await served.call("DELETE", f"{users}/bob/admin", by="bob")
        assert (refused.status_code, refused.json()["message"]) == (409, "Conflict")
        assert (await served.call("PUT", f"{users}/carol@example.org", by="bob")).status_code == 404
        assert (await served.call("DELETE", f"{users}/bob", by="alice")).status_code == 403
        assert (await served.call("DELETE", f"{users}/alice%40example.org", by="bob")).status_code == 204
        assert (await served.call("GET", f"/api/albums/{album}", by="alice")).status_code == 404
        assert (await served.call("PUT", f"/api/albums/{album}/favorites", by="bob")).status_code == 204
        assert (await served.call("GET", "/api/albums?favorite=true", by="bob")).headers["x-total-count"] == "1"
        assert (await served.call("DELETE", f"/api/albums/{album}", by="bob")).status_code == 204
        assert (await served.call("GET", "/api/albums", by="bob")).json() == []

    run(body)


ALBUM_ROUTES = [
    ("GET", "", {}),
    ("PATCH", "", {"name": "x"}),
    ("PATCH", "", {"notificationNewSeries": "true"}),
    ("DELETE", "", {}),
    ("PUT", "/favorites", {}),
    ("DELETE", "/favorites", {}),
    ("GET", "/users", {}),
    ("PUT", "/users/alice", {}),
    ("DELETE", "/users/alice", {}),
    ("PUT", "/users/alice/admin", {}),
    ("DELETE", "/users/alice/admin", {}),
]


def test_an_album_of_others_and_an_inbox_answer_as_an_id_never_used(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        assert (await served.call("GET", "/api/albums", by="carol")).json() == []
        of_alice = served.world.scalar("SELECT id FROM albums WHERE pk = :pk", pk=inbox(served, "alice"))
        of_carol = served.world.scalar("SELECT id FROM albums WHERE pk = :pk", pk=inbox(served, "carol"))
        for method, below, form in ALBUM_ROUTES:
            answers = [
                same(await served.call(method, f"/api/albums/{each}{below}", by="carol", form=form or None))
                for each in ("absent0000", album, of_alice, of_carol)
            ]
            assert answers[0][0] == 404, (method, below, answers[0])
            assert answers.count(answers[0]) == 4, (method, below)
        for query in (
            "capabilities?album={}",
            "studies/1.2.3?album={}",
            "studies/1.2.3/users/alice?album={}",
        ):
            method = "PUT" if "studies" in query else "GET"
            answers = [
                same(await served.call(method, "/api/" + query.format(each), by="carol"))
                for each in ("absent0000", album, of_alice, of_carol)
            ]
            assert answers[0][0] == 404
            assert answers.count(answers[0]) == 4, query

    run(body)


def same(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, answer.content, headers


def test_sharing_verbs_answer_kheops_statuses_and_hide_what_is_hidden(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob", deleteSeries="false")
        other = await album_of(served, "carol")
        series = served.world.series(inbox(served, "alice"))
        path = f"/api/studies/{series.study}/series/{series.series}"
        absent = "/api/studies/1.9/series/1.9"
        for method, below in (
            ("PUT", ""),
            ("DELETE", ""),
            ("PUT", f"/albums/{other}"),
            ("DELETE", f"/albums/{other}"),
            ("PUT", "/users/alice"),
        ):
            hidden = same(await served.call(method, path + below, by="carol"))
            assert hidden[0] == 404
            assert hidden == same(await served.call(method, absent + below, by="carol"))
        assert (await served.call("PUT", f"{path}/albums/{album}", by="alice")).status_code == 201
        assert (await served.call("GET", f"/api/albums/{album}", by="bob")).json()["number_of_series"] == 1
        assert (await served.call("DELETE", f"{path}/albums/{album}", by="bob")).status_code == 403
        assert (await served.call("PUT", f"/api/studies/{series.study}?album={album}", by="bob")).status_code == 201
        assert (await served.call("GET", "/api/inboxinfo", by="bob")).json() == {
            "modalities": ["CT"],
            "number_of_studies": 1,
            "number_of_series": 1,
            "number_of_instances": 2,
        }
        sent = await served.call("PUT", f"/api/studies/{series.study}/users/carol?inbox=true", by="bob")
        assert sent.status_code == 201
        assert (await served.call("DELETE", f"{path}/albums/{album}", by="alice")).status_code == 204
        for person in ("alice", "bob", "carol"):
            assert (await served.call("DELETE", f"/api/studies/{series.study}", by=person)).status_code == 204
        assert served.world.state(series) == ("orphan", True)

    run(body)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("album=absent0000&inbox=true", 400),
        ("inbox=perhaps", 400),
        ("inbox=true&inbox=true", 400),
        ("unknown=1", 400),
        ("album=not-an-id", 404),
        ("inbox=false", 404),
    ],
)
def test_a_source_that_makes_no_sense_is_a_clear_error(run: Run, query: str, status: int) -> None:
    async def body(served: Served) -> None:
        answer = await served.call("PUT", f"/api/studies/1.9?{query}", by="alice")
        assert answer.status_code == status
        assert answer.json()["detail"]

    run(body)


def test_a_capability_token_is_shown_once_used_and_revoked(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        form = {"title": "Link", "scope_type": "album", "album": album, "read_permission": "true"}
        answer = await served.call("POST", "/api/capabilities", by="alice", form=form)
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        made = answer.json()
        token = made["access_token"]
        assert made.pop("secret") == made.pop("access_token")
        issued, expires = (datetime.fromisoformat(made[name]) for name in ("issued_at_time", "expiration_time"))
        assert timedelta(days=88) < expires - issued < timedelta(days=93)
        expected = {
            "id": made["id"],
            "token_type": "Bearer",
            "title": "Link",
            "scope_type": "album",
            "album": {"album_id": album, "name": "Hearts"},
            "read_permission": True,
            "write_permission": False,
            "appropriate_permission": False,
            "download_permission": False,
            "issued_at_time": made["issued_at_time"],
            "not_before_time": made["not_before_time"],
            "expiration_time": made["expiration_time"],
            "revoked": False,
            "created_by": _shown(served, "alice"),
        }
        assert made == expected
        assert made["expiration_time"].endswith("Z")
        reduced = await served.call("GET", f"/api/albums/{album}", token=token)
        assert (reduced.status_code, "is_admin" in reduced.json()) == (200, False)
        for where in (f"/api/link/{token}/albums/{album}",):
            assert (await served.call("GET", where)).json() == reduced.json()
        for method, path in (("GET", "/api/albums"), ("GET", "/api/inboxinfo"), ("GET", "/api/capabilities")):
            assert (await served.call(method, path, token=token)).status_code == 403
        listed = await served.call("GET", f"/api/capabilities?album={album}&valid=true", by="alice")
        assert [each["id"] for each in listed.json()] == [made["id"]]
        assert token not in listed.text
        assert "last_used" in listed.json()[0]
        revoked = await served.call("POST", f"/api/capabilities/{made['id']}/revoke", by="alice")
        assert (revoked.status_code, revoked.json()["revoked"]) == (200, True)
        assert revoked.json()["revoked_by"]["sub"] == "alice"
        assert (await served.call("GET", f"/api/albums/{album}", token=token)).status_code == 401
        assert (await served.call("GET", f"/api/capabilities/{made['id']}", by="carol")).status_code == 404
        assert (await served.call("GET", "/api/capabilities/absent0000", by="carol")).status_code == 404

    run(body)


GOOD_CAPABILITY = {"title": "t", "scope_type": "user", "read_permission": "true"}


@pytest.mark.parametrize(
    ("method", "path", "form", "says"),
    [
        ("POST", "/api/albums", {}, "'name' is required"),
        ("POST", "/api/albums", {"name": "  "}, "'name'"),
        ("POST", "/api/albums", {"name": "x" * 256}, "max expected: 255 characters but got :256"),
        ("POST", "/api/albums", {"name": "x", "description": "y" * 2049}, "max expected: 2048"),
        ("POST", "/api/albums", {"name": "x", "addUser": "yes"}, "'addUser' must be true or false"),
        ("POST", "/api/albums", {"name": "x", "nmae": "y"}, "parameters known here"),
        ("POST", "/api/albums", {"name": "x\x00y"}, "control characters"),
        ("PATCH", "/api/albums/{album}", {"name": ""}, "'name' must not be blank"),
        ("PATCH", "/api/albums/{album}", {"description": " "}, "'description' must not be blank"),
        ("POST", "/api/capabilities", {"scope_type": "user"}, "'title'"),
        ("POST", "/api/capabilities", {"title": "t"}, "'scope_type'"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "scope_type": "world"}, "user or album"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "scope_type": "album"}, "'album' is required"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "album": "{album}"}, "'scope_type=album' only"),
        (
            "POST",
            "/api/capabilities",
            {"title": "t", "scope_type": "user", "appropriate_permission": "true"},
            "need 'read_permission'",
        ),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "expiration_time": "soon"}, "ISO 8601"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "expiration_time": "2999-01-01T00:00:00"}, "offset"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "expiration_time": "2001-01-01T00:00:00Z"}, "future"),
        (
            "POST",
            "/api/capabilities",
            {**GOOD_CAPABILITY, "not_before_time": "2990-01-02T00:00:00Z", "expiration_time": "2990-01-01T00:00:00Z"},
            "after 'not_before_time'",
        ),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "expiration_time": "9999-12-31T23:00:00-14:00"}, "ISO 8601"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "not_before_time": "9999-12-31T00:00:00Z"}, "'expiration"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "expiration_time": "9999-12-31T00:00:00Z"}, "365 days"),
        ("POST", "/api/capabilities", {**GOOD_CAPABILITY, "not_before_time": "2990-01-01T00:00:00Z"}, "'expiration"),
        ("GET", "/api/albums?limit=0", {}, "'limit'"),
        ("GET", "/api/albums?offset=-1", {}, "'offset'"),
        ("GET", "/api/albums?sort=size", {}, "'sort' may be"),
        ("GET", "/api/albums?favorite=maybe", {}, "'favorite' must be"),
        ("GET", "/api/albums?unheard=1", {}, "parameters known here"),
        ("GET", "/api/capabilities?user=bob", {}, "'album' only"),
        ("GET", "/api/users", {}, "'reference'"),
        ("POST", "/api/register", {}, "'access_token' is required"),
        ("POST", "/api/register", {"access_token": "junk"}, "not a good access token"),
    ],
)
def test_a_bad_form_or_query_is_a_clear_error(
    run: Run, method: str, path: str, form: dict[str, str], says: str
) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        filled = {name: value.format(album=album) for name, value in form.items()}
        answer = await served.call(method, path.format(album=album), by="alice", form=filled or None)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert says in answer.json()["detail"]
        assert answer.json()["message"] in {"Bad Form Parameter", "Bad Query Parameter"}

    run(body)


def test_a_body_that_is_no_form_is_refused(run: Run) -> None:
    async def body(served: Served) -> None:
        answer = await served.api.post(
            "/api/albums", json={"name": "x"}, headers={"authorization": f"Bearer {served.token('alice')}"}
        )
        assert answer.status_code == 415

    run(body)


def test_register_takes_name_and_verified_address_from_the_issuer(run: Run) -> None:
    async def body(served: Served) -> None:
        served.issuer.userinfo = (
            200,
            {"sub": "dora", "name": "Dora", "email": "Dora@Example.org", "email_verified": True},
        )
        answer = await served.call("POST", "/api/register", form={"access_token": served.token("dora", email=None)})
        assert (answer.status_code, answer.json()) == (
            200,
            {"email": "dora@example.org", "name": "Dora", "sub": "dora"},
        )
        served.issuer.userinfo = (200, {"sub": "somebody-else", "email": "x@example.org", "email_verified": True})
        refused = await served.call("POST", "/api/register", form={"access_token": served.token("dora")})
        assert refused.status_code == 401
        served.issuer.userinfo = (401, {"error": "invalid_token"})
        served.world.execute("UPDATE users SET suspended_at = now() WHERE sub = 'dora'")
        suspended = await served.call("POST", "/api/register", form={"access_token": served.token("dora")})
        assert suspended.status_code == 401
        assert served.world.rows("SELECT email, name FROM users WHERE sub = 'dora'") == [("dora@example.org", "Dora")]

    run(body)


def test_a_person_is_found_by_exact_reference_only(run: Run) -> None:
    async def body(served: Served) -> None:
        await album_of(served, "alice", "bob")
        for reference in ("bob", "bob@example.org", "BOB%40example.org"):
            found = await served.call("GET", f"/api/users?reference={reference}", by="alice")
            assert (found.status_code, found.json()) == (200, _shown(served, "bob"))
        for reference in ("bo", "bob@example", "%25", "b_b", "nobody@example.org"):
            missing = await served.call("GET", f"/api/users?reference={reference}", by="alice")
            assert (missing.status_code, missing.content) == (204, b"")

    run(body)


def test_probes_and_discovery_need_no_credential_and_everything_else_does(run: Run) -> None:
    async def body(served: Served) -> None:
        assert (await served.call("GET", "/api/liveness")).status_code == 200
        assert (await served.call("GET", "/api/readiness")).status_code == 200
        metadata = await served.call("GET", "/.well-known/oauth-protected-resource")
        assert metadata.json() == {
            "resource": PUBLIC_URL,
            "authorization_servers": [served.issuer.issuer],
            "bearer_methods_supported": ["header"],
        }
        for method, path in (
            ("GET", "/api/albums"),
            ("POST", "/api/albums"),
            ("GET", "/api/albums/absent0000"),
            ("GET", "/api/users?reference=x"),
            ("GET", "/api/inboxinfo"),
            ("POST", "/api/capabilities"),
            ("PUT", "/api/studies/1.2.3"),
        ):
            answer = await served.call(method, path)
            assert answer.status_code == 401, path
            assert "Authorization header" in answer.json()["detail"]
            assert "resource_metadata=" in answer.headers["www-authenticate"]

    run(body)


def test_the_document_of_the_api_is_for_everybody_and_tells_nothing_of_the_installation(run: Run) -> None:
    async def body(served: Served) -> None:
        answers = [
            await served.call("GET", "/api/openapi.json"),
            await served.call("GET", "/api/openapi.json", by="alice"),
            await served.call("GET", "/api/openapi.json", token="not a token"),
        ]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].headers["content-type"] == "application/json"
        assert answers[0].headers["cache-control"] == "public, max-age=3600"
        assert answers[0].json()["openapi"].startswith("3.1.")
        for told in (PUBLIC_URL, served.issuer.issuer, "alice"):
            assert told not in answers[0].text
        assert (await served.call("POST", "/api/openapi.json")).status_code == 405

    run(body)


def test_a_database_whose_schema_is_behind_is_not_ready(run: Run) -> None:
    async def body(served: Served) -> None:
        assert (await served.call("GET", "/api/readiness")).status_code == 200
        served.world.execute("ALTER TABLE schema_version RENAME TO schema_version_gone")
        try:
            assert (await served.call("GET", "/api/readiness")).status_code == 503
            assert (await served.call("GET", "/api/liveness")).status_code == 200
        finally:
            served.world.execute("ALTER TABLE schema_version_gone RENAME TO schema_version")

    run(body)


@pytest.mark.parametrize(
    "path",
    [
        "/albums",
        "/api/.well-known/oauth-protected-resource",
        "/api/albums/",
        "/api/albums/1",
        "/api/albums/absent0000/users/a%2Fb/c",
        "/api//albums",
        "/api/comments",
    ],
)
def test_a_path_that_no_route_has_is_not_found(run: Run, path: str) -> None:
    async def body(served: Served) -> None:
        assert (await served.call("GET", path, by="alice")).status_code == 404

    run(body)


@pytest.mark.parametrize("reference", ["%00", "%ff", "a" * 321, "%0a"])
def test_a_reference_that_can_be_nobodys_is_not_found(run: Run, reference: str) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        assert (await served.call("PUT", f"/api/albums/{album}/users/{reference}", by="alice")).status_code == 404

    run(body)


def test_a_path_with_another_method_says_which_it_takes(run: Run) -> None:
    async def body(served: Served) -> None:
        answer = await served.call("POST", "/api/albums/absent0000", by="alice")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"

    run(body)


def test_each_use_and_each_refusal_is_in_the_audit_trail(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        await served.call("GET", f"/api/albums/{album}", by="bob")
        await served.call("DELETE", f"/api/albums/{album}", by="bob")
        await served.call("PATCH", f"/api/albums/{album}", by="carol", form={"name": "x"})
        rows = served.world.rows(
            "SELECT sub, kind, outcome, reason FROM audit WHERE subject = :album ORDER BY pk", album=album
        )
        assert [tuple(row) for row in rows] == [
            ("alice", "album-created", "granted", None),
            ("bob", "album-read", "granted", None),
            ("bob", "album-deleted", "refused", "forbidden"),
            ("carol", "album-edited", "refused", "album-not-found"),
        ]

    run(body)
