"""The ``kheops`` command, run as people run it: a process of its own with an environment of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Command", "Done"]

_PROGRAM = str(Path(sys.executable).with_name("kheops"))


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code in {0, 1}, self
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """The command with what is the same in each run of a test.

    Parameters
    ----------
    folder
        Where it keeps logins.
    variables
        Further variables of the environment.
    """

    folder: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "XDG_CONFIG_HOME": str(self.folder), "COLUMNS": "200", **self.variables}

    def run(self, *arguments: str | Path, stdin: str | None = None, **more: str) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            [_PROGRAM, *map(str, arguments)],
            env={**self.environment, **more},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start it; whoever does ends it."""
        return subprocess.Popen(
            [_PROGRAM, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def interrupt(process: subprocess.Popen[str]) -> Done:
        """Do as Ctrl-C does, and return how it ended."""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        return Done(process.returncode, out, err)
