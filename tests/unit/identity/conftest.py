from collections.abc import Iterator

import pytest

from tests.fakes.jwks_server import FakeIssuer, running
from tests.unit.identity.bench import KEY


@pytest.fixture
def fake() -> Iterator[FakeIssuer]:
    with running(KEY) as issuer:
        yield issuer
