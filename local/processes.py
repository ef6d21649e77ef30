"""Child processes that end with us: started, awaited until they answer, and stopped by the pid that we started.

Each child has a process group and a log file of its own. It dies when its parent does, by SIGKILL too: ``setpriv``
(util-linux, on every Debian) sets the parent-death signal after any change of user, which would clear it.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = [
    "ChildProcess",
    "ProcessError",
    "Processes",
    "RunAs",
    "answers_http",
    "base_environment",
    "listens",
    "run_to_end",
    "unwinding_on_signals",
]

_TAIL_LINES: Final = 25
"""Lines of a log in an error: enough for a traceback's end."""
_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 15.0
"""Orthanc takes up to 4 s, PostgreSQL writes a checkpoint."""
_KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


class ProcessError(Exception):
    """A child did not start, did not answer, or ended by itself; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """Another account to run a child under; only root can."""

    user: str
    capability: str | None = None
    """A capability(7) that the child keeps, without ``CAP_``."""


def base_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the little of our environment that children need, and ``extra``.

    Proxy variables and stray ``KHEOPS_*`` of the caller's shell stay out.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **(extra or {})}


def listens(port: int) -> bool:
    """Return whether something accepts connections on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_http(url: str, *, statuses: tuple[int, ...] = (200,)) -> bool:
    """Return whether ``url`` answers with one of ``statuses``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return answer.status in statuses
    except urllib.error.HTTPError as error:
        with error:
            return error.code in statuses
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """A started child."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group as well."""
        return self.popen.pid

    def has_ended(self) -> bool:
        """Return whether the child is no more."""
        return self.popen.poll() is not None

    def log_tail(self) -> str:
        """Return the last lines of the child's log."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (empty)"

    def stop(self) -> None:
        """Ask the child to end, and kill its group if it does not within 15 s."""
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(self.stop_signal)
            try:
                self.popen.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        # Workers that outlived their parent are in its group still.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the child and its group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()


class Processes:
    """The children of a stack: a context manager whose end, however it comes, stops them, the last one first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[ChildProcess] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    @property
    def logs(self) -> Path:
        """The folder with one ``.log`` file a child."""
        return self._logs

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        run_as: RunAs | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        deadline_seconds: float = 30,
    ) -> ChildProcess:
        """Start a child and return once it is ready.

        Parameters
        ----------
        name
            Names the log file and the child in errors.
        command
            Program and arguments.
        ready
            Asked every 50 ms until it says yes.
        environment
            Variables in addition to `base_environment`.
        folder
            Working folder; ours by default.
        run_as
            The account of the child; ours by default.
        stop_signal
            How the program is asked to end; it is sent as well when we die.
        deadline_seconds
            How long it may take.

        Raises
        ------
        ProcessError
            If the program cannot be run, ends, or is not ready in time. It is stopped then.
        """
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            try:
                popen = subprocess.Popen(
                    _with_parent_death(command, run_as=run_as, stop_signal=stop_signal),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=base_environment(environment),
                    cwd=folder,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{name} cannot be started: {error}") from error
        child = ChildProcess(name=name, popen=popen, log=log, stop_signal=stop_signal)
        self._children.append(child)
        limit = time.monotonic() + deadline_seconds
        while not ready():
            if child.has_ended():
                raise ProcessError(
                    f"{name} ended with status {popen.returncode} before it was ready; the end of {log}:\n"
                    f"{child.log_tail()}"
                )
            if time.monotonic() > limit:
                raise ProcessError(
                    f"{name} was not ready within {deadline_seconds:g} s; the end of {log}:\n{child.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        if child.has_ended():
            raise ProcessError(f"{name} ended as soon as it had started; the end of {log}:\n{child.log_tail()}")
        return child

    def stop(self, child: ChildProcess) -> None:
        """Stop one child."""
        child.stop()
        self._children.remove(child)

    def stop_all(self) -> None:
        """Stop every child, the last one first. A second Ctrl-C does not interrupt it."""
        with _deaf_to_signals():
            while self._children:
                self._children.pop().stop()

    def ended(self) -> ChildProcess | None:
        """Return a child that ended by itself, if there is one."""
        return next((child for child in self._children if child.has_ended()), None)


def run_to_end(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    run_as: RunAs | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run a program to its end and return what it printed.

    Raises
    ------
    ProcessError
        If it cannot be run, fails, or takes longer than ``timeout_seconds``; with the end of what it printed.
    """
    try:
        done = subprocess.run(
            _with_parent_death(command, run_as=run_as, stop_signal=signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=base_environment(environment),
            cwd=folder,
            timeout=timeout_seconds,
            check=False,
        )
    except OSError as error:
        raise ProcessError(f"{name} cannot be run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ProcessError(f"{name} took longer than {timeout_seconds:g} s") from error
    printed = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in printed.splitlines()[-_TAIL_LINES:])
        raise ProcessError(f"{name} failed with status {done.returncode}:\n{tail}")
    return printed


def _with_parent_death(command: Sequence[str], *, run_as: RunAs | None, stop_signal: signal.Signals) -> list[str]:
    wrapped = ["setpriv", f"--pdeathsig={stop_signal.name.removeprefix('SIG')}"]
    if run_as is not None:
        wrapped += [f"--reuid={run_as.user}", f"--regid={run_as.user}", "--init-groups"]
        if run_as.capability is not None:
            wrapped += [f"--inh-caps=+{run_as.capability}", f"--ambient-caps=+{run_as.capability}"]
    return [*wrapped, "--", *command]


@contextlib.contextmanager
def unwinding_on_signals(*, status: int | None = None) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and SIGINT end the program as Ctrl-C does: through every ``finally`` and ``with``.

    SIGTERM and SIGHUP end it with ``status``, by default 128 and the signal's number; SIGINT is `KeyboardInterrupt`.
    A shell that is not interactive starts what runs in its background with SIGINT ignored, and Python leaves it so.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number if status is None else status)

    handlers = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: signal.default_int_handler}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _deaf_to_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
