"""The first session of the README works as printed, on a stack like the demo's."""

import re
import subprocess
from pathlib import Path

from local.stack import Stack

_ROOT = Path(__file__).resolve().parents[2]


def test_the_first_session_works_as_printed(tmp_path: Path) -> None:
    with Stack("demo", root=tmp_path / "stacks") as stack:
        script = _script(address=stack.public_url, folder=tmp_path)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    said = ran.stdout.splitlines()
    stored, alices, bobs_before, bobs_after, same, by_link, by_password, nobody = said[:8]
    study = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
    assert f"/api/studies/{study}" in stored
    assert all(study in answer for answer in (alices, bobs_after, by_link, by_password))
    assert bobs_before == "[]"
    assert same == "The same bytes that Alice stored."
    assert "missing-credentials" in nobody
    assert said[8:] == ["revoked: 200", "the link now: 401", "removed: 204", "Bob now: 404"]
    assert ", ".join(f"`{line}`" for line in said[8:11]) in _prose()


def _script(*, address: str, folder: Path) -> str:
    """Return all blocks of the session as one script, with our address in place of the example's."""
    section = _section()
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) >= 5
    script, replaced = re.subn(r"^KHEOPS=.*$", f"KHEOPS={address}", "".join(blocks), flags=re.MULTILINE)
    assert replaced == 1
    return script.replace("bobs.dcm", str(folder / "bobs.dcm"))


def _section() -> str:
    text = (_ROOT / "README.md").read_text("utf-8")
    return text.partition("\n## A first session\n")[2].partition("\n## ")[0]


def _prose() -> str:
    return " ".join(_section().split())
