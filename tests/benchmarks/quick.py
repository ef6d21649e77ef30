"""CPU per frame and per gigabyte of our data plane, as a ratio to nginx ``auth_request`` in the same run.

``python -m tests.benchmarks.quick [--rounds N]``. Both ways lead to the same store, ask the same PostgreSQL for each
grant, and know the token already; each is one process (and what belongs to it) on CPU 0, everything else is on CPU 1.
Read ratios, and only within one run: see ``docs/performance.md``.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from kheops.storage.engine import Database, connection_arguments
from local.ports import kept_ports
from local.processes import Processes, unwinding_on_signals
from tests.benchmarks.measuring import cpu_ns, frames, retrieve
from tests.benchmarks.rows import FOREIGN, add_rows
from tests.benchmarks.servers import BOUNDARY, Ports, dicomweb_function, nginx_with_authorizer, static_store
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import start_server

SIZES = (16, 256)
"""KiB of a frame."""
BULK = 200_000
"""KiB, nearly, of the large instance: 200 MB."""
SERIES = 1000
FRAMES = 200
CONNECTIONS = 16
SECONDS = 1.0
PARALLEL = 8
_KEY = SigningKey("benchmark")


@dataclass
class Way:
    """One of the two ways, and what was measured of it."""

    name: str
    url: str
    pids: list[int]
    measured: dict[str, list[float]] = field(default_factory=dict)
    speed: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cell: str, cpu: float, speed: float) -> None:
        """Keep one round's CPU and speed."""
        self.measured.setdefault(cell, []).append(cpu)
        self.speed.setdefault(cell, []).append(speed)


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the table that is printed."""

    cell: str
    title: str
    unit: str
    most: float | None
    """Times the CPU of nginx ``auth_request``, at most."""


TARGETS = (
    Target("16", "16 KiB frame, grant from PostgreSQL", "us", 2.2),
    Target("256", "256 KiB frame, grant from PostgreSQL", "us", 1.9),
    Target("one", "200 MB instance, one at a time", "s/GB", None),
    Target("many", f"200 MB instance, {PARALLEL} at a time", "s/GB", 2.6),
)


class WrongAnswerError(Exception):
    """A way does not answer as it must: its numbers would mean nothing."""


def main() -> int:
    """Measure and print; return 0, or 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quick", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    begun = time.monotonic()
    with unwinding_on_signals(), _ways() as (ways, token, data):
        try:
            for way in ways:
                _check(way, token, data)
            errors = _measure(ways, token, rounds)
        except WrongAnswerError as error:
            print(f"no numbers: {error}")
            return 1
    if errors:
        print(f"no numbers: {errors} requests failed")
        return 1
    _print(*ways, rounds=rounds, seconds=time.monotonic() - begun)
    return 0


@contextmanager
def _ways() -> Iterator[tuple[tuple[Way, Way], str, Path]]:
    # Whatever we start is on our CPU, but for what is put on the other one.
    os.sched_setaffinity(0, {1})
    with ExitStack() as ending:
        folder = Path(ending.enter_context(TemporaryDirectory(prefix="kheops-benchmark-")))
        data = folder / "data"
        _write_bodies(data)
        postgres = ending.enter_context(start_server())
        issuer = ending.enter_context(running(_KEY))
        processes = ending.enter_context(Processes(folder / "logs"))
        ports = Ports(**kept_ports(folder, ["store", "nginx", "authorizer", "dicomweb"]))
        environment = _environment(postgres.migrated(), issuer, ports)
        static_store(processes, folder, data, ports)
        ours = dicomweb_function(processes, ports, environment)
        nginx, authorizer = nginx_with_authorizer(processes, folder, ports, environment)
        token = _token(issuer, "owner")
        for person in (token, _token(issuer, "other")):
            _meet(ports, person)
        database = Database(connection_arguments(environment["KHEOPS_DATABASE_URL"]), size=1)
        add_rows(database, series=SERIES)
        database.close()
        yield (
            (
                Way("nginx auth_request", f"http://127.0.0.1:{ports.nginx}", [nginx.pid, authorizer.pid]),
                Way("kheops", f"http://127.0.0.1:{ports.dicomweb}", [ours.pid]),
            ),
            token,
            data,
        )


