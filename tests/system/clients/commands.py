"""Programs of others, as somebody at a terminal calls them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["program", "run"]


def program(name: str) -> str:
    """Return where a program is: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found is not None, f"{name} is missing: local/setup.sh orthanc clients"
    return found


def run(name: str, *arguments: str, fails: bool = False) -> str:
    """Run a program and return what it wrote.

    Parameters
    ----------
    name, arguments
        The command line.
    fails
        Whether it has to end with an error; its error output is returned then.
    """
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        [program(name), *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert (done.returncode != 0) == fails, f"{done.stdout}\n{done.stderr}"
    return done.stderr if fails else done.stdout
