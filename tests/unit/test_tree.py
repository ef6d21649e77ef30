"""Rules that the whole tree keeps."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / "shared" / "kheops"

_GRANTS = {
    "AdmittedInstance",
    "PermittedAlbum",
    "ReadScope",
    "ReadableInstance",
    "ReadableSeries",
    "SendableSeries",
    "StoreTarget",
    "ViewerGrant",
}
"""Types that the policy alone may create."""

_POLICY = {"shared/kheops/domain/policy.py", "shared/kheops/domain/album_policy.py"}
"""Its modules."""

_LONGEST = 500
"""Lines of a module; more is a sign that it holds two things."""
_LONGER = {
    "tests/contract/archive/test_broken_store.py": "one behaviour of broken stores after the other, on one fixture",
}
"""Modules that may be longer, each with its reason."""

_NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
"""Module names that say nothing."""

# In pieces, so that this file does not contain what it looks for.
_MACHINE = re.compile("(?:^|[^\\w.~/{}-])(?:/wo" + "rk/|/ro" + "ot/|/tmp/bri" + "efs)")
"""Paths that only one machine has."""
_REGISTRY = re.compile(
    r"--(?:extra-)?index-" + r"url|--find-" + r"links|\bpypi\.(?:org|python)|pythonhosted\.org|"
    r"registry\.(?:npm" + r"js|yarn" + r"pkg)|repo1?\.maven\.org|proxy\.gol" + r"ang",
)
"""Addresses of package registries: whoever installs through a mirror has others."""
_UNDONE = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|X" + "XX)\\b")


@cache
def _texts() -> dict[str, str]:
    """Return every file that is tracked, or would be, with its text; binary files are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=_ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    found = {}
    for name in filter(None, listed.split("\0")):
        file = _ROOT / name
        if not file.is_file():  # removed, and not yet committed
            continue
        try:
            found[name] = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    assert "pyproject.toml" in found
    return found


def _modules() -> dict[str, str]:
    return {name: text for name, text in _texts().items() if name.endswith(".py")}


def _matches(pattern: re.Pattern[str]) -> list[str]:
    """Return where a pattern occurs, as ``file:line``."""
    return [
        f"{name}:{number}"
        for name, text in _texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_text_names_a_path_of_a_machine() -> None:
    assert _matches(_MACHINE) == []


def test_no_text_names_a_registry() -> None:
    assert _matches(_REGISTRY) == []


def test_nothing_is_left_to_be_done_by_a_comment() -> None:
    assert _matches(_UNDONE) == []


def test_patterns_find_what_they_are_for() -> None:
    assert _MACHINE.search('path = "/wo' + 'rk/main/x"')
    assert _MACHINE.search("see /ro" + "ot/.bashrc")
    assert not _MACHINE.search("the net" + "work/main protocol, and api/ro" + "ots")
    assert _REGISTRY.search("https://pypi." + "org/simple")
    assert _UNDONE.search("# TO" + "DO: check the owner")


def test_only_the_policy_creates_grants() -> None:
    found = [
        f"{name}:{line}: {called}"
        for name, text in _modules().items()
        if name.startswith("shared/") and name not in _POLICY
        for line, called in _calls(text)
        if called in _GRANTS
    ]
    assert found == []


def test_the_policy_creates_every_grant() -> None:
    called = {name for module in _POLICY for _, name in _calls((_ROOT / module).read_text("utf-8"))}
    assert called >= _GRANTS


def test_all_types_that_the_policy_gives_out_are_watched() -> None:
    tree = ast.parse((_PACKAGE / "domain" / "grants.py").read_text("utf-8"))
    new_types = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value) == "NewType"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert new_types == _GRANTS - {"StoreTarget", "ViewerGrant"}


@pytest.mark.parametrize(
    "source",
    [
        "x = ReadScope(s)",
        "x = policy.ReadScope(s)",
        "x = [grants.StoreTarget(a, b) for a in c]",
        "f(SendableSeries(r))",
    ],
)
def test_a_constructor_is_found_however_it_is_called(source: str) -> None:
    assert {name for _, name in _calls(source)} & _GRANTS


@pytest.mark.parametrize(
    "source",
    [
        "from kheops.domain.grants import ReadScope as R\nx = R(s)",
        "x = list(map(ReadableSeries, refs))",
        "make = StoreTarget",
        "x = replace(target, album=album)",
    ],
)
def test_ways_around_the_constructor_are_found(source: str) -> None:
    assert list(_ways_around(source))


def test_nobody_goes_around_the_constructors_of_grants() -> None:
    found = [
        f"{name}:{line}: {how}"
        for name, text in _modules().items()
        if name.startswith("shared/") and name not in {*_POLICY, "shared/kheops/domain/grants.py"}
        for line, how in _ways_around(text)
    ]
    assert found == []


def test_modules_are_short() -> None:
    long = {name for name, text in _modules().items() if len(text.splitlines()) > _LONGEST}
    assert long == set(_LONGER)


def test_module_names_say_what_is_in_them() -> None:
    parts = {part for name in _modules() for part in Path(name).with_suffix("").parts}
    assert parts & _NAMELESS == set()


def _calls(source: str) -> Iterator[tuple[int, str]]:
    """Give every call with the last part of what is called."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = _name(node)
            if name is not None:
                yield node.lineno, name


def _name(call: ast.Call) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def _ways_around(source: str) -> Iterator[tuple[int, str]]:
    """Give what could create a grant without a visible call: another name, handing it on, copying a target."""
    tree = ast.parse(source)
    annotations = _annotations(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (
                (node.lineno, f"{each.name} under another name")
                for each in node.names
                if each.name in _GRANTS and each.asname is not None
            )
        elif isinstance(node, ast.Call):
            handed = [each for each in (*node.args, *(keyword.value for keyword in node.keywords)) if _is_grant(each)]
            yield from ((node.lineno, "handed to a call") for each in handed if _name(node) != "isinstance")
            if _name(node) == "replace" and node.args and isinstance(node.args[0], ast.Name):
                copied = node.args[0].id
                if copied == "target" or annotations.get(copied) == "StoreTarget":
                    yield node.lineno, "a copied target"
        elif isinstance(node, ast.Assign) and _is_grant(node.value):
            yield node.lineno, "under another name"


def _is_grant(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _GRANTS
        case _:
            return False


def _annotations(tree: ast.AST) -> dict[str, str]:
    """Return the plainly annotated parameters of a module, by name."""
    return {
        node.arg: node.annotation.id
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Name)
    }
