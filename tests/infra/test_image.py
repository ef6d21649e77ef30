"""The Dockerfile, as far as it can be read without an engine that builds it."""

import json
import re
from collections import defaultdict
from typing import Final

from local.allocator import ALLOCATOR
from tests.entrypoints import serving
from tests.infra.terraform import INFRA, ROOT

_INSTRUCTION: Final = re.compile(r"^([A-Z]+) (.*)$")


def _stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, lines put together; what stands before the first stage is left out."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ").splitlines()
    stages: list[list[tuple[str, str]]] = []
    for line in lines:
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        if match[1] == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((match[1], match[2].strip()))
    return stages


def _last() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for instruction, words in _stages()[-1]:
        found[instruction].append(words)
    return found


def _command() -> list[str]:
    command: list[str] = json.loads(_last()["CMD"][-1])
    return command


def _where(command: list[str]) -> list[str]:
    """Return a command without host and port, which are each place's own."""
    at = [index for index, word in enumerate(command) if word in {"--host", "--port"}]
    return [
        word for index, word in enumerate(command) if index not in {each + offset for each in at for offset in (0, 1)}
    ]


def test_the_base_is_one_exact_version_of_the_slim_image() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.search(
        r"^ARG PYTHON_IMAGE=python:3\.11\.[0-9]+-slim-bookworm(@sha256:[0-9a-f]{64})?$", text, re.MULTILINE
    )
    assert {stage[0][1].partition(" ")[0] for stage in _stages()} == {"${PYTHON_IMAGE}"}


def test_the_allocator_is_set_as_it_is_wherever_else_services_are_started() -> None:
    words = [word.partition("=") for line in _last()["ENV"] for word in line.split()]
    assert {name: value for name, _, value in words if name.startswith("MALLOC_")} == ALLOCATOR


def test_nobody_runs_as_root() -> None:
    instructions = [instruction for instruction, _ in _stages()[-1]]
    user = _last()["USER"][-1]
    assert re.fullmatch(r"[1-9][0-9]{3,}:[1-9][0-9]{3,}", user), (
        "by number, so that Cloud Run can see that it is not 0"
    )
    assert instructions.index("USER") > instructions.index("COPY"), "the files belong to root"


def test_packages_are_installed_by_their_hashes() -> None:
    installs = [
        words for words in re.split(r"&&|\n", (ROOT / "Dockerfile").read_text("utf-8")) if "pip install" in words
    ]
    assert installs
    for words in installs:
        assert "--require-hashes" in words or "--no-index" in words
    for lock in ("requirements.lock", "requirements-build.lock"):
        text = (ROOT / lock).read_text("utf-8")
        assert text.count("==") > 0
        assert len(re.findall(r"^[a-z0-9].*==.*\\$", text, re.MULTILINE)) == text.count("==") - text.count('=="')


def test_the_build_backend_is_the_one_that_the_project_asks_for() -> None:
    asked = re.search(r'requires = \["hatchling>=([0-9.]+)"\]', (ROOT / "pyproject.toml").read_text("utf-8"))
    locked = re.search(r"^hatchling==([0-9.]+)", (ROOT / "requirements-build.lock").read_text("utf-8"), re.MULTILINE)
    assert asked is not None
    assert locked is not None
    assert [int(part) for part in locked[1].split(".")] >= [int(part) for part in asked[1].split(".")]


def test_the_command_is_what_the_tests_of_the_services_run() -> None:
    tested = serving._command("granian", 8080)
    assert [_command()[0], *_where(_command()[1:])] == ["granian", *_where(tested[1:])]


def test_the_command_is_what_terraform_runs() -> None:
    text = (INFRA / "services.tf").read_text("utf-8")
    words: list[str] = []
    for name in ("command", "arguments"):
        found = re.search(rf"  {name} += \[(.*?)\]", text, re.DOTALL)
        assert found is not None
        words += re.findall(r'"([^"]+)"', found[1])
    assert words == _command()


def test_only_what_is_copied_is_sent_to_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[1] == "*"
    sent = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        source.strip("./")
        for stage in _stages()
        for instruction, words in stage
        if instruction == "COPY" and not words.startswith("--from")
        for source in words.split()[:-1]
    }
    assert sent == copied
    for name in sorted(sent):
        assert (ROOT / name).exists(), name


def test_functions_are_where_terraform_looks_for_them() -> None:
    assert "/app/functions/${each.key}" in (INFRA / "services.tf").read_text("utf-8")
    assert ("COPY", "functions /app/functions") in _stages()[0]
    assert _last()["WORKDIR"] == ["/app/functions/api"]
