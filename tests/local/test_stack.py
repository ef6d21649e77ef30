"""The whole stack, as the demo and the smoke run start it."""

import fcntl
import stat
from pathlib import Path

import httpx
import pytest

from local.processes import listens
from local.smoke.caller import Caller
from local.smoke.dicom_files import load
from local.stack import Stack, StackRunningError


def test_a_stack_that_runs_already_is_an_error_that_names_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    folder.chmod(0o755)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StackRunningError, match=f"process 4711; its folder is {folder}"):
            Stack("demo", root=tmp_path).__enter__()
    assert [each.name for each in folder.iterdir()] == ["lock"]
    # An earlier version left it open to everybody.
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_stack_started_again_knows_its_people_tokens_and_studies(tmp_path: Path) -> None:
    file = load().japanese
    said: list[str] = []
    with Stack("demo", root=tmp_path, say=said.append) as stack:
        assert stat.S_IMODE((tmp_path / "demo").stat().st_mode) == 0o700
        address, token = stack.public_url, stack.access_token("alice")
        with Caller.with_bearer("alice", f"{address}/api", token) as alice:
            alice.store_whole([file])
            form = {"title": "kept", "scope_type": "user", "read_permission": "true"}
            link = alice.call("POST", "/capabilities", form=form, status=201).json()["access_token"]
        login = httpx.get(f"{address}/login", follow_redirects=True, trust_env=False)
        assert (str(login.url).startswith(stack.issuer), login.status_code) == (True, 200)
        assert 'name="login"' in login.text
        pids = [int(child.parent.name) for child in Path("/proc").glob("[0-9]*/exe") if _is_of(child, tmp_path)]
        assert len(pids) >= 3
    assert not listens(int(address.rpartition(":")[2]))
    assert not [child for child in Path("/proc").glob("[0-9]*/exe") if _is_of(child, tmp_path)]
    with Stack("demo", root=tmp_path) as stack:
        assert stack.public_url == address
        for kept in (token, link):
            with Caller.with_bearer("alice", f"{address}/api", kept) as alice:
                assert alice.retrieve(file.path) == [file.body]
    assert any("PostgreSQL" in line for line in said)


def _is_of(executable: Path, root: Path) -> bool:
    """Return whether a process has ``root`` in its command line or its environment."""
    marks = str(root).encode()
    for name in ("cmdline", "environ"):
        try:
            if marks in executable.with_name(name).read_bytes():
                return True
        except OSError:
            continue
    return False
