"""A running emulator and an HTTP client for it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.contract.archive.real_stores import RealStore, emulator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with emulator(tmp_path_factory.mktemp("emulator")) as store:
        yield store


@pytest.fixture
def client(running: RealStore) -> Iterator[httpx.Client]:
    with new_client(running) as made:
        yield made


def new_client(store: RealStore) -> httpx.Client:
    return httpx.Client(base_url=store.root, headers=store.headers, timeout=20)
