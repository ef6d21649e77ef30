"""The events service, started both ways: whom it obeys, what it can be asked, and that nothing else can be."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pg8000.native
import pytest

from kheops.clock import now
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.storage import audit
from kheops.storage.engine import Database, connection_arguments
from kheops.web import api_service, dicomweb_service, events_service, pages_service
from local.processes import ProcessError
from tests.entrypoints.serving import HTTP_SERVICES, Served, Start, environment, serve
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import Server

KEY = SigningKey("google")
STARTS: tuple[Start, ...] = ("granian", "functions-framework")
AUDIENCE = "https://events.example"
SENDER = "caller@project.iam.gserviceaccount.com"
STORE = "projects/p/locations/l/datasets/d/dicomStores/s"
NAME = f"{STORE}/dicomWeb/studies/1.2.1/series/1.2.2/instances/1.2.3"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
UNLIKE = frozenset({"date", "server", "x-request-id"})


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def database_url_of_module(postgres: Server) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def _settings(database_url: str, issuer: FakeIssuer, **more: str) -> dict[str, str]:
    return environment(
        database_url,
        issuer,
        **{
            "KHEOPS_STORE_KIND": "google",
            # Nobody is there: what needs the store is not wholly done.
            "KHEOPS_STORE_URL": f"http://127.0.0.1:9/v1/{STORE}",
            "KHEOPS_EVENTS_AUDIENCE": AUDIENCE,
            "KHEOPS_EVENTS_SENDERS": SENDER,
            "KHEOPS_EVENTS_ISSUER": issuer.issuer,
            **more,
        },
    )


@pytest.fixture(scope="module")
def both(
    database_url_of_module: str, issuer: FakeIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served]]:
    settings = _settings(database_url_of_module, issuer)
    logs = tmp_path_factory.mktemp("logs")
    with (
        serve("events", "granian", settings, logs / "granian") as granian,
        serve("events", "functions-framework", settings, logs / "framework") as framework,
    ):
        yield granian, framework


def _token(issuer: FakeIssuer, **changes: object) -> str:
    now = int(time.time())
    claims = {"iss": issuer.issuer, "aud": AUDIENCE, "sub": "1", "email": SENDER, "email_verified": True}
    return KEY.sign({**claims, "iat": now, "exp": now + 600, **changes})


def _push(name: str = NAME, **attributes: str) -> dict[str, Any]:
    message: dict[str, Any] = {"data": base64.b64encode(name.encode()).decode(), "messageId": "1"}
    if attributes:
        message["attributes"] = attributes
    return {"message": message, "subscription": "projects/p/subscriptions/s"}


def _post(
    served: Served, path: str, token: str | None, body: object = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    sent = {} if token is None else {"Authorization": f"Bearer {token}"}
    if body is not None:
        sent["Content-Type"] = "application/json"
    with httpx.Client(trust_env=False, timeout=20) as client:
        return client.post(
            f"{served.url}{path}",
            headers=sent | (headers or {}),
            content=b"" if body is None else json.dumps(body).encode(),
        )


@contextmanager
def _sql(database_url: str) -> Iterator[pg8000.native.Connection]:
    with pg8000.native.Connection(**connection_arguments(database_url)) as connection:
        yield connection


def _noticed(database_url: str) -> list[Any]:
    with _sql(database_url) as connection:
        rows: list[Any] = connection.run("DELETE FROM noticed_series RETURNING sop_instance_uid")
    return [uid for (uid,) in rows]


def _told(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = sorted((name, value) for name, value in answer.headers.multi_items() if name not in UNLIKE)
    return answer.status_code, headers, answer.content


EVENT = {"specversion": "1.0", "id": "1", "source": "//pubsub", "type": PUBLISHED, "data": _push()}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (_push(), {}),
        (_push(action="StoreInstances"), {}),
        (_push(action="ImportDicomData"), {}),
        (_push(), {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//pubsub", "ce-type": PUBLISHED}),
        (EVENT, {"Content-Type": "application/cloudevents+json; charset=UTF-8"}),
    ],
    ids=["legacy", "stored", "imported", "binary-event", "structured-event"],
)
def test_each_form_of_a_notification_is_written_down(
    both: tuple[Served, Served],
    issuer: FakeIssuer,
    database_url_of_module: str,
    body: object,
    headers: dict[str, str],
) -> None:
    for served in both:
        answer = _post(served, "/", _token(issuer), body, headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert _noticed(database_url_of_module) == ["1.2.3"]


@pytest.mark.parametrize(
    "body", [_push(NAME.replace("/s/dicomWeb", "/other/dicomWeb")), _push(action="SetBlobSettings")]
)
def test_what_is_none_of_ours_is_taken_and_dropped(
    both: tuple[Served, Served], issuer: FakeIssuer, database_url_of_module: str, body: object
) -> None:
    for served in both:
        assert _post(served, "/", _token(issuer), body).status_code == 204
        assert _noticed(database_url_of_module) == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ([], {}, 400),
        ({}, {}, 400),
        ({"message": "text"}, {}, 400),
        ({"message": {}}, {}, 400),
        ({"message": {"data": 7}}, {}, 400),
        ({"message": {**_push()["message"], "attributes": []}}, {}, 400),
        ({"message": {**_push()["message"], "attributes": "x"}}, {}, 400),
        ({"message": {**_push()["message"], "attributes": {"action": ["StoreInstances"]}}}, {}, 400),
        (_push("patient-name-of-somebody"), {}, 400),
        (_push(), {"ce-type": "google.cloud.storage.object.v1.finalized"}, 400),
        ({**EVENT, "type": "other"}, {"Content-Type": "application/cloudevents+json"}, 400),
        ({**EVENT, "data": None}, {"Content-Type": "application/cloudevents+json"}, 400),
        (_push(), {"Content-Type": "text/plain"}, 415),
        (_push("x" * 2_000_000), {}, 413),
    ],
)
def test_what_is_no_notification_is_refused_alike_and_leaves_nothing(  # noqa: PLR0917 - parameters of one case
    both: tuple[Served, Served],
    issuer: FakeIssuer,
    database_url_of_module: str,
    body: object,
    headers: dict[str, str],
    status: int,
) -> None:
    granian, framework = (_post(served, "/", _token(issuer), body, headers) for served in both)
    assert _told(granian) == _told(framework)
    assert granian.status_code == status
    assert b"somebody" not in granian.content
    assert _noticed(database_url_of_module) == []


@pytest.mark.parametrize("path", ["/", "/tasks/seal", "/tasks/nothing", "/nothing", "/api/albums", "/api/studies"])
def test_who_may_not_call_learns_not_even_which_paths_there_are(
    both: tuple[Served, Served], issuer: FakeIssuer, database_url_of_module: str, path: str
) -> None:
    bad = [
        None,
        "opaque",
        _token(issuer, email="somebody@example.org"),
        _token(issuer, email_verified=False),
        _token(issuer, aud="https://another.example"),
        _token(issuer, exp=int(time.time()) - 3600),
        SigningKey("google", number=1).sign({"iss": issuer.issuer, "aud": AUDIENCE, "email": SENDER}),
    ]
    for served in both:
        for token in bad:
            assert _post(served, path, token, _push()).status_code == 401, token
        twice = [("Authorization", f"Bearer {_token(issuer)}")] * 2
        assert httpx.post(f"{served.url}{path}", headers=twice, trust_env=False).status_code == 401
        basic = base64.b64encode(f"x:{_token(issuer)}".encode()).decode()
        assert _post(served, path, None, headers={"Authorization": f"Basic {basic}"}).status_code == 401
    assert _noticed(database_url_of_module) == []


@pytest.mark.parametrize("task", ["clear", "compare", "deliver", "digests", "purge", "reconcile", "seal"])
def test_each_task_of_the_list_is_done(both: tuple[Served, Served], issuer: FakeIssuer, task: str) -> None:
    for served in both:
        answer = _post(served, f"/tasks/{task}", _token(issuer))
        assert (answer.status_code, answer.content) == (204, b"")


def test_task_does_its_work(both: tuple[Served, Served], issuer: FakeIssuer, database_url_of_module: str) -> None:
    use = Use(User(None, None, None), UseKind.SEARCH, Outcome.GRANTED, source_address=None, request_id="r")
    database = Database(connection_arguments(database_url_of_module), size=1)
    database.run_blocking(lambda tx: audit.insert_use(tx, use, now()))
    database.close()
    with _sql(database_url_of_module) as connection:
        before = connection.run("SELECT count(*) FROM audit_chain")
        assert _post(both[0], "/tasks/seal", _token(issuer)).status_code == 204
        assert connection.run("SELECT count(*) FROM audit_chain") != before


def test_task_that_the_store_keeps_from_its_end_is_503(
    both: tuple[Served, Served], issuer: FakeIssuer, database_url_of_module: str
) -> None:
    for served in both:
        assert _post(served, "/", _token(issuer), _push()).status_code == 204
        answer = _post(served, "/tasks/reconcile", _token(issuer))
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert _noticed(database_url_of_module) == ["1.2.3"]
        assert '"task.not_whole"' in served.log.read_text("utf-8")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/tasks/nothing", 404),
        ("POST", "/tasks/", 404),
        ("POST", "/tasks/Purge", 404),
        ("POST", "/api/tasks/seal", 404),
        ("POST", "/api/link/token/tasks/seal", 404),
        ("GET", "/tasks/purge", 405),
        ("GET", "/", 405),
    ],
)
def test_nothing_else_can_be_asked(
    both: tuple[Served, Served], issuer: FakeIssuer, method: str, path: str, status: int
) -> None:
    headers = {"Authorization": f"Bearer {_token(issuer)}"}
    granian, framework = (served.ask(method, path, headers) for served in both)
    assert _told(granian) == _told(framework)
    assert granian.status_code == status


def test_no_route_of_people_is_on_this_service(both: tuple[Served, Served], issuer: FakeIssuer) -> None:
    headers = {"Authorization": f"Bearer {_token(issuer)}"}
    for path in ("/api/liveness", "/api/albums", "/api/studies", "/api/metrics", "/login", "/albums", "/studies"):
        for served in both:
            assert served.ask("GET", path, headers).status_code == 404, path
    assert {route.template for route in events_service.TABLE.routes} == {"/", "/tasks/{task}"}


@pytest.mark.parametrize("service", HTTP_SERVICES)
def test_no_event_route_is_on_another_service(
    service: str, database_url_of_module: str, issuer: FakeIssuer, tmp_path: Path
) -> None:
    with serve(service, "granian", _settings(database_url_of_module, issuer), tmp_path) as served:
        for path in ("/", "/tasks/purge", "/api", "/api/", "/api/tasks/purge"):
            assert _post(served, path, _token(issuer), _push()).status_code in {401, 404, 405}, path
    tables = (api_service.TABLE, api_service.WELL_KNOWN, pages_service.TABLE)
    assert not [route for table in tables for route in table.routes if "/tasks" in route.template]
    assert dicomweb_service.TABLE


def test_logs_have_neither_token_nor_uid(both: tuple[Served, Served], issuer: FakeIssuer) -> None:
    token = _token(issuer)
    for served in both:
        _post(served, "/", token, _push(NAME.replace("/s/dicomWeb", "/other/dicomWeb")))
        log = served.log.read_text("utf-8")
        assert '"notifications.other_store"' in log
        assert token not in log
        assert "1.2.3" not in log


@pytest.mark.parametrize("missing", [("KHEOPS_EVENTS_AUDIENCE", "KHEOPS_EVENTS_SENDERS"), ("KHEOPS_EVENTS_SENDERS",)])
def test_it_does_not_serve_without_saying_who_may_call(
    database_url_of_module: str, issuer: FakeIssuer, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    settings = {
        name: value for name, value in _settings(database_url_of_module, issuer).items() if name not in missing
    }
    with pytest.raises(ProcessError), serve("events", "granian", settings, tmp_path / "granian"):
        pass
    with serve("events", "functions-framework", settings, tmp_path / "framework") as framework:
        assert _post(framework, "/tasks/seal", _token(issuer)).status_code == 503


def test_notifications_are_for_the_healthcare_api_only(
    database_url_of_module: str, issuer: FakeIssuer, tmp_path: Path
) -> None:
    settings = _settings(
        database_url_of_module,
        issuer,
        KHEOPS_STORE_KIND="dicomweb",
        KHEOPS_STORE_URL="http://127.0.0.1:9/dicom-web",
    )
    with serve("events", "granian", settings, tmp_path) as served:
        assert _post(served, "/", _token(issuer), _push()).status_code == 404
        assert _post(served, "/tasks/clear", _token(issuer)).status_code == 204
