"""Servers for the contract suite: Orthanc from the system's package, two emulators as processes."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from kheops.archive.client import ClientLimits
from kheops.archive.dcm4chee import Dcm4chee
from kheops.archive.dicomweb_server import BasicAuthorization, DicomwebServer
from kheops.archive.google_credentials import GoogleCredentials
from kheops.archive.google_healthcare import GoogleHealthcare
from kheops.errors import ArchiveUnavailableError

__all__ = ["FAULTS", "RealStore", "dcm4chee", "emulator", "faulty_emulator", "orthanc"]

_REPOSITORY = Path(__file__).parents[3]
_START_SECONDS = 20

T = TypeVar("T")
Adapter = DicomwebServer | GoogleHealthcare | Dcm4chee


@dataclass(frozen=True)
class RealStore:
    """A running store and how to make its adapter."""

    name: str
    root: str
    """What stands before ``/studies``."""
    bulkdata_root: str
    """How the store writes the first segment below an instance's address."""
    new: Callable[[], Adapter]
    headers: dict[str, str] = field(default_factory=dict)
    patience: int = 1
    """How often a test is begun at most, where the store is one that fails on purpose.

    `ArchiveUnavailableError` is the one right answer to a fault that outlasts the adapter's own tries: whoever gets it
    asks again. Any other error, and any answer, counts at once.
    """

    def run(self, use: Callable[[Adapter], Awaitable[T]]) -> T:
        """Call ``use`` with a new adapter in a loop of its own."""
        for _ in range(self.patience - 1):
            with suppress(ArchiveUnavailableError):
                return self._run_once(use)
        return self._run_once(use)

    def _run_once(self, use: Callable[[Adapter], Awaitable[T]]) -> T:

        async def main() -> T:
            adapter = self.new()
            try:
                return await use(adapter)
            finally:
                await adapter.aclose()

        return asyncio.run(main())


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def process(command: list[str], *, ready_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; what it prints goes to ``log``."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=_REPOSITORY)
        log.with_name("pid").write_text(str(child.pid))
        try:
            _wait(child, ready_url, log)
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()  # any answer is one
            return
        except OSError:
            assert child.poll() is None, log.read_text("utf-8", "replace")
            assert time.monotonic() < until, log.read_text("utf-8", "replace")
            time.sleep(0.1)
        else:
            return


LIMITS = ClientLimits(first_wait=0.01, longest_wait=0.1, silence=10)


@contextmanager
def orthanc(folder: Path) -> Iterator[RealStore]:
    """Run Orthanc with its DICOMweb plugin and HTTP Basic."""
    executable = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    port = free_port()
    (folder / "data").mkdir()
    plugins = Path("/usr/share/orthanc/plugins")
    configuration = {
        "Name": "ARCHIVE",
        "StorageDirectory": str(folder / "data"),
        "IndexDirectory": str(folder / "data"),
        "Plugins": [str(plugins / "libOrthancDicomWeb.so"), str(plugins / "libOrthancGdcm.so")],
        "HttpPort": port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"kheops": "archive-password"},
        "DicomServerEnabled": False,
        "OverwriteInstances": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    url = f"http://127.0.0.1:{port}"
    authorization = BasicAuthorization(user="kheops", password="archive-password")
    with process([executable, str(folder / "orthanc.json")], ready_url=url, log=folder / "log"):
        yield RealStore(
            "orthanc",
            f"{url}/dicom-web",
            "bulk",
            lambda: DicomwebServer(f"{url}/dicom-web", authorization=authorization, orthanc_url=url, limits=LIMITS),
            {"Authorization": asyncio.run(authorization.value()) or ""},
        )


@contextmanager
def emulator(folder: Path, *options: str) -> Iterator[RealStore]:
    """Run the Healthcare emulator; tokens come from its metadata endpoint."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "local.healthcare_emulator", "--port", str(port), "--data", str(folder / "data")),
        *options,
    ]
    origin = f"http://127.0.0.1:{port}"
    store = f"{origin}/v1/projects/local/locations/local/datasets/kheops/dicomStores/kheops"
    source = token_source(origin)
    with process(command, ready_url=origin, log=folder / "log"):
        yield RealStore(
            "emulator",
            f"{store}/dicomWeb",
            "bulkdata",
            lambda: GoogleHealthcare(store, authorization=GoogleCredentials(source), limits=LIMITS),
            {"Authorization": f"Bearer {source()[0]}"},
        )


FAULTS = {
    "429": 0.1,
    "503": 0.1,
    "reset": 0.05,
    "reset-request": 0.05,
    "reset-answer": 0.05,
    "cut-answer": 0.1,
}
"""Share of requests by fault: more than a bad day has."""


@contextmanager
def faulty_emulator(folder: Path) -> Iterator[RealStore]:
    """Run the Healthcare emulator with faults, the same ones each time that the same requests come."""
    options = [option for fault, share in FAULTS.items() for option in ("--fault", f"{fault}={share}")]
    with emulator(folder, *options, "--latency", "0.005", "--fault-seed", "5") as store:
        yield replace(store, patience=40)


@contextmanager
def dcm4chee(folder: Path, *options: str) -> Iterator[RealStore]:
    """Run the stand-in for DCM4CHEE."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "tests.fakes.dcm4chee", "--port", str(port), "--data", str(folder / "data")),
        *options,
    ]
    origin = f"http://127.0.0.1:{port}"
    root = f"{origin}/dcm4chee-arc/aets/DCM4CHEE/rs"
    with process(command, ready_url=f"{origin}/dcm4chee-arc/ctrl/status", log=folder / "log"):
        yield RealStore("dcm4chee", root, "bulkdata", lambda: Dcm4chee(root, limits=LIMITS))


def token_source(origin: str) -> Callable[[], tuple[str, datetime]]:
    """Return a source of tokens that asks the emulator without google-auth."""

    def fetch() -> tuple[str, datetime]:
        url = f"{origin}/computeMetadata/v1/instance/service-accounts/default/token"
        request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            token = json.load(answer)
        return str(token["access_token"]), datetime.now(UTC) + timedelta(seconds=token["expires_in"])

    return fetch
