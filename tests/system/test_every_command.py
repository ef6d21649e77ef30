"""What every ``kheops`` command promises, walked from the program's own list of commands."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from kheops.jobs import command_line
from tests.system.command import Command
from tests.system.running import System


def _names() -> Iterator[tuple[str, ...]]:
    def below(name: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name
        else:
            for each, found in inner.items():
                yield from below((*name, each), found)

    return below((), typer.main.get_command(command_line.application))


_NAMES = list(_names())
_OF_SETTINGS = {"doctor", "migrate", "reconcile", "purge", "import", "deliver", "audit-verify"}
"""They work on an installation with its settings. Those of `restore` and `audit-export` have tests of their own."""
_ARGUMENTS = {
    "login": ["http://127.0.0.1:1"],
    "upload": [str(Path(__file__).parent)],
    "download": ["{folder}/out", "--inbox"],
    "share": ["1.2.3", "--album", "AAAAAAAAAA"],
    "albums create": ["Hearts"],
    "albums show": ["AAAAAAAAAA"],
    "albums delete": ["AAAAAAAAAA"],
    "albums members": ["AAAAAAAAAA"],
    "albums groups": ["AAAAAAAAAA"],
    "albums add": ["AAAAAAAAAA", "bob@example.org"],
    "albums remove": ["AAAAAAAAAA", "bob@example.org"],
    "albums events": ["AAAAAAAAAA"],
    "link create": ["--title", "T", "--study", "1.2.3"],
    "link revoke": ["AAAAAAAAAA"],
    "tokens create": ["--title", "T", "--read"],
    "tokens revoke": ["AAAAAAAAAA"],
}
_FOR_PEOPLE = [name for name in _NAMES if name[0] not in {*_OF_SETTINGS, "restore", "audit-export"}]


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "COLUMNS": "200"}


@pytest.mark.parametrize("name", _NAMES, ids=" ".join)
def test_wrong_option_is_refused_in_words_and_the_result_stays_empty(name: tuple[str, ...], tmp_path: Path) -> None:
    ended = Command(tmp_path, {}).run(*name, "--no-such-option")
    assert (ended.code, ended.out) == (2, "")
    assert "No such option" in ended.err


@pytest.mark.parametrize("name", _FOR_PEOPLE, ids=" ".join)
def test_command_without_a_login_ends_with_the_code_for_it(name: tuple[str, ...], tmp_path: Path) -> None:
    arguments = [each.format(folder=tmp_path) for each in _ARGUMENTS.get(" ".join(name), [])]
    ended = Command(tmp_path, {}).run(*name, *arguments, "--json")
    # `login` has no server to talk to here.
    assert (ended.code, ended.out) == (6 if name == ("login",) else 4, ""), ended
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(_OF_SETTINGS))
def test_command_without_settings_ends_with_the_code_for_it(name: str, tmp_path: Path) -> None:
    ended = Command(tmp_path, {}).run(name, "--json")
    assert ended.code == 3, ended
    assert "KHEOPS_PUBLIC_URL" in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", [name for name in _FOR_PEOPLE if name not in {("login",), ("logout",)}], ids=" ".join)
def test_result_in_json_is_json_and_nothing_else(name: tuple[str, ...], system: System, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(system.token("cli-walker", groups=["administrators"]), "utf-8")
    command = Command(tmp_path, {"KHEOPS_SERVER": system.url, "KHEOPS_TOKEN_FILE": str(token)})
    arguments = [each.format(folder=tmp_path) for each in _ARGUMENTS.get(" ".join(name), [])]
    ended = command.run(*name, *arguments, "--json")
    if ended.code == 5:
        # What it names is not there: the refusal is words, on standard error.
        assert (ended.out, len(ended.err.splitlines())) == ("", 1), ended
    else:
        assert ended.code == 0, ended
        assert isinstance(ended.json(), dict | list)
        if name == ("tokens", "create"):
            system.secrets_used.add(ended.json()["access_token"])


@pytest.mark.parametrize(("shell", "script"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete ")])
def test_shells_are_given_a_completion(shell: str, script: str, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("kheops"))
    done = subprocess.run(
        [program],
        env={**_environment(tmp_path), "_KHEOPS_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert script in done.stdout, done
    assert "kheops" in done.stdout


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("kheops"))
    asked = {"_KHEOPS_COMPLETE": "complete_bash", "COMP_WORDS": "kheops albums ", "COMP_CWORD": "2"}
    done = subprocess.run(
        [program],
        env={**_environment(tmp_path), **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    offered = set(done.stdout.split())
    assert {"create", "events", "members"} <= offered, done
