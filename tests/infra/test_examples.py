"""The files that somebody copies for their own installation."""

import re
from pathlib import Path

import pytest

from tests.infra.terraform import INFRA

_FILES = sorted((INFRA / "environments").glob("*/*.tfvars"))


def _declared() -> dict[str, str]:
    text = (INFRA / "variables.tf").read_text("utf-8")
    return dict(re.findall(r'^variable "([a-z_]+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL))


def _given(file_text: str) -> set[str]:
    return set(re.findall(r"^([a-z_]+) +=", file_text, re.MULTILINE))


def test_there_are_two() -> None:
    assert [file.name for file in _FILES] == ["terraform.tfvars", "trial.tfvars"]


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_what_is_given_is_declared(file: Path) -> None:
    found = _given(file.read_text("utf-8"))
    assert found
    assert found <= _declared().keys()


def test_the_example_gives_all_that_has_no_default() -> None:
    required = {name for name, body in _declared().items() if "default" not in re.sub(r'".*?"', "", body)}
    assert {"project", "image", "issuers"} <= required
    assert required <= _given(_FILES[0].read_text("utf-8"))


def test_every_variable_is_explained() -> None:
    assert [name for name, body in _declared().items() if not re.search(r'description = ".{20,}"', body)] == []
