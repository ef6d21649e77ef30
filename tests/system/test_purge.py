"""kill -9 at each step of a purge, then another purge: no UID is free before the store is rid of it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest

from local.processes import base_environment
from tests.dicom_files import a_file, new_uid
from tests.postgres import Server
from tests.system.crashing_purge import STEPS
from tests.system.running import System, start_system

_REPOSITORY = Path(__file__).resolve().parents[2]
_KILLED = -9


@pytest.fixture(scope="module", params=["emulator", "orthanc"])
def system(
    request: pytest.FixtureRequest, postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    store: Literal["emulator", "orthanc"] = request.param
    with start_system(postgres, tmp_path_factory.mktemp("purge"), store=store) as running:
        yield running


def _run(system: System, *command: str, crash_at: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = base_environment(system.environment)
    environment["PYTHONPATH"] = str(_REPOSITORY)
    if crash_at is not None:
        environment["CRASH_AT"] = crash_at
    return subprocess.run(
        command, env=environment, cwd=_REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )


def _in_store(system: System, study: str, series: str) -> bool:
    with httpx.Client(trust_env=False, headers={"Authorization": system.store.authorization()}) as direct:
        answer = direct.get(
            f"{system.store.dicomweb}/studies/{study}/series/{series}/instances",
            headers={"Accept": "application/dicom+json"},
        )
    return answer.status_code == 200 and bool(answer.json())


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_of_the_purge_is_made_good_by_the_next(system: System, step: str) -> None:
    study, series = new_uid(), new_uid()
    file = a_file(study=study, series=series, instance=new_uid())
    path = f"/studies/{study}/series/{series}"
    assert system.store_files("alice", file, a_file(study=study, series=series, instance=new_uid())).status_code == 200
    with system.client("alice") as alice:
        assert alice.delete(path).status_code == 204
    system.run_sql("UPDATE series SET orphaned_at = now() - interval '31 days' WHERE state = 'orphan'")
    crashed = _run(system, sys.executable, "-m", "tests.system.crashing_purge", "purge", crash_at=step)
    assert crashed.returncode == _KILLED, crashed.stderr
    # Whatever it left, the row is there as long as the store may hold something, and shows to nobody.
    states = [
        str(row[0]) for row in system.run_sql("SELECT state FROM series WHERE series_instance_uid = :u", u=series)
    ]
    assert states == (["orphan"] if step == "before beginning" else ["deleting"])
    with system.client("alice") as alice, system.client("bob") as bob:
        assert alice.get(f"{path}/metadata").status_code == 404
        if states == ["deleting"]:
            assert alice.put(path).status_code == 404
            assert system.store_files("bob", file).status_code == 409
            assert alice.get("/orphans").json() == []
        purged = _run(system, str(Path(sys.executable).with_name("kheops")), "purge")
        assert purged.returncode == 0, purged.stderr
        assert not _in_store(system, study, series)
        assert system.run_sql("SELECT 1 FROM series WHERE series_instance_uid = :u", u=series) == []
        assert alice.put(path).status_code == 404
        # The UIDs are free for anybody now.
        assert system.store_files("bob", file).status_code == 200
        assert bob.get(f"{path}/metadata").status_code == 200
    reasons = system.run_sql(
        "SELECT reason FROM audit WHERE kind = 'purge' AND :u = ANY (series_instance_uids) ORDER BY pk", u=series
    )
    assert reasons == [("begun",), ("done",)]


def test_a_legal_hold_keeps_an_orphan_from_the_purge(system: System) -> None:
    study, series = new_uid(), new_uid()
    assert system.store_files("alice", a_file(study=study, series=series, instance=new_uid())).status_code == 200
    with system.client("alice") as alice:
        assert alice.delete(f"/studies/{study}/series/{series}").status_code == 204
        system.run_sql(
            "UPDATE series SET orphaned_at = now() - interval '31 days', legal_hold = true WHERE state = 'orphan'"
        )
        purged = _run(system, str(Path(sys.executable).with_name("kheops")), "purge")
        assert purged.returncode == 0, purged.stderr
        assert _in_store(system, study, series)
        assert alice.put(f"/studies/{study}/series/{series}").status_code == 201


def test_local_stack_purges_by_itself_what_was_deleted_for_good(
    postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("local-purge")
    with start_system(postgres, folder, settings={"LOCAL_PURGE": "each-minute"}) as system:
        study, series = new_uid(), new_uid()
        file = a_file(study=study, series=series, instance=new_uid())
        assert system.store_files("alice", file).status_code == 200
        administrator = system.token("root", groups=["administrators"])
        with system.client(token=administrator) as client:
            deleted = client.delete(f"/studies/{study}", headers={"Admin-Action": "permanent"})
        assert deleted.status_code == 204
        # The minute's work is done at the start too, so that nothing has to wait for a minute here.
        system.processes.stop(system.services)
        system.restart()
        limit = time.monotonic() + 20
        while _in_store(system, study, series) or system.store_files("alice", file).status_code != 200:
            assert time.monotonic() < limit, system.log_text()[-2000:]
            time.sleep(0.3)
        assert [row[0] for row in system.run_sql("SELECT reason FROM audit WHERE kind = 'purge' ORDER BY at")][
            -1
        ] == "done"
