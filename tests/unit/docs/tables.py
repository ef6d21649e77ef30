"""Tables of the documentation, read for comparison with the code."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ROOT", "column", "constant", "rows", "text_of"]

ROOT = Path(__file__).resolve().parents[3]
"""The tree."""


def text_of(name: str) -> str:
    """Return a file of the tree."""
    return (ROOT / name).read_text("utf-8")


def rows(name: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head.

    Backquotes around a whole cell are dropped. A heading that is absent, has no table before the next heading, or a
    row of another width fails the test.
    """
    lines = iter(text_of(name).splitlines())
    for line in lines:
        if re.fullmatch(r"#+ " + re.escape(heading), line):
            break
    else:
        raise AssertionError(f"{name} has no heading {heading!r}")
    table: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            table.append([_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
        elif table or line.startswith("#"):
            break
    assert len(table) > 2, f"{name}: no table below {heading!r}"
    assert {len(row) for row in table} == {len(table[0])}, f"{name}: ragged table below {heading!r}"
    return table[2:]


def column(table: Sequence[Sequence[str]], number: int) -> list[str]:
    """Return a column."""
    return [row[number] for row in table]


def constant(reference: str) -> object:
    """Return what ``package.module.NAME`` or ``package.module.NAME[KEY]`` is now."""
    match = re.fullmatch(r"([a-z0-9_.]+)\.([A-Za-z_]+)(?:\[([A-Z]+)\])?", reference)
    assert match is not None, reference
    value: object = getattr(importlib.import_module(match[1]), match[2])
    if match[3] is None:
        return value
    assert isinstance(value, dict)
    return {str(key).upper(): each for key, each in value.items()}[match[3]]


def _plain(cell: str) -> str:
    cell = cell.strip().replace(r"\|", "|")
    whole = re.fullmatch(r"`([^`]*)`", cell)
    return cell if whole is None else whole[1]
