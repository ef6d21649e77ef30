from collections.abc import Iterator

import pytest

from tests.system.identity.providers import Provider, canaille, oidc_provider


@pytest.fixture(scope="session")
def node_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc-provider")) as provider:
        yield provider


@pytest.fixture(scope="session")
def canaille_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with canaille(tmp_path_factory.mktemp("canaille")) as provider:
        yield provider
