"""What a command for people costs before it does anything."""

import json
import subprocess
import sys

_NEVER = (
    "sqlalchemy",
    "pg8000",
    "pydantic",
    "aiohttp",
    "starlette",
    "jwt",
    "cryptography",
    "pydicom",
    "kheops.factory",
)


def test_commands_for_people_start_without_what_services_need() -> None:
    code = "import json, sys; import kheops.jobs.command_line; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(done.stdout))
    assert loaded & set(_NEVER) == set()
    assert "kheops.cli.api" in loaded
