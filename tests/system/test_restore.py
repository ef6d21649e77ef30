"""A database that is restored from a backup revives nothing that was revoked since; a real dump, over HTTP."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kheops.storage.engine import connection_arguments
from local.processes import base_environment
from tests.dicom_files import a_file, new_uid
from tests.postgres import Server, binaries
from tests.system.crashing_restore import STEPS
from tests.system.running import System, start_system

_REPOSITORY = Path(__file__).resolve().parents[2]
_KHEOPS = str(Path(sys.executable).with_name("kheops"))
_KILLED = -9
_UNTIL_TOLD_SECONDS = 5.0


@dataclass
class Place:
    """A system of which there is a backup, and what happened since."""

    system: System
    server: Server
    folder: Path
    study: dict[str, str] = field(default_factory=dict)
    series: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    album: str = ""
    new_album: str = ""
    doomed_album: str = ""
    capability: str = ""
    capability_of_album: str = ""
    log: Path = Path()

    def run(self, *command: str, crash_at: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = base_environment(self.system.environment)
        program = [_KHEOPS]
        if crash_at is not None:
            environment |= {"CRASH_AT": crash_at, "PYTHONPATH": str(_REPOSITORY)}
            program = [sys.executable, "-m", "tests.system.crashing_restore"]
        return subprocess.run(
            [*program, *command],
            env=environment,
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def ran(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def store(self, who: str, name: str) -> None:
        """Store a series, again if its name is known."""
        self.study.setdefault(name, new_uid())
        self.series.setdefault(name, new_uid())
        self.files.setdefault(name, a_file(study=self.study[name], series=self.series[name], instance=new_uid()))
        assert self.system.store_files(who, self.files[name]).status_code == 200

    def path(self, name: str) -> str:
        return f"/studies/{self.study[name]}/series/{self.series[name]}"

    def reads(self, who: str, name: str) -> bool:
        with self.system.client(who) as client:
            return client.get(f"{self.path(name)}/metadata").status_code == 200

    def reads_as(self, group: str) -> bool:
        """Return whether a group reads what is in the album."""
        token = self.system.token("zoe", groups=[group])
        return self.status_by_token(token, f"{self.path('shared')}/metadata") == 200

    def ask(self, who: str, method: str, path: str, status: int, **form: str) -> dict[str, object]:
        token = self.system.token("root", groups=["administrators"]) if who == "root" else None
        with self.system.client(None if token else who, token=token) as client:
            answer = client.request(method, path, data=form or None)
        assert answer.status_code == status, (who, method, path, answer.status_code, answer.text)
        return dict(answer.json()) if answer.content and "json" in answer.headers["content-type"] else {}

    def status_by_token(self, token: str, path: str) -> int:
        with self.system.client(token=token) as client:
            return client.get(path).status_code

    # The backup, by PostgreSQL's own programs.

    def dump(self) -> None:
        self._postgres("pg_dump", "-Fc", "-f", str(self.folder / "backup"), self._name)

    def restore(self) -> None:
        self.system.processes.stop(self.system.services)
        self.server.drop(self.server.url(self._name))
        self._postgres("createdb", self._name)
        self._postgres("pg_restore", "-d", self._name, str(self.folder / "backup"))

    @property
    def _name(self) -> str:
        return str(connection_arguments(self.system.environment["KHEOPS_DATABASE_URL"])["database"])

    def _postgres(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries() / program), "-h", str(self.server.folder), "-U", "postgres", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("restore")
    with start_system(postgres, folder, settings={"KHEOPS_ORPHAN_DAYS": "1"}) as system:
        made = Place(system, postgres, folder)
        _before_the_backup(made)
        sealed = made.run("reconcile", "--log-grants")
        # Committed, and not sealed when the backup is made.
        made.ask("alice", "PUT", f"/albums/{made.album}/groups/unsealed", 201)
        made.dump()
        _after_the_backup(made)
        # By hand: what it would log on somebody's own machine would be missing from the log.
        assert "grant.changed" not in made.run("reconcile").stderr
        # The log as a process writes it: what earlier ones wrote, and what is left now.
        done = made.run("reconcile", "--log-grants")
        assert (sealed.returncode, done.returncode) == (0, 0), done.stderr
        text = f"{sealed.stderr}\n{system.log_text()}\n{done.stderr}"
        lines = [line for line in text.splitlines() if "grant.changed" in line]
        made.log = folder / "grants.log"
        made.log.write_text("\n".join(lines))
        yield made


def _before_the_backup(place: Place) -> None:
    for who in ("alice", "bob", "carol", "mallory", "erin", "gina", "root"):
        place.ask(who, "GET", "/albums", 200)
    for name in ("shared", "taken", "reused", "held", "erased"):
        place.store("alice", name)
    place.store("erin", "erin's")
    made = place.ask("alice", "POST", "/albums", 201, name="Board")
    place.album = str(made["album_id"])
    place.doomed_album = str(place.ask("alice", "POST", "/albums", 201, name="Doomed")["album_id"])
    for who in ("bob", "carol", "mallory", "erin"):
        place.ask("alice", "PUT", f"/albums/{place.album}/users/{who}", 201)
    place.ask("alice", "PUT", f"/albums/{place.doomed_album}/users/bob", 201)
    place.ask("alice", "PUT", f"/albums/{place.album}/groups/team", 201)
    place.ask("alice", "PUT", f"{place.path('shared')}/albums/{place.album}", 201)
    place.ask("alice", "PUT", f"{place.path('erased')}/albums/{place.doomed_album}", 201)
    place.ask("alice", "PUT", f"{place.path('taken')}/users/bob", 201)
    form = {"title": "t", "scope_type": "user", "read_permission": "true"}
    place.capability = str(place.ask("alice", "POST", "/capabilities", 201, **form)["access_token"])
    form |= {"scope_type": "album", "album": place.album}
    place.capability_of_album = str(place.ask("alice", "POST", "/capabilities", 201, **form)["access_token"])
    place.system.secrets_used |= {place.capability, place.capability_of_album}


def _after_the_backup(place: Place) -> None:
    board = f"/albums/{place.album}"
    place.ask("alice", "DELETE", f"{board}/users/bob", 204)
    place.ask("alice", "PUT", f"{board}/users/carol/admin", 204)
    place.ask("alice", "DELETE", f"{board}/groups/team", 204)
    place.ask("alice", "PUT", f"{board}/groups/successors", 201)
    place.ask("alice", "PATCH", board, 200, sendSeries="false")
    place.ask("bob", "DELETE", place.path("taken"), 204)
    place.ask("alice", "DELETE", f"/albums/{place.doomed_album}", 204)
    place.ask("root", "PUT", "/users/mallory/suspension", 204, reason="left")
    place.ask("root", "DELETE", "/users/erin", 204)
    place.ask("root", "PUT", f"/legalholds/{place.series['held']}", 204, reason="case")
    # A series that is purged, and whose UIDs somebody else uses then.
    with place.system.client("alice") as alice:
        assert alice.delete(place.path("reused")).status_code == 204
    place.system.run_sql(
        "UPDATE series SET orphaned_at = now() - interval '2 days' WHERE series_instance_uid = :uid",
        uid=place.series["reused"],
    )
    place.ran("purge")
    place.store("gina", "reused")
    # And what was granted.
    place.store("alice", "new")
    place.ask("alice", "PUT", f"{place.path('new')}/users/gina", 201)
    place.new_album = str(place.ask("alice", "POST", "/albums", 201, name="Later")["album_id"])
    place.ask("alice", "PUT", f"/albums/{place.new_album}/users/gina", 201)
    place.ask("alice", "PUT", f"{place.path('shared')}/albums/{place.new_album}", 201)
    place.ask("frank", "GET", "/albums", 200)
    place.ask("alice", "PUT", f"{board}/users/frank", 201)


def _revived(place: Place) -> dict[str, bool]:
    """Return for each thing that was taken away whether it is there."""
    with place.system.client("bob") as bob:
        albums = {album["album_id"] for album in bob.get("/albums").json()}
    return {
        "removed member": place.album in albums,
        "member of a deleted album": place.doomed_album in albums,
        "series taken out of an inbox": place.reads("bob", "taken"),
        "holder of a purged series whose UIDs are another's": place.reads("alice", "reused"),
        "removed group": place.reads_as("team"),
        "suspended person": place.reads("mallory", "shared"),
        "capability": place.status_by_token(place.capability, "/studies") == 200,
        "capability of the album": place.status_by_token(place.capability_of_album, "/studies") == 200,
        "inbox of the erased": place.reads("erin", "erin's"),
    }


def _wait(place: Place, path: str, status: int) -> float:
    """Wait until a path is answered with a status; return how long that took."""
    begun = time.monotonic()
    with place.system.client("alice") as client:
        while client.get(path).status_code != status:
            assert time.monotonic() < begun + 3 * _UNTIL_TOLD_SECONDS
            time.sleep(0.1)
    return time.monotonic() - begun


def test_without_the_restore_mode_what_was_revoked_is_alive(place: Place) -> None:
    place.restore()
    place.system.restart()
    alive = _revived(place)
    # The emulator still has the bytes of the purged series, stored by gina: the old holder would read them.
    assert all(alive.values()), alive


def test_what_was_revoked_stays_revoked_and_what_was_granted_comes_back(place: Place) -> None:
    place.restore()
    # The wrong order on purpose: services that run on the database already must stop serving.
    place.system.restart()
    begun = json.loads(place.ran("restore", "begin", "--json"))
    assert begun["number"] > 0
    assert _wait(place, "/readiness", 503) < _UNTIL_TOLD_SECONDS + 1
    with place.system.client("alice") as client:
        assert client.get("/liveness").status_code == 200
        assert client.get("/studies").status_code == 503
    for command in ("purge", "reconcile", "deliver", "audit-export"):
        assert place.run(command).returncode == 1
    too_early = place.run("restore", "finish")
    assert too_early.returncode == 1
    assert "replay" in too_early.stderr
    for step in STEPS:
        crashed = place.run("restore", "replay", "--audit", str(place.log), crash_at=step)
        assert crashed.returncode == _KILLED, (step, crashed.stderr)
        assert "replay" in place.run("restore", "finish").stderr
    place.ran("restore", "replay", "--audit", str(place.log))
    # Again, it changes nothing.
    assert json.loads(place.ran("restore", "replay", "--audit", str(place.log), "--json"))["unrestored"] == 0
    unreconciled = place.run("restore", "finish")
    assert unreconciled.returncode == 1
    assert "reconcile" in unreconciled.stderr
    place.ran("restore", "reconcile")
    finished = place.run("restore", "finish")
    assert finished.returncode == 0, finished.stderr
    # By hand, as `reconcile`: the line would be missing from the log.
    assert "grant.changed" not in finished.stderr
    assert place.system.run_sql("SELECT exported FROM grant_timeline") == [(0,)]
    assert _wait(place, "/readiness", 200) < _UNTIL_TOLD_SECONDS + 1

    alive = _revived(place)
    assert not any(alive.values()), alive
    assert place.reads("alice", "shared")
    assert place.reads("gina", "reused")
    assert place.reads("gina", "new")
    assert place.reads("alice", "new")
    assert place.reads("frank", "shared")
    assert place.reads_as("successors")
    assert place.ask("gina", "GET", f"/albums/{place.new_album}", 200)["number_of_series"] == 1
    board = place.ask("carol", "GET", f"/albums/{place.album}", 200)
    assert board["is_admin"] is True
    assert board["send_series"] is False
    # What alice stored since is hers to add to.
    more = a_file(study=place.study["new"], series=place.series["new"], instance=new_uid())
    assert place.system.store_files("alice", more).status_code == 200
    assert place.system.run_sql(
        "SELECT legal_hold FROM series WHERE series_instance_uid = :uid", uid=place.series["held"]
    ) == [(True,)]
    kinds = place.system.run_sql("SELECT reason FROM audit WHERE kind = 'restoration' ORDER BY pk")
    assert kinds == [("begun",), ("finished",)]
    place.ran("audit-verify")


def test_a_log_that_lacks_a_line_or_was_altered_is_refused(place: Place, tmp_path: Path) -> None:
    place.restore()
    begun = json.loads(place.ran("restore", "begin", "--json"))
    lines = place.log.read_text().splitlines()
    after = [n for n, line in enumerate(lines) if json.loads(line)["number"] > begun["number"]]
    chosen = after[len(after) // 2]
    altered = json.loads(lines[chosen])
    altered["change"]["key"][0] += "0"
    logs = {
        "missing": [*lines[:chosen], *lines[chosen + 1 :]],
        "altered": [*lines[:chosen], json.dumps(altered), *lines[chosen + 1 :]],
        "does not have line": [lines[n] for n in after],
        "not JSON": [*lines, "{"],
        "restored later": [*lines, lines[0].replace(begun["timeline"], "20990101T000000000000Z-0")],
    }
    for words, log in logs.items():
        place.system.run_sql("DELETE FROM restored_changes")
        file = tmp_path / "log"
        file.write_text("\n".join(log))
        done = place.run("restore", "replay", "--audit", str(file))
        assert done.returncode == 1, words
        assert words in done.stderr
        assert place.run("restore", "finish").returncode == 1
    assert place.system.run_sql(
        "SELECT 1 FROM album_members m JOIN users u ON u.pk = m.user_pk "
        "JOIN albums a ON a.pk = m.album_pk WHERE u.sub = 'bob' AND a.kind = 'album'"
    )


def test_the_log_leaves_nobody_named_by_more_than_issuer_and_sub(place: Place) -> None:
    text = place.log.read_text()
    assert "frank" in text
    for hidden in ("@example.org", "Board", "Later", place.capability, "Unmistakable"):
        assert hidden not in text
