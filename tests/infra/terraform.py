"""Running Terraform on `infra/`, or a copy of it, with the stand-in for the google provider."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

__all__ = ["INFRA", "ROOT", "needs_terraform", "run_configuration_tests", "terraform"]

ROOT: Final = Path(__file__).resolve().parents[2]
INFRA: Final = ROOT / "infra"
_TOOLS: Final = ROOT / ".local" / "cache" / "terraform"

needs_terraform: Final = pytest.mark.skipif(
    shutil.which("terraform") is None or not (_TOOLS / "installed-from").is_file(),
    reason="Terraform is not on the PATH, or local/setup.sh terraform has not installed the stand-in provider",
)


def terraform(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Terraform in a folder."""
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(_TOOLS / "terraformrc"), "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        ["terraform", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def run_configuration_tests(folder: Path) -> dict[str, dict[str, Any]]:
    """Run the configuration's own tests; return by their name the state that each applied, or what each planned.

    Fails if one of them does.
    """
    done = terraform("test", "-json", "-verbose", folder=folder)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    said = [message["diagnostic"] for message in messages if message["type"] == "diagnostic"]
    assert done.returncode == 0, said or done.stderr
    found = {}
    for message in messages:
        if message["type"] in {"test_state", "test_plan"}:
            found[message["@testrun"]] = message[message["type"]]
    return found