def _write_bodies(data: Path) -> None:
    close = f"\r\n--{BOUNDARY}--\r\n".encode()
    for kib in SIZES:
        (data / str(kib)).mkdir(parents=True)
        head = f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        for number in range(1, FRAMES + 1):
            (data / str(kib) / str(number)).write_bytes(head + os.urandom(kib * 1024) + close)
    piece = os.urandom(1_000_000)
    with (data / "instance").open("wb") as file:
        file.write(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        for _ in range(BULK * 1000 // len(piece)):
            file.write(piece)
        file.write(close)


def _environment(database_url: str, issuer: FakeIssuer, ports: Ports) -> dict[str, str]:
    trusted = [{"issuer": issuer.issuer, "audiences": ["kheops"], "access_token_typ": "at+jwt"}]
    return {
        "KHEOPS_PUBLIC_URL": f"http://127.0.0.1:{ports.dicomweb}",
        "KHEOPS_DATABASE_URL": database_url,
        "KHEOPS_STORE_KIND": "dicomweb",
        "KHEOPS_STORE_URL": f"http://127.0.0.1:{ports.store}/dicom-web",
        "KHEOPS_ISSUERS": json.dumps(trusted),
        "KHEOPS_TOKEN_PEPPER": secrets.token_urlsafe(32),
        "KHEOPS_SESSION_KEY": secrets.token_urlsafe(32),
        "KHEOPS_EMAIL_FROM_USERINFO": "false",
        "KHEOPS_LOG_LEVEL": "warning",
    }


def _token(issuer: FakeIssuer, sub: str) -> str:
    now = int(time.time())
    claims = {"iss": issuer.issuer, "sub": sub, "aud": "kheops", "iat": now, "exp": now + 3600, "jti": sub}
    return _KEY.sign(claims, typ="at+jwt")


def _client(token: str | None) -> httpx.Client:
    accept = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*, */*; q=0.1'}
    return httpx.Client(
        trust_env=False,
        timeout=30,
        headers=accept if token is None else {**accept, "Authorization": f"Bearer {token}"},
    )


def _meet(ports: Ports, token: str) -> None:
    with _client(token) as client:
        client.get(f"http://127.0.0.1:{ports.dicomweb}/api/studies", headers={"Accept": "*/*"}).raise_for_status()


def _instance(kib: int, number: int) -> str:
    study = f"1.2.{kib}.{number}"
    return f"/api/studies/{study}/series/{study}.1/instances/{study}.1.1"


def _check(way: Way, token: str, data: Path) -> None:
    with _client(token) as client, _client(None) as nobody:
        for kib in SIZES:
            for number in (1, FRAMES):
                answer = client.get(f"{way.url}{_instance(kib, SERIES)}/frames/{number}")
                _require(way, answer, 200)
                if answer.content != (data / str(kib) / str(number)).read_bytes():
                    raise WrongAnswerError(f"{way.name} changed the bytes of a frame of {kib} KiB")
            path = f"{way.url}{_instance(kib, FOREIGN)}/frames/1"
            _require(way, client.get(path), 404)
            _require(way, nobody.get(path), 401)
            _require(way, nobody.get(f"{way.url}{_instance(kib, 1)}/frames/1"), 401)
        _require(way, client.get(f"{way.url}{_instance(BULK, FOREIGN)}", headers={"Accept": "*/*"}), 404)
        answer = client.get(f"{way.url}{_instance(BULK, 1)}", headers={"Accept": "*/*"})
        _require(way, answer, 200)
        if answer.content != (data / "instance").read_bytes():
            raise WrongAnswerError(f"{way.name} changed the bytes of the large instance")


def _require(way: Way, answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise WrongAnswerError(f"{way.name} answered {answer.status_code} where {status} is right")


def _measure(ways: tuple[Way, Way], token: str, rounds: int) -> int:
    errors = 0
    size = (BULK * 1000) + len(BOUNDARY) * 2 + len("--\r\nContent-Type: application/dicom\r\n\r\n\r\n----\r\n")
    for number in range(rounds + 1):
        for way in ways if number % 2 else ways[::-1]:
            for kib in SIZES:
                before = cpu_ns(way.pids)
                load = frames(
                    way.url,
                    token=token,
                    kib=kib,
                    series=SERIES,
                    of_each=FRAMES,
                    first_series=number * 100,
                    connections=CONNECTIONS,
                    seconds=SECONDS,
                )
                used = cpu_ns(way.pids) - before
                errors += load.errors
                if load.bytes < load.requests * kib * 1024:
                    raise WrongAnswerError(f"{way.name} sent fewer bytes than the frames have")
                if number:
                    way.add(str(kib), used / 1e3 / load.requests, load.requests / load.seconds)
            for cell, parallel in (("one", 1), ("many", PARALLEL)):
                if not number:
                    continue
                before = cpu_ns(way.pids)
                bulk = retrieve(f"{way.url}{_instance(BULK, 1)}", token=token, size=size, parallel=parallel)
                used = cpu_ns(way.pids) - before
                errors += bulk.errors
                way.add(cell, used / bulk.bytes, bulk.bytes / 1e6 / bulk.seconds)
    return errors


def _print(nginx: Way, ours: Way, *, rounds: int, seconds: float) -> None:
    print(f"CPU of the way to the store; medians of {rounds} alternated rounds, {CONNECTIONS} connections.\n")
    print(f"{'':38} {nginx.name:>19} {ours.name:>13} {'ratio':>7} {'(rounds)':>13}  target")
    for target in TARGETS:
        theirs, our = nginx.measured[target.cell], ours.measured[target.cell]
        ratio = median(our) / median(theirs)
        each = [mine / other for mine, other in zip(our, theirs, strict=True)]
        verdict = "-" if target.most is None else f"<= {target.most}  {'met' if ratio <= target.most else 'NOT met'}"
        digits = 0 if target.unit == "us" else 2
        print(
            f"{target.title:38} {median(theirs):>14.{digits}f} {target.unit:4} {median(our):>8.{digits}f} "
            f"{target.unit:4} {ratio:>7.2f} {min(each):>6.2f}-{max(each):<6.2f}  {verdict}"
        )
    print()
    for target in TARGETS:
        unit = "req/s" if target.unit == "us" else "MB/s"
        fast, our_fast = median(nginx.speed[target.cell]), median(ours.speed[target.cell])
        print(f"{target.title:38} {fast:>14.0f} {unit:5} {our_fast:>7.0f} {unit}")
    print(f"\n{seconds:.0f} s in all. No request failed; all bodies were whole.")


if __name__ == "__main__":
    sys.exit(main())
