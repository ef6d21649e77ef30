"""`kheops import` on a store that was filled before there was anybody."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.processes import base_environment
from tests.dicom_files import a_file, multipart, new_uid
from tests.postgres import Server
from tests.system.running import System, start_system


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with start_system(postgres, tmp_path_factory.mktemp("import")) as running:
        yield running


def _import(system: System, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("kheops")), "import", *options],
        env=base_environment(system.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _counts(system: System, *options: str) -> dict[str, int]:
    done = _import(system, *options, "--json")
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    return {outcome: number for outcome, number in counts.items() if number}


def test_a_filled_store_goes_to_those_whom_rules_name(system: System, tmp_path: Path) -> None:
    study, series, uid = (new_uid() for _ in range(3))
    other = new_uid()
    answer = httpx.post(
        f"{system.store.dicomweb}/studies",
        headers={
            "Authorization": system.store.authorization(),
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=b0undary',
        },
        content=multipart(
            a_file(study=study, series=series, instance=uid, modality="MR"),
            a_file(study=study, series=other, instance=new_uid(), modality="US"),
        ),
        trust_env=False,
    )
    assert answer.status_code == 200
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"user": "alice@example.org", "match": {"Modality": "MR"}}]))
    unknown = _import(system, "--rules", str(rules))
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "Nobody in good standing answers to 'alice@example.org'" in unknown.stderr
    with system.client("alice") as alice, system.client("bob") as bob:
        assert alice.get("/studies").json() == bob.get("/studies").json() == []
        expected = {"assigned": 1, "unassigned": 1}
        assert _counts(system, "--rules", str(rules), "--dry-run") == expected
        assert alice.get("/studies").json() == []
        assert _counts(system, "--rules", str(rules)) == expected
        found = alice.get(f"/studies/{study}/series").json()
        assert [each["0020000E"]["Value"] for each in found] == [[series]]
        assert alice.get(f"/studies/{study}/series/{series}/instances/{uid}").status_code == 200
        assert alice.get(f"/studies/{study}/series/{other}").status_code == 404
        assert bob.get("/studies").json() == []
        assert _counts(system, "--to-user", "bob") == {"kept": 1, "assigned": 1}
        found = bob.get(f"/studies/{study}/series").json()
        assert [each["0020000E"]["Value"] for each in found] == [[other]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--to-user", "alice", "--to-album", "AbCdEfGh01"), "Give one of"),
        (("--to-album", "x"), "an album is named by its id"),
        (("--to-album", "AbCdEfGh01"), "There is no album AbCdEfGh01."),
    ],
)
def test_wrong_use_is_told_in_words(system: System, options: tuple[str, ...], words: str) -> None:
    done = _import(system, *options)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stdout == ""
