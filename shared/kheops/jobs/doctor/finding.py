"""One thing that a check found."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from kheops.cli.output import printable

__all__ = ["Finding", "Level"]


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not do what is wanted."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. No secret is in it."""

    check: str
    """Its name, one of those in ``docs/command-line.md``."""
    level: Level
    says: str
    mend: str = ""
    """What to do."""

    @classmethod
    def ok(cls, check: str, says: str) -> Self:
        """Return that all is well."""
        return cls(check, Level.OK, says)

    @classmethod
    def warning(cls, check: str, says: str, mend: str) -> Self:
        """Return that something may not be wanted."""
        return cls(check, Level.WARNING, says, mend)

    @classmethod
    def fault(cls, check: str, says: str, mend: str) -> Self:
        """Return that something is wrong."""
        return cls(check, Level.FAULT, says, mend)

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return self.level is Level.FAULT

    def as_text(self) -> str:
        """Return it as a line, or two with what to do."""
        line = f"{self.level.value:<8}{self.check}: {printable(self.says)}"
        return f"{line}\n        -> {printable(self.mend)}" if self.mend else line

    def as_json(self) -> dict[str, str]:
        """Return it for programs."""
        return {"check": self.check, "level": self.level.value, "says": self.says, "mend": self.mend}
