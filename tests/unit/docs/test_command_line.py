"""``docs/command-line.md`` lists the commands, exit codes and checks that there are."""

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from kheops.cli.failure import ExitCode
from kheops.jobs import command_line
from tests.unit.docs.tables import ROOT, column, rows

_PAGE = "docs/command-line.md"


def _commands() -> Iterator[tuple[str, Any]]:
    """Give every command with its full name."""

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        else:
            for each, found in inner.items():
                yield from below(f"{name} {each}", found)

    return below("kheops", typer.main.get_command(command_line.application))


def test_every_command_is_listed() -> None:
    assert column(rows(_PAGE, "Commands"), 0) == [name for name, _ in _commands()]


def test_every_command_takes_json() -> None:
    without = [name for name, command in _commands() if not any("--json" in each.opts for each in command.params)]
    assert without == []


def test_exit_codes_are_those_of_the_code() -> None:
    documented = {(int(row[0]), row[1]) for row in rows(_PAGE, "Exit codes")}
    assert documented == {(code.value, code.name) for code in ExitCode}


def test_every_check_of_the_doctor_is_listed() -> None:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "shared/kheops/jobs/doctor").glob("*.py"))
    checks = set(re.findall(r"Finding\.(?:ok|warning|fault)\(\s*\"([^\"]+)\"", source))
    assert len(checks) > 10
    assert set(column(rows(_PAGE, "Doctor"), 0)) == checks


def test_options_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", (ROOT / _PAGE).read_text("utf-8")))
    known = {option for _, command in _commands() for each in command.params for option in each.opts}
    assert named <= known | {"--help", "--install-completion"}
    assert "--json" in named
