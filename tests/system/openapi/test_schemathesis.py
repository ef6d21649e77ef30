"""Schemathesis against a running system: what the document says is what is answered, whatever is asked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.system.openapi.world import World, build
from tests.system.running import System, start_system

_REPOSITORY = Path(__file__).resolve().parents[3]
_NOT_CHECKED = "positive_data_acceptance,ensure_resource_availability"
"""That what obeys the schema is accepted: no schema says that `album` and `inbox` exclude each other. That what was
just made is there: a link is not, for who opens it with another secret."""


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a system of its own: what is asked here deletes and shares at random."""
    folder = tmp_path_factory.mktemp("openapi")
    mail = {"KHEOPS_MAIL_FROM": "kheops@example.org", "KHEOPS_MAIL_FOLDER": str(folder / "mail")}
    with start_system(postgres, folder, settings=mail) as running:
        yield running
        text = running.log_text()
    assert "request.failed" not in text
    assert "Xq^Unmistakable" not in text
    assert not [secret[:12] for secret in running.secrets_used if secret in text]


@pytest.fixture
def world(system: System) -> World:
    return build(system)


def _run(system: System, world: World, caller: str, folder: Path, *, seconds: int, seed: int | None) -> None:
    """Run Schemathesis as a caller, and show what it says if it finds something."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(world.configuration(), "utf-8")
    token = world.tokens[caller]
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(configuration), "--no-color", "run", f"{system.url}/api/openapi.json"),
            *("--url", f"{system.url}/api", "--max-time", str(seconds), "--phases", "coverage,fuzzing,stateful"),
            *("--request-timeout", "30", "--continue-on-failure", "--suppress-health-check", "all"),
            *("--warnings", "off", "--exclude-checks", _NOT_CHECKED, "--exclude-path-regex", r"^/\.well-known/"),
            *(() if seed is None else ("--seed", str(seed))),
            *(() if token is None else ("--header", f"Authorization: Bearer {token}")),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY), "SCHEMATHESIS_HOOKS": "tests.system.openapi.hooks"},
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=False,
    )
    assert done.returncode == 0, f"as {caller}:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("caller", ["alice", "capability", "nobody"])
def test_what_the_document_says_holds(system: System, world: World, caller: str, tmp_path: Path) -> None:
    _run(system, world, caller, tmp_path, seconds=20, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("caller", ["alice", "administrator", "person", "capability", "viewer"])
def test_what_the_document_says_holds_for_minutes(system: System, world: World, caller: str, tmp_path: Path) -> None:
    _run(system, world, caller, tmp_path, seconds=60, seed=None)
