"""``local/compose.yaml`` as Docker Compose reads it, as far as it needs no engine."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

__all__ = ["COMPOSE", "LOCAL", "changed", "interpolated", "leaves", "raw", "words"]

LOCAL: Final = Path(__file__).resolve().parents[2] / "local"
COMPOSE: Final = LOCAL / "compose.yaml"

_VARIABLE: Final = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}|\$")
_WORD: Final = re.compile(r"[A-Za-z0-9_]{2,}")

Step = str | int
Where = tuple[Step, ...]


def raw() -> dict[str, Any]:
    """Return the file with its variables as they are written."""
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return document


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """Return a value with its variables replaced.

    Raises
    ------
    ValueError
        If a dollar sign stands for something else than ``${NAME:-default}`` or itself.
    """
    if isinstance(value, dict):
        return {key: interpolated(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, environment) for each in value]
    return _replaced(value, environment) if isinstance(value, str) else value


def _replaced(text: str, environment: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match["name"] is None:
            raise ValueError(f"a lone dollar sign in {text!r}")
        return environment.get(match["name"]) or match["default"]

    return _VARIABLE.sub(replace, text)


def leaves(value: Any, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Give every text of the file, and every name of a mapping, by where it stands; a name ends in ``#``."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*where, key, "#"), key
            yield from leaves(each, (*where, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*where, index))
    elif isinstance(value, str):
        yield where, value


def words(text: str) -> list[tuple[int, str]]:
    """Return the words of a text, numbers too, by their positions."""
    return [(match.start(), match[0]) for match in _WORD.finditer(text)]


def changed(document: dict[str, Any], where: Where, at: int, word: str) -> dict[str, Any]:
    """Return a copy of the file in which one word is another."""
    other = word + ("1" if word.isdecimal() else "x")
    copy = deepcopy(document)
    holder: Any = copy
    is_name = where[-1] == "#"
    path = where[:-1] if is_name else where
    for step in path[:-1]:
        holder = holder[step]
    last = path[-1]
    if is_name:
        text = str(last)
        new = text[:at] + other + text[at + len(word) :]
        pairs = [(new if key == last else key, value) for key, value in holder.items()]
        holder.clear()
        holder.update(pairs)
    else:
        text = holder[last]
        holder[last] = text[:at] + other + text[at + len(word) :]
    return copy
