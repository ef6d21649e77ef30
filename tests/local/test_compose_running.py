"""What of ``local/compose.yaml`` can run as a process here, with the settings, commands and probes of that file.

PostgreSQL, Keycloak with its realm, and our services are the real ones; the stand-in of ``tests/fakes/dcm4chee`` takes
the archive's place. Other than in the containers, ports are free ones, secrets lie in a folder of the test, nothing
listens beyond loopback, and Keycloak was built beforehand.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local import keycloak
from local.compose_secrets import NAMES, make_secrets
from local.keycloak import people_of_the_realm, why_not_here
from local.oidc_login import new_browser, tokens_of
from local.postgres import binaries, start_postgres
from local.processes import Processes, answers_http, base_environment
from local.provider import Client
from tests.contract.archive.real_stores import dcm4chee, free_port
from tests.infra.terraform import ROOT
from tests.local.compose_file import interpolated, raw

pytestmark = pytest.mark.skipif(why_not_here() is not None, reason=str(why_not_here()))


@dataclass(frozen=True)
class Running:
    """The services of the file, running as processes."""

    services: dict[str, Any]
    kheops: str
    viewer: str
    folder: Path

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> str:
        """Run a command of the file to its end, and return what it prints."""
        return _run(command, environment or {})


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=_environment(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(extra: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{binaries()}:{os.environ['PATH']}"
    return {**base_environment(extra), "PATH": path}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("compose")
    folder.chmod(0o755)
    ports = {name: str(free_port()) for name in ("KHEOPS_PORT", "KHEOPS_IDP_PORT", "KHEOPS_VIEWER_PORT")}
    kept = folder / "secrets"
    kept.mkdir()
    assert make_secrets(kept) == list(NAMES)
    with Processes(folder / "logs") as processes, dcm4chee(folder) as archive:
        home = folder / "keycloak"
        database = free_port()
        here = {
            "/run/kheops": str(kept),
            "127.0.0.1:5432": f"127.0.0.1:{database}",
            "127.0.0.1:8080": archive.root.split("/")[2],
            "0.0.0.0": "127.0.0.1",
            "/opt/keycloak/bin/kc.sh": f"sh {home}/bin/kc.sh",
        }
        services = _here(interpolated(raw(), ports)["services"], here)
        assert services["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == str(kept / "postgres")
        start_postgres(processes, folder / "postgres", port=database, password=(kept / "postgres").read_text("ascii"))
        _start_keycloak(processes, services["keycloak"], home, port=ports["KHEOPS_IDP_PORT"])
        environment = services["kheops"]["environment"]
        _run(services["migrate"]["command"], services["migrate"]["environment"])
        address = environment["KHEOPS_PUBLIC_URL"]
        processes.start(
            "kheops",
            services["kheops"]["command"],
            ready=lambda: answers_http(f"{address}/api/readiness"),
            environment=_environment(environment),
            folder=ROOT,
            deadline_seconds=60,
        )
        yield Running(services, address, environment["KHEOPS_ALLOWED_ORIGINS"], folder)


def _here(value: Any, replaced: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _here(each, replaced) for key, each in value.items()}
    if isinstance(value, list):
        return [_here(each, replaced) for each in value]
    if isinstance(value, str):
        for old, new in replaced.items():
            value = value.replace(old, new)
    return value


def _start_keycloak(processes: Processes, service: dict[str, Any], home: Path, *, port: str) -> None:
    keycloak._prepare(home, "compose")
    first, *options = service["command"]
    environment = {name: value for name, value in service["environment"].items() if name != "KC_DB"}
    processes.start(
        "keycloak",
        [*service["entrypoint"], first, "--optimized", *options],
        ready=lambda: answers_http(f"http://127.0.0.1:{port}/realms/kheops/.well-known/openid-configuration"),
        environment={
            **_environment(environment),
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1",
        },
        folder=home,
        deadline_seconds=300,
    )


@pytest.mark.parametrize("service", ["kheops", "keycloak"])
def test_probe_passes_while_it_runs(running: Running, service: str) -> None:
    kind, *command = running.services[service]["healthcheck"]["test"]
    assert kind == "CMD"
    running.run(command)


@pytest.mark.parametrize("service", ["kheops", "keycloak"])
def test_probe_fails_where_nothing_listens(running: Running, service: str) -> None:
    _, *command = running.services[service]["healthcheck"]["test"]
    port = running.kheops.rpartition(":")[2] if service == "kheops" else _issuer(running).split("/")[2].split(":")[1]
    with pytest.raises(AssertionError):
        running.run([each.replace(port, str(free_port())) for each in command])


def _issuer(running: Running) -> str:
    issuers = json.loads(running.services["kheops"]["environment"]["KHEOPS_ISSUERS"])
    return str(issuers[0]["issuer"])


def test_welcome_seeds_a_study_twice_without_a_difference_and_prints_every_login(running: Running) -> None:
    for _ in range(2):
        said = running.run(running.services["welcome"]["command"])
        assert running.kheops in said
        assert running.viewer in said
        assert "A study of 11 images lies in the inbox of alice." in said
        for person in people_of_the_realm():
            assert person.password in said
    token = _token(running)
    found = httpx.get(f"{running.kheops}/api/series", headers=_bearer(token), timeout=30, trust_env=False)
    assert found.status_code == 200
    assert len(found.json()) == 3


def _token(running: Running) -> str:
    """Log alice in as the viewer does."""
    client = Client("kheops-viewer", "OHIF", (f"{running.viewer}/callback",))
    with new_browser() as browser:
        tokens = tokens_of(browser, _issuer(running), client, user_name="alice", password="alice-demo")
    return tokens.access_token


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": "application/dicom+json"}


def test_viewer_may_ask_across_origins_and_others_may_not(running: Running) -> None:
    ours, provider = f"{running.kheops}/api/studies", f"{_issuer(running)}/protocol/openid-connect/token"
    assert _allowed(ours, "GET", running.viewer) == running.viewer
    assert _allowed(ours, "GET", "http://127.0.0.1:9") is None
    # Keycloak lets every origin ask whether it may; it decides when a code is redeemed.
    assert _allowed(provider, "POST", running.viewer) == running.viewer


def _allowed(url: str, method: str, origin: str) -> str | None:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    answer = httpx.options(url, headers=headers, timeout=30, trust_env=False)
    allowed: str | None = answer.headers.get("access-control-allow-origin")
    return allowed


def test_browser_is_sent_to_the_provider_and_back(running: Running) -> None:
    with new_browser() as browser:
        login = browser.get(f"{running.kheops}/login")
        assert login.status_code in {302, 303}
        assert login.headers["location"].startswith(f"{_issuer(running)}/protocol/openid-connect/auth?")


def test_administrator_is_one_by_the_file(running: Running) -> None:
    client = Client("kheops-curl", "scripts", ("http://127.0.0.1:1/signed-in",))
    statuses = {}
    for name in ("dora", "bob"):
        with new_browser() as browser:
            tokens = tokens_of(browser, _issuer(running), client, user_name=name, password=f"{name}-demo")
        answer = httpx.get(
            f"{running.kheops}/api/metrics", headers=_bearer(tokens.access_token), timeout=30, trust_env=False
        )
        statuses[name] = answer.status_code
    assert statuses == {"dora": 200, "bob": 403}
