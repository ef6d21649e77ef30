"""The storage class of an instance, in a small file beside it; where there is none, the class is STANDARD."""

from datetime import UTC, datetime
from typing import Final

from local.healthcare_emulator.shelf import Row

__all__ = ["CLASSES", "STANDARD", "class_of", "class_since", "set_class"]

STANDARD: Final = "STANDARD"
CLASSES: Final = frozenset({STANDARD, "NEARLINE", "COLDLINE", "ARCHIVE"})


def class_of(row: Row) -> str:
    """Return an instance's class."""
    try:
        return row.path.with_suffix(".class").read_text("ascii")
    except FileNotFoundError:
        return STANDARD


def class_since(row: Row) -> str:
    """Return since when an instance has its class (RFC 3339)."""
    mark = row.path.with_suffix(".class")
    changed = (mark if mark.exists() else row.path).stat().st_mtime
    return datetime.fromtimestamp(changed, UTC).isoformat().replace("+00:00", "Z")


def set_class(row: Row, name: str) -> str:
    """Put an instance into a class; return the one that it had."""
    before = class_of(row)
    if name != before and row.path.exists():
        row.path.with_suffix(".class").write_text(name, "ascii")
    return before
