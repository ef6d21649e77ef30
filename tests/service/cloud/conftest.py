"""What the driver leaves behind is collected in the test that made it."""

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _collected_here() -> Iterator[None]:
    # pg8000 leaves the socket of a login that the server broke off to the garbage collector, with a warning; it would
    # come in the middle of whatever test runs then.
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
