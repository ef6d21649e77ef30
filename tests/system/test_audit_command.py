"""``kheops audit`` at a running installation."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.dicom_files import a_file, new_uid
from tests.system.command import Command
from tests.system.running import System


def _command(system: System, folder: Path, who: str, groups: Sequence[str] = ()) -> Command:
    token = folder / f"{who}-token"
    token.write_text(system.token(who, groups=list(groups)), "utf-8")
    return Command(folder, {"KHEOPS_SERVER": system.url, "KHEOPS_TOKEN_FILE": str(token)})


def test_administrator_sees_who_read_a_study(system: System, tmp_path: Path) -> None:
    study, series = new_uid(), new_uid()
    assert system.store_files("cli-audited", a_file(study=study, series=series, instance=new_uid())).is_success
    with system.client("cli-audited") as client:
        assert client.get(f"/studies/{study}/metadata").status_code == 200
        assert client.post("/albums", data={"name": "Hearts"}).status_code == 201
    root = _command(system, tmp_path, "cli-root", groups=["administrators"])
    seen = root.run("audit", "--study", study, "--json")
    assert [each["kind"] for each in seen.json()] == ["read-metadata", "store"]
    assert {each["sub"] for each in seen.json()} == {"cli-audited"}
    lines = root.run("audit", "--study", study, "--kind", "store", "--json-lines").out.splitlines()
    (stored,) = map(json.loads, lines)
    assert (stored["series_uids"], stored["outcome"]) == ([series], "granted")
    table = [line.split() for line in root.run("audit", "--series", series, "--kind", "store").out.splitlines()]
    assert table[0] == ["TIME", "WHO", "KIND", "OUTCOME", "USES", "FROM", "WHAT"]
    assert (table[1][1:4], table[1][-1]) == (["cli-audited", "store", "granted"], series)
    mine = ("audit", "--user", "cli-audited@example.org")
    assert len(root.run(*mine, "--limit", "1", "--json").json()) == 1
    assert len(root.run(*mine, "--all", "--json").json()) > 2
    assert root.run(*mine, "--to", "2020-01-01", "--json").json() == []
    assert root.run("audit", "--user", "cli-nobody@example.org").code == 5


def test_nobody_else_sees_it(system: System, tmp_path: Path) -> None:
    ended = _command(system, tmp_path, "cli-curious").run("audit", "--json")
    assert (ended.code, ended.out) == (5, "")


def test_wrong_filters_are_told_before_anything_is_asked(system: System, tmp_path: Path) -> None:
    root = _command(system, tmp_path, "cli-root", groups=["administrators"])
    for arguments, words in (
        (["--from", "yesterday"], "no time"),
        (["--to", "2026-13-01"], "no time"),
        (["--study", "1.x"], "no Study Instance UID"),
        (["--album", "no"], "no id of an album"),
        (["--issuer", "https://x.example"], "goes with"),
        (["--json", "--json-lines"], "do not go together"),
    ):
        ended = root.run("audit", *arguments)
        assert (ended.code, ended.out, words in " ".join(ended.err.split())) == (2, "", True), ended
