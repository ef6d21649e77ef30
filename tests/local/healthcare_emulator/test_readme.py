"""What the emulator's README says that it has: each behaviour with a source and a test, each option, each fault."""

import re
import subprocess
import sys
from pathlib import Path

from local.healthcare_emulator.faults import Fault

REPOSITORY = Path(__file__).parents[3]
README = (REPOSITORY / "local/healthcare_emulator/README.md").read_text("utf-8")
HERE = Path(__file__).parent
SOURCE = re.compile(r"C|D|R [\w/#-]+|RFC \d+|\?|ours|Pub/Sub push|docs [\w-]+|[\w/-]+#\d+")


def _rows() -> list[tuple[str, str, str]]:
    table = README.partition("| behaviour | source | test |\n")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in table.splitlines()[1:]]
    assert all(len(row) == 3 for row in rows), [row for row in rows if len(row) != 3]
    return [(row[0].lstrip("| "), row[1], row[2].rstrip(" |")) for row in rows]


def _tests() -> dict[str, str]:
    """Return where each test that could be meant is, by its name."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("test_*.py")):
        found.update(
            (name, path.name) for name in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
        )
    return found


def test_each_behaviour_has_a_source() -> None:
    rows = _rows()
    assert len(rows) > 50
    for behaviour, source, _ in rows:
        assert all(SOURCE.fullmatch(part) for part in source.split(", ")), (behaviour, source)


def test_each_behaviour_has_a_test_that_exists() -> None:
    tests = _tests()
    for behaviour, _, cell in _rows():
        if cell == "same":
            continue
        names = re.findall(r"`([^`]+)`", cell)
        assert names, behaviour
        for name in names:
            if "/" in name:
                assert (REPOSITORY / name).is_file(), name
                continue
            file, _, test = name.rpartition("::")
            assert test in tests, name
            assert file in {"", tests[test]}, name


def test_each_module_of_tests_is_named() -> None:
    named = {name for _, _, cell in _rows() for name in re.findall(r"test_\w+", cell)}
    files = {_tests()[name] for name in named if name in _tests()}
    of_the_text = {"test_readme.py", "test_large.py", "test_quiet_log.py"}
    assert files == {path.name for path in HERE.glob("test_*.py")} - of_the_text


def test_each_option_and_fault_is_explained() -> None:
    command = [sys.executable, "-m", "local.healthcare_emulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=REPOSITORY).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    assert len(options) > 15
    assert {option for option in options if f"{option}`" not in README and f"{option} " not in README} == set()
    assert all(f"`{fault}`" in README for fault in Fault)
