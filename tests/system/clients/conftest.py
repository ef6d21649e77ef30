"""A scene for each kind of store, and a page of another origin."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server
from tests.system.clients.other_origin import Page, serve
from tests.system.clients.scene import Scene, set_scene


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Give the site whose pages may call."""
    with serve(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(scope="session", params=["emulator", "orthanc"])
def scene(
    request: pytest.FixtureRequest, postgres: Server, tmp_path_factory: pytest.TempPathFactory, page: Page
) -> Iterator[Scene]:
    """Give the scene over each store in turn."""
    with set_scene(
        postgres, tmp_path_factory.mktemp(f"clients-{request.param}"), store=request.param, origin=page.origin
    ) as running:
        yield running
        text = running.system.log_text()
    assert not [secret[:12] for secret in running.system.secrets_used if secret in text], "logs contain tokens"
