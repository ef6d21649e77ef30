"""What commands print: tables for people, JSON for programs, and never a control character of somebody else's."""

import json
import unicodedata
from collections.abc import Mapping, Sequence

import typer

__all__ = ["count", "print_done", "print_json", "print_members", "print_table", "printable", "say"]

_WIDEST = 48
"""Characters of a cell that are shown."""


def printable(value: object) -> str:
    """Return a value as one line of text.

    Names of patients, albums and files come from elsewhere: in a terminal their control characters would be commands.
    """
    text = "" if value is None else str(value)
    return "".join("?" if unicodedata.category(each)[0] == "C" else each for each in text)


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII: whatever stands in it, a terminal takes it for text."""
    typer.echo(json.dumps(value, indent=2))


def print_done(*, as_json: bool) -> None:
    """Print that a command without a result is done."""
    if as_json:
        print_json({"done": True})
    else:
        typer.echo("Done.")


def print_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows under headings.

    Parameters
    ----------
    columns
        Headings by the members that stand below them. The last column is never cut.
    rows
        What to print.
    """
    last = list(columns)[-1]
    cells = [
        [
            printable(_text(row.get(name))) if name == last else _cut(printable(_text(row.get(name))))
            for name in columns
        ]
        for row in rows
    ]
    widths = [max(map(_width, column)) for column in zip(columns.values(), *cells, strict=True)]
    for line in (list(columns.values()), *cells):
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
        typer.echo("  ".join(padded).rstrip())


def print_members(found: Mapping[str, object]) -> None:
    """Print the members of one object, a line each; those without a value are left out."""
    for name, value in found.items():
        if value is not None and value not in ("", []):
            typer.echo(f"{printable(name)}: {printable('no' if value is False else _text(value))}")


def say(message: str) -> None:
    """Tell the person something that is no part of the result, on standard error."""
    typer.echo(printable(message), err=True)


def count(number: int, what: str, several: str | None = None) -> str:
    """Return ``1 file`` or ``2 files``."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def _text(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _width(text: str) -> int:
    """Return how many columns a text has in a terminal (Unicode TR11)."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
