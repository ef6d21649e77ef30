"""Each HTTP service, started as in production and by the plain framework command, answers alike."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pg8000.native
import pytest

from kheops.storage.engine import connection_arguments
from tests.entrypoints.serving import HTTP_SERVICES, Served, Start, environment, serve
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import Server

KEY = SigningKey("entrypoints")
STARTS: tuple[Start, ...] = ("granian", "functions-framework")
UNLIKE = frozenset({"date", "server", "x-request-id"})
"""Headers that differ from answer to answer, or name the server."""

ALIKE = [
    ("GET", "/albums", {}),
    ("POST", "/logout", {}),
    ("POST", "/token", {}),
    ("GET", "/", {}),
    ("GET", "/api/liveness", {}),
    ("HEAD", "/api/liveness", {}),
    ("GET", "/api/readiness", {}),
    ("GET", "/.well-known/oauth-protected-resource", {}),
    ("GET", "/nothing", {}),
    ("GET", "/api/nothing", {}),
    ("GET", "/api/albums", {}),
    ("HEAD", "/api/albums", {}),
    ("GET", "/api/studies", {}),
    ("HEAD", "/api/studies", {}),
    ("GET", "/api/studies", {"Authorization": "Bearer good"}),
    ("GET", "/api/studies?limit=nonsense", {"Authorization": "Bearer good"}),
    ("GET", "/api/albums", {"Authorization": "Bearer good"}),
    ("GET", "/api/studies", {"Authorization": "Bearer bad"}),
    ("GET", "/api/studies", {"Authorization": "Negotiate x"}),
    ("GET", "/api/studies/1.2", {"Authorization": "Bearer good"}),
    ("GET", "/api/studies/1%2e2", {"Authorization": "Bearer good"}),
    ("GET", "/api/studies/1.2/", {"Authorization": "Bearer good"}),
    ("GET", "//api/studies", {}),
    ("GET", "/api/link/no-token/studies", {}),
    ("POST", "/api/studies", {"Authorization": "Bearer good", "Content-Type": "text/plain"}),
    ("POST", "/api/albums", {"Authorization": "Bearer good"}),
    ("PUT", "/api/albums", {"Authorization": "Bearer good"}),
    ("PATCH", "/api/studies", {"Authorization": "Bearer good"}),
    ("DELETE", "/api/liveness", {}),
    ("OPTIONS", "/api/studies", {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"}),
    ("OPTIONS", "/api/studies", {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}),
    ("GET", "/api/studies", {"Origin": "https://viewer.example"}),
]

FRAMEWORK_KEEPS = [
    ("GET", "/robots.txt", (404, b"Not Found")),
    ("GET", "/favicon.ico", (404, b"Not Found")),
    ("GET", "/api/studies/1%0A2", (404, b"Not Found")),
    ("PROPFIND", "/api/studies", (405, b"Method Not Allowed")),
    ("TRACE", "/api/studies", (405, b"Method Not Allowed")),
]
"""What the framework answers by itself, in plain text, where its plain command is used."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def database_url_of_module(postgres: Server) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module", params=HTTP_SERVICES)
def both(
    request: pytest.FixtureRequest,
    database_url_of_module: str,
    issuer: FakeIssuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Served, Served]]:
    settings = environment(database_url_of_module, issuer)
    logs = tmp_path_factory.mktemp("logs")
    with (
        serve(request.param, "granian", settings, logs / "granian") as granian,
        serve(request.param, "functions-framework", settings, logs / "framework") as framework,
    ):
        yield granian, framework


def _token(issuer: FakeIssuer) -> str:
    now = int(time.time())
    claims = {"iss": issuer.issuer, "sub": "erin", "aud": "kheops", "iat": now, "exp": now + 600, "jti": "erin"}
    return KEY.sign(claims, typ="at+jwt")


def _told(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = sorted((name, value) for name, value in answer.headers.multi_items() if name not in UNLIKE)
    return answer.status_code, headers, answer.content


def test_both_starts_answer_alike(both: tuple[Served, Served], issuer: FakeIssuer) -> None:
    token = _token(issuer)
    statuses: Counter[int] = Counter()
    for method, path, headers in ALIKE:
        sent = {name: value.replace("good", token) for name, value in headers.items()}
        granian, framework = (served.ask(method, path, sent) for served in both)
        assert _told(granian) == _told(framework), (method, path, headers)
        assert "x-request-id" in granian.headers
        assert granian.status_code < 500
        statuses[granian.status_code] += 1
    # The comparison is of answers of many kinds, not of one refusal again and again.
    assert len(statuses) >= 4, statuses


@pytest.mark.parametrize(("method", "path", "plain"), FRAMEWORK_KEEPS)
def test_framework_keeps_to_itself_what_our_application_answers(
    both: tuple[Served, Served], method: str, path: str, plain: tuple[int, bytes]
) -> None:
    ours, framework = (served.ask(method, path) for served in both)
    assert (framework.status_code, framework.content) == plain
    assert framework.headers["content-type"].startswith("text/plain")
    assert "x-content-type-options" not in framework.headers
    assert ours.status_code in {404, 405}
    assert not ours.headers["content-type"].startswith("text/plain")
    assert ours.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in ours.headers


def test_control_plane_alone_answers_probes(both: tuple[Served, Served]) -> None:
    granian, framework = both
    service = granian.log.name.partition("-")[0]
    for probe in ("liveness", "readiness"):
        expected = 200 if service == "api" else 404
        assert granian.ask("GET", f"/api/{probe}").status_code == expected
        assert framework.ask("GET", f"/api/{probe}").status_code == expected


def test_missing_credential_is_401_and_says_where_to_get_one(both: tuple[Served, Served]) -> None:
    service = both[0].log.name.partition("-")[0]
    path = {"api": "/api/albums", "dicomweb": "/api/studies"}.get(service)
    for served in both:
        if path is None:
            # Pages send a browser to where it can log in instead.
            answer = served.ask("GET", "/albums")
            assert (answer.status_code, answer.headers["location"]) == (303, "/?return_to=%2Falbums")
            continue
        answer = served.ask("GET", path)
        assert answer.status_code == 401
        assert "oauth-protected-resource" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("service", ["api", "dicomweb"])
def test_fifty_concurrent_first_requests_open_one_process(
    database_url: str, issuer: FakeIssuer, tmp_path: Path, service: str, start: Start
) -> None:
    settings = environment(database_url, issuer, KHEOPS_DATABASE_POOL="2", KHEOPS_LOOKUP_THREADS="2")
    path = {"api": "/api/albums", "dicomweb": "/api/studies"}[service]
    token = _token(issuer)
    with serve(service, start, settings, tmp_path) as served:
        statuses = asyncio.run(_fifty(f"{served.url}{path}", token))
        connections = _connections(database_url)
        log = served.log.read_text("utf-8")
    assert statuses == [200] * 50
    assert 1 <= connections <= 4
    assert log.count('"process.opened"') == 1


async def _fifty(url: str, token: str) -> list[int]:
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        headers = {"Authorization": f"Bearer {token}"}
        answers = await asyncio.gather(*(client.get(url, headers=headers) for _ in range(50)))
    return [answer.status_code for answer in answers]


def _connections(database_url: str) -> int:
    arguments = connection_arguments(database_url)
    with pg8000.native.Connection(**arguments) as connection:
        rows = connection.run(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    count: int = rows[0][0]
    return count
