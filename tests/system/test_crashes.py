"""kill -9 at each step of a STOW, then reconcile: nothing lost, nothing half-visible."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.processes import base_environment
from tests.dicom_files import a_file, multipart, new_uid
from tests.postgres import Server
from tests.system.crashing_gateway import STEPS
from tests.system.running import System, start_system

LEASE_SECONDS = 1


def _seen(system: System, study: str) -> dict[str, set[str]]:
    """Return what the catalog lists and what the store serves, by the API alone."""
    with system.client("alice") as alice:
        rows = alice.get(f"/studies/{study}/instances", params={"limit": "100"}).json()
        places = {(row["0020000E"]["Value"][0], row["00080018"]["Value"][0]) for row in rows}
        served = {
            instance
            for series, instance in places
            if alice.get(f"/studies/{study}/series/{series}/instances/{instance}").status_code == 200
        }
        counted = sum(
            row["00201208"]["Value"][0] for row in alice.get("/studies", params={"StudyInstanceUID": study}).json()
        )
    return {"listed": {instance for _, instance in places}, "served": served, "counted": {str(counted)}}


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"KHEOPS_LEASE_SECONDS": str(LEASE_SECONDS)}
    with start_system(postgres, tmp_path_factory.mktemp("crashes"), settings=settings) as running:
        yield running


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_loses_nothing_and_shows_no_half(system: System, step: str) -> None:
    study, series, first, second, large = (new_uid() for _ in range(5))
    before = a_file(study=study, series=series, instance=new_uid())
    files = [
        a_file(study=study, series=series, instance=first, number=2),
        a_file(study=study, series=new_uid(), instance=second, number=3),
        a_file(study=study, series=series, instance=large, number=4, pixels=b"\5" * 6_000_000),
    ]
    assert system.store_files("alice", before).status_code == 200
    # The last step needs a reservation that has to be released: that of a large file that breaks off.
    body = multipart(*files[:2], files[2][:-1000]) if step == "before releasing" else multipart(*files)
    system.services.stop()
    system.environment["CRASH_AT"] = step
    system.restart("tests.system.crashing_gateway:app")
    with system.client("alice") as alice, pytest.raises(httpx.TransportError):
        alice.post(
            "/studies",
            content=body,
            headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary'},
        )
    del system.environment["CRASH_AT"]
    system.services.stop()
    system.restart()
    seen = _seen(system, study)
    assert seen["listed"] == seen["served"], "half-visible after the crash"
    time.sleep(LEASE_SECONDS + 0.2)
    _reconcile(system)
    seen = _seen(system, study)
    assert seen["listed"] == seen["served"]
    assert seen["counted"] == {str(len(seen["listed"]))}
    assert system.run_sql("SELECT count(*) FROM instances WHERE state = 'reserved'") == [(0,)]
    assert system.run_sql("SELECT count(*) FROM series WHERE state = 'reserved'") == [(0,)]
    again = system.store_files("alice", *files)
    assert again.status_code == 200, again.text
    seen = _seen(system, study)
    assert {first, second, large} <= seen["listed"] == seen["served"]
    assert seen["counted"] == {"4"}


def _reconcile(system: System) -> None:
    kheops = Path(sys.executable).with_name("kheops")
    result = subprocess.run(
        [str(kheops), "reconcile"],
        env=base_environment(system.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
