"""``docs/operations.md`` names the commands, audit kinds, log events and services that there are."""

import re

import typer.main

from kheops.domain.uses import UseKind
from kheops.jobs import command_line
from tests.unit.docs.tables import ROOT, rows, text_of

_PAGE = "docs/operations.md"


def test_every_command_of_operation_is_listed() -> None:
    group = typer.main.get_command(command_line.application)
    commands = getattr(group, "commands")  # noqa: B009 - typer's stubs do not say that it is a group
    # Those for people are on a page of their own.
    operation = [
        name for name, each in commands.items() if getattr(each.callback, "__module__", None) == command_line.__name__
    ]
    assert [row[0] for row in rows(_PAGE, "Commands")] == [f"kheops {name}" for name in operation]


def test_every_kind_of_use_is_listed() -> None:
    assert [row[0] for row in rows(_PAGE, "Audit")] == [kind.value for kind in UseKind]


def test_kinds_of_use_that_are_said_to_be_unused_are() -> None:
    unused = {row[0] for row in rows(_PAGE, "Audit") if row[1] == "not used yet"}
    source = "".join(file.read_text("utf-8") for file in (ROOT / "shared").rglob("*.py"))
    assert unused == {kind.value for kind in UseKind if f"UseKind.{kind.name}" not in source}


def test_log_events_are_those_of_the_code() -> None:
    source = "".join(file.read_text("utf-8") for file in (ROOT / "shared").rglob("*.py"))
    logged = set(re.findall(r"_(?:LOG|log)\.(?:debug|info|notice|warning|error|exception)\(\s*\"([^\"]+)\"", source))
    assert len(logged) > 30
    listed = [event for row in rows(_PAGE, "Logs") for event in re.findall(r"[\w.-]+", row[0])]
    assert len(listed) == len(set(listed))
    assert set(listed) == logged


def test_every_service_is_listed() -> None:
    listed = {row[1] for row in rows(_PAGE, "Processes")}
    assert listed == {str(file.relative_to(ROOT)) for file in ROOT.glob("functions/*/main.py")}


def test_make_targets_of_the_pages_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    named = {
        name for page in ("README.md", "CHANGELOG.md", _PAGE) for name in re.findall(r"make ([a-z-]+)`", text_of(page))
    }
    assert named <= targets
    assert {"demo", "test"} <= named
