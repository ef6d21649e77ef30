"""Random people share and revoke at random; QIDO lists and WADO serves exactly what the model says."""

import pytest

from tests.system.running import System
from tests.system.visibility_machine import run_worlds


def test_qido_lists_and_wado_serves_exactly_what_the_model_says(system: System) -> None:
    # How many operations a world comes to is chance: worlds are added until there are enough.
    operations = 0
    for _ in range(10):
        operations += run_worlds(system, examples=7, steps=50)
        if operations >= 500:
            return
    pytest.fail(f"{operations} operations in 70 worlds are too few")


@pytest.mark.long
def test_qido_lists_and_wado_serves_exactly_what_the_model_says_at_length(system: System) -> None:
    assert run_worlds(system, examples=200, steps=60) >= 5000
