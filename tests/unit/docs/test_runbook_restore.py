"""The commands of ``docs/runbook-restore.md`` exist with the options that it gives them, in the order of the steps."""

import re
import shlex

import typer.main

from kheops.jobs import command_line
from tests.unit.docs.tables import text_of

_PAGE = "docs/runbook-restore.md"


def _written() -> list[list[str]]:
    """Return the words of each ``kheops`` command of the page."""
    blocks = re.findall(r"```sh\n(.*?)```", text_of(_PAGE), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line.partition(">")[0])[1:] for line in lines if line.startswith("kheops ")]


def test_each_command_is_there_with_its_options() -> None:
    for words in _written():
        command = typer.main.get_command(command_line.application)
        context = command.make_context("kheops", list(words), resilient_parsing=True)
        name, found, rest = command.resolve_command(context, list(words))  # type: ignore[attr-defined]
        if hasattr(found, "resolve_command"):
            name, found, rest = found.resolve_command(context, rest)
        assert found is not None, name
        known = {option for each in found.params for option in each.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


def test_the_steps_are_in_the_order_in_which_they_are_accepted() -> None:
    steps = [words[1] for words in _written() if words[0] == "restore"]
    assert steps == ["begin", "replay", "reconcile", "finish"]


def test_options_that_its_prose_names_are_there() -> None:
    replay = typer.main.get_command(command_line.application).commands["restore"].commands["replay"]  # type: ignore[attr-defined]
    known = {option for each in replay.params for option in each.opts}
    prose = re.sub(r"```sh\n.*?```", "", text_of(_PAGE), flags=re.DOTALL)
    assert {"--timeline", "--not-timeline", "--accept-gaps"} <= set(re.findall(r"`(--[a-z-]+)`", prose)) & known
