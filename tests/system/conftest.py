"""One running system for the tests of this tier that can share it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.system.running import System, start_system


@pytest.fixture(scope="session")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a system over the Healthcare emulator. People are the test's own: nobody else uses their names."""
    folder: Path = tmp_path_factory.mktemp("system")
    with start_system(postgres, folder) as running:
        yield running
        text = running.log_text()
    leaked = [secret[:12] for secret in running.secrets_used if secret in text]
    assert not leaked, f"logs of the run contain tokens: {leaked}"
    assert "Xq^Unmistakable" not in text, "logs of the run contain a patient's name"


@pytest.fixture(scope="session")
def orthanc_system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a system over Orthanc."""
    with start_system(postgres, tmp_path_factory.mktemp("orthanc-system"), store="orthanc") as running:
        yield running
