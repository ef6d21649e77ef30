"""Random secrets of a stack, made once and kept in ``.local/<name>/secrets.json``, readable by its owner alone."""

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

__all__ = ["kept_secrets", "write_private"]


def kept_secrets(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return a secret of 256 random bits for each name: the kept ones, and new ones for names that had none."""
    file = folder / "secrets.json"
    kept: dict[str, str] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    wanted = {name: kept.get(name) or secrets.token_urlsafe(32) for name in names}
    if wanted.keys() - kept.keys():
        write_private(file, json.dumps({**kept, **wanted}, indent=2) + "\n")
    return wanted


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody but its owner may read, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
    unfinished.replace(file)
