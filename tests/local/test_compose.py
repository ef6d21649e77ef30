"""``local/compose.yaml`` without an engine: its form, and its agreement with everything that it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kheops.domain.secret_references import is_strong
from local.compose_secrets import NAMES, make_secrets
from local.demo import containers_hint
from tests.local.compose_agreement import faults
from tests.local.compose_file import COMPOSE, LOCAL, changed, leaves, raw, words

_FILE = raw()
_NO_NAMES = ("mem_limit", "interval", "timeout", "start_period", "stop_grace_period")
"""Amounts: what they have to be is not written anywhere else."""


def _changes() -> Iterator[Any]:
    for where, text in leaves(_FILE):
        if where[-1] in _NO_NAMES:
            continue
        for at, word in words(text):
            yield pytest.param(where, at, word, id=f"{'.'.join(map(str, where))}:{at}:{word}")


def test_the_file_agrees_with_what_it_names() -> None:
    assert faults(_FILE) == []


@pytest.mark.parametrize(("where", "at", "word"), list(_changes()))
def test_no_name_can_change_alone(where: tuple[str | int, ...], at: int, word: str) -> None:
    assert faults(changed(_FILE, where, at, word)) != []


def test_secrets_are_made_once_and_differ(tmp_path: Path) -> None:
    assert make_secrets(tmp_path) == list(NAMES)
    first = {name: (tmp_path / name).read_text("ascii") for name in NAMES}
    assert len(set(first.values())) == len(NAMES)
    assert all(is_strong(secret) for secret in first.values())
    (tmp_path / "keycloak").unlink()
    assert make_secrets(tmp_path) == ["keycloak"]
    kept = {name: (tmp_path / name).read_text("ascii") for name in NAMES if name != "keycloak"}
    assert kept.items() <= first.items()


def test_demo_points_to_the_file() -> None:
    assert f"`docker compose -f {COMPOSE.relative_to(LOCAL.parent)} up`" in containers_hint()
