"""The stores of the contract suite, one process each for the whole run."""

from collections.abc import Iterator

import pytest

from tests.contract.archive.real_stores import RealStore, dcm4chee, emulator, faulty_emulator, orthanc

_START = {"orthanc": orthanc, "emulator": emulator, "faulty": faulty_emulator, "dcm4chee": dcm4chee}


@pytest.fixture(scope="session", params=[*_START])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    name = str(request.param)
    with _START[name](tmp_path_factory.mktemp(name)) as running:
        yield running


@pytest.fixture(scope="session")
def healthcare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with emulator(tmp_path_factory.mktemp("healthcare")) as running:
        yield running
