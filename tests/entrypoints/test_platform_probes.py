"""Probes of the platform: each service has them at its port, without a credential, started either way."""

import time
from collections.abc import Iterator
from pathlib import Path

import pg8000.native
import pytest

from kheops.storage.engine import connection_arguments
from tests.entrypoints.serving import FUNCTIONS, Start, environment, serve
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import Server

SERVICES = sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py"))
STARTS: tuple[Start, ...] = ("granian", "functions-framework")
KEY = SigningKey("probes")


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


def _settings(database_url: str, issuer: FakeIssuer) -> dict[str, str]:
    return environment(
        database_url,
        issuer,
        KHEOPS_EVENTS_AUDIENCE="https://events.example",
        KHEOPS_EVENTS_SENDERS="caller@project.iam.gserviceaccount.com",
    )


def test_there_are_four_services() -> None:
    assert SERVICES == ["api", "dicomweb", "events", "web"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("service", SERVICES)
def test_service_lives_without_its_database_and_is_ready_with_it_alone(
    postgres: Server, issuer: FakeIssuer, tmp_path: Path, service: str, start: Start
) -> None:
    url = postgres.migrated()
    with serve(service, start, _settings(url, issuer), tmp_path) as served:
        for method in ("GET", "HEAD"):
            for probe in ("/liveness", "/readiness"):
                answer = served.ask(method, probe)
                assert (answer.status_code, answer.content) == (200, b""), (method, probe)
                assert answer.headers["cache-control"] == "no-store"
        postgres.drop(url)
        assert served.ask("GET", "/liveness").status_code == 200
        assert served.ask("GET", "/readiness").status_code == 503
        assert '"process.not_ready"' in served.log.read_text("utf-8")


@pytest.mark.parametrize("service", ["dicomweb", "events"])
def test_what_is_no_probe_goes_its_usual_way(
    database_url: str, issuer: FakeIssuer, tmp_path: Path, service: str
) -> None:
    with serve(service, "granian", _settings(database_url, issuer), tmp_path) as served:
        for method, path in (
            ("POST", "/liveness"),
            ("GET", "/liveness/"),
            ("GET", "/Readiness"),
        ):
            assert served.ask(method, path).status_code in {401, 404, 405}, (method, path)


@pytest.mark.parametrize("service", ["dicomweb", "events"])
def test_process_that_cannot_open_lives_and_is_not_ready(issuer: FakeIssuer, tmp_path: Path, service: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    with serve(service, "functions-framework", _settings(nowhere, issuer), tmp_path) as served:
        assert served.ask("GET", "/liveness").status_code == 200
        assert served.ask("GET", "/readiness").status_code == 503


def test_process_whose_database_is_being_restored_is_not_ready(
    database_url: str, issuer: FakeIssuer, tmp_path: Path
) -> None:
    with serve("web", "granian", _settings(database_url, issuer), tmp_path) as served:
        assert served.ask("GET", "/readiness").status_code == 200
        with pg8000.native.Connection(**connection_arguments(database_url)) as connection:
            connection.run(
                "INSERT INTO restoration (begun_at, timeline, number, digest) VALUES (now(), 't', 0, '\\x00')"
            )
        deadline = time.monotonic() + 10
        while served.ask("GET", "/readiness").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert served.ask("GET", "/readiness").status_code == 503
        assert served.ask("GET", "/liveness").status_code == 200
