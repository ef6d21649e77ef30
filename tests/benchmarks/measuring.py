"""Load and CPU time: wrk and curl on one side, ``/proc`` on the other."""

import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Bulk", "Load", "cpu_ns", "frames", "retrieve", "tree"]

_SCRIPT = Path(__file__).with_name("frames.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests: int
    bytes: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Bulk:
    """What curl saw."""

    bytes: int
    seconds: float
    errors: int


def tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text("ascii").split())
    return found


def cpu_ns(roots: Iterable[int]) -> int:
    """Return the nanoseconds that all threads of these process trees have run so far (``schedstat``)."""
    total = 0
    for root in roots:
        for pid in tree(root):
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text("ascii").split()[0])
    return total


def frames(
    url: str,
    *,
    token: str,
    kib: int,
    series: int,
    of_each: int,
    first_series: int,
    connections: int,
    seconds: float,
) -> Load:
    """Let wrk walk frames for some seconds."""
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(_SCRIPT), url),
            *("--", str(kib), str(series), str(of_each)),
        ],
        env={"PATH": os.environ["PATH"], "TOKEN": token, "FIRST_SERIES": str(first_series)},
        capture_output=True,
        check=True,
        text=True,
        timeout=seconds + 30,
    )
    return Load(**json.loads(done.stdout.splitlines()[-1]))


def retrieve(url: str, *, token: str, size: int, parallel: int) -> Bulk:
    """Retrieve one body ``parallel`` times at once, and count every answer that is not 200 and whole."""
    begun = time.monotonic()
    running = [
        subprocess.Popen(
            ["curl", "-q", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-K", "-", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(parallel)
    ]
    for each in running:
        assert each.stdin is not None
        each.stdin.write(f'header = "Authorization: Bearer {token}"\n')
        each.stdin.close()
        each.stdin = None
    told = [each.communicate(timeout=60)[0].split() for each in running]
    seconds = time.monotonic() - begun
    right = ["200", str(size)]
    errors = sum(each.returncode != 0 or words != right for each, words in zip(running, told, strict=True))
    return Bulk(bytes=size * parallel, seconds=seconds, errors=errors)
