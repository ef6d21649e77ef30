import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.processes import ProcessError, Processes, base_environment, run_to_end

_REPOSITORY = Path(__file__).resolve().parents[2]
_WITH_WORKER = (
    "import subprocess, time; w = subprocess.Popen(['sleep', '60']); print(w.pid, flush=True); time.sleep(60)"
)
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _gone(*pids: int) -> bool:
    limit = time.monotonic() + 5
    while any(_alive(pid) for pid in pids):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def _printed(log: Path) -> Callable[[], bool]:
    return lambda: log.exists() and log.stat().st_size > 0


def test_children_are_stopped_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        first = processes.start("first", ["sleep", "60"], ready=lambda: True)
        assert _alive(first.pid)
    assert _gone(first.pid)
    started = []

    def fail() -> None:
        with Processes(tmp_path) as processes:
            started.append(processes.start("second", ["sleep", "60"], ready=lambda: True))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _gone(started[0].pid)


def test_workers_of_a_child_end_with_it(tmp_path: Path) -> None:
    log = tmp_path / "parent.log"
    with Processes(tmp_path) as processes:
        processes.start("parent", [sys.executable, "-c", _WITH_WORKER], ready=_printed(log))
        worker = int(log.read_text("utf-8"))
        assert _alive(worker)
    assert _gone(worker)


def test_a_child_that_ignores_the_stop_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.processes._STOP_SECONDS", 0.2)
    with Processes(tmp_path) as processes:
        child = processes.start("deaf", [sys.executable, "-c", _DEAF], ready=_printed(tmp_path / "deaf.log"))
    assert child.popen.returncode == -signal.SIGKILL


def test_a_child_that_ends_before_it_is_ready_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(ProcessError, match=r"(?s)database ended with status 3 .*cannot bind"),
        Processes(tmp_path) as all_,
    ):
        all_.start("database", ["sh", "-c", "echo cannot bind; exit 3"], ready=lambda: False)


def test_a_child_that_is_not_ready_in_time_is_an_error_and_is_stopped(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        with pytest.raises(ProcessError, match=r"(?s)slow was not ready within 0.3 s.*still waiting"):
            processes.start(
                "slow", ["sh", "-c", "echo $$ still waiting; sleep 60"], ready=lambda: False, deadline_seconds=0.3
            )
        pid = int((tmp_path / "slow.log").read_text("utf-8").split()[0])
    assert _gone(pid)


def test_a_program_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"(?s)viewer ended .*no-such-program"), Processes(tmp_path) as processes:
        processes.start("viewer", ["/no-such-program"], ready=lambda: False)


def test_a_child_that_ended_by_itself_is_told(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        lasting = processes.start("lasting", ["sleep", "60"], ready=lambda: True)
        brief = processes.start("brief", ["sleep", "0.2"], ready=lambda: True)
        assert processes.ended() is None
        brief.popen.wait(5)
        assert processes.ended() is brief
        assert not lasting.has_ended()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_when_the_parent_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from local.processes import Processes, unwinding_on_signals\n"
        "with unwinding_on_signals(), Processes(Path(sys.argv[1])) as processes:\n"
        "    child = processes.start('child', ['sleep', '60'], ready=lambda: True)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=_REPOSITORY, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _alive(child)
        parent.send_signal(number)
        parent.wait(10)
        assert _gone(child)


@pytest.mark.parametrize(("given", "status"), [("", 143), ("status=0", 0)])
def test_termination_ends_the_program_with_the_status_that_was_chosen(given: str, status: int) -> None:
    program = (
        "import time\n"
        "from local.processes import unwinding_on_signals\n"
        f"with unwinding_on_signals({given}):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=_REPOSITORY, text=True
    ) as ended:
        assert ended.stdout is not None
        assert ended.stdout.readline() == "up\n"
        ended.send_signal(signal.SIGTERM)
        assert ended.wait(10) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_children_end_with_a_parent_in_the_background_of_a_script(tmp_path: Path, number: signal.Signals) -> None:
    # Such a shell starts it with SIGINT ignored, and the children would ignore it as well.
    program = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from local.processes import Processes, unwinding_on_signals\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "with unwinding_on_signals(), Processes(Path(sys.argv[1])) as processes:\n"
        "    child = processes.start('child', ['sleep', '60'], ready=lambda: True)\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=_REPOSITORY, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)
        try:
            parent.wait(10)
        finally:
            parent.kill()
        assert _gone(child)


def test_children_get_neither_proxies_nor_settings_of_our_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "KHEOPS_LOG_LEVEL", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, "stray")
    printed = run_to_end("env", ["env"], environment={"KHEOPS_PUBLIC_URL": "given"})
    assert "stray" not in printed
    assert "KHEOPS_PUBLIC_URL=given" in printed
    assert base_environment()["PATH"] == os.environ["PATH"]


def test_a_failing_program_is_an_error_with_what_it_printed() -> None:
    with pytest.raises(ProcessError, match=r"(?s)migrate failed with status 4:.*schema is newer"):
        run_to_end("migrate", ["sh", "-c", "echo schema is newer >&2; exit 4"])
