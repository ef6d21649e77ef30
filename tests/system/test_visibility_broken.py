"""The property of test_visibility.py has teeth: broken on purpose, the policy is found out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.system.broken_gateway import BREAKS
from tests.system.running import System, start_system
from tests.system.visibility_machine import run_worlds


@contextlib.contextmanager
def _broken(postgres: Server, folder: Path, name: str) -> Iterator[System]:
    with start_system(
        postgres, folder, settings={"BREAK": name}, application="tests.system.broken_gateway:app"
    ) as system:
        yield system


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_the_property_fails_when_the_policy_is_broken(postgres: Server, tmp_path: Path, name: str) -> None:
    with _broken(postgres, tmp_path, name) as system, pytest.raises((AssertionError, ExceptionGroup)):
        run_worlds(system, examples=40, steps=40)
