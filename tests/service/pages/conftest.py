import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from tests.service.pages.site import Site

_MAIN = Path(__file__).parents[3] / "functions/web/main.py"


@pytest.fixture(scope="session")
def web_app() -> ASGIApp:
    spec = importlib.util.spec_from_file_location("functions_web_main", _MAIN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    app: ASGIApp = module.app
    return app


@pytest.fixture
def site(database_url: str, web_app: ASGIApp) -> Iterator[Site]:
    made = Site(database_url, web_app)
    yield made
    made.close()


@pytest.fixture
def loopback_site(database_url: str, web_app: ASGIApp) -> Iterator[Site]:
    """Give the site as the demo runs it: plain http on loopback."""
    made = Site(database_url, web_app, public_url="http://127.0.0.1:9")
    yield made
    made.close()
