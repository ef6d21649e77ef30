"""The events service beside the emulator, which pushes what happens to it with tokens of a fake Google."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.ports import kept_ports
from local.processes import answers_http
from tests.dicom_files import a_file, multipart, new_uid
from tests.entrypoints.serving import FUNCTIONS
from tests.fakes.jwks_server import FakeIssuer, SigningKey, running
from tests.postgres import Server
from tests.system.running import System, granian, start_system

KEY = SigningKey("google")
AUDIENCE = "https://events.example"
SENDER = "caller@project.iam.gserviceaccount.com"


@dataclass
class Told:
    """A system whose store tells the events service of its changes."""

    system: System
    events: str
    token: str

    def run(self, task: str) -> None:
        """Do as Cloud Scheduler does."""
        answer = httpx.post(
            f"{self.events}/tasks/{task}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 204, answer.text

    def direct(self, method: str, path: str, *files: bytes) -> None:
        """Ask the store itself, by another way than ours."""
        headers = {"Authorization": self.system.store.authorization()}
        if files:
            headers["Content-Type"] = 'multipart/related; type="application/dicom"; boundary=b0undary'
        answer = httpx.request(
            method,
            f"{self.system.store.dicomweb}{path}",
            headers=headers,
            content=multipart(*files) if files else None,
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text

    def instances(self, series: str) -> tuple[str, set[str]] | None:
        """Return the state of a series on record and its confirmed instances; ``None`` if it is not there."""
        rows = self.system.run_sql(
            "SELECT s.state, i.sop_instance_uid FROM series s LEFT JOIN instances i ON i.series_pk = s.pk "
            "AND i.state = 'confirmed' WHERE s.series_instance_uid = :series",
            series=series,
        )
        return (str(rows[0][0]), {str(uid) for _, uid in rows if uid is not None}) if rows else None

    def comes_to(self, series: str, state: str, *uids: str) -> None:
        """Let the scheduler run until the catalog has this."""
        self._until(lambda: self.instances(series) == (state, set(uids)))

    def _until(self, reached: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not reached():
            assert time.monotonic() < until
            time.sleep(0.2)
            self.run("reconcile")


def _token(google: FakeIssuer) -> str:
    now = int(time.time())
    return KEY.sign(
        {
            "iss": google.issuer,
            "aud": AUDIENCE,
            "sub": "1",
            "email": SENDER,
            "email_verified": True,
            "iat": now,
            "exp": now + 3600,
        }
    )


@pytest.fixture(scope="module", params=["configs", "legacy"])
def told(request: pytest.FixtureRequest, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder: Path = tmp_path_factory.mktemp("events")
    port = kept_ports(folder / "events", ["events"])["events"]
    url = f"http://127.0.0.1:{port}"
    with running(KEY) as google:
        token = _token(google)
        (folder / "token").write_text(token)
        push = ("--push-url", url, "--push-form", request.param, "--push-token-file", str(folder / "token"))
        with start_system(postgres, folder, emulator_options=push) as system:
            system.processes.start(
                "events",
                granian(port, "main:app"),
                ready=lambda: answers_http(url, statuses=(401,)),
                environment={
                    **system.environment,
                    "KHEOPS_EVENTS_AUDIENCE": AUDIENCE,
                    "KHEOPS_EVENTS_SENDERS": SENDER,
                    "KHEOPS_EVENTS_ISSUER": google.issuer,
                },
                folder=FUNCTIONS / "events",
                deadline_seconds=60,
            )
            yield Told(system, url, token)


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.node.callspec.params["told"]
    return name


def test_what_comes_into_the_store_comes_on_record_and_is_shown_to_nobody(told: Told) -> None:
    study, series, first, second = (new_uid() for _ in range(4))
    told.direct("POST", "/studies", *(a_file(study=study, series=series, instance=uid) for uid in (first, second)))
    told.comes_to(series, "orphan", first, second)
    with told.system.client("alice") as alice, told.system.client("bob") as bob:
        assert alice.get(f"/studies/{study}/series/{series}").status_code == 404
        absent = alice.put(f"/studies/{new_uid()}/series/{new_uid()}")
        claimed = alice.put(f"/studies/{study}/series/{series}")
        assert (claimed.status_code, claimed.content) == (absent.status_code, absent.content) == (404, absent.content)
        assert bob.get("/studies", params={"StudyInstanceUID": study}).json() == []


def test_what_is_added_to_a_series_is_seen_by_those_who_hold_it(told: Told) -> None:
    study, series, first, second = (new_uid() for _ in range(4))
    stored = told.system.store_files("alice", a_file(study=study, series=series, instance=first))
    assert stored.status_code == 200
    told.direct("POST", "/studies", a_file(study=study, series=series, instance=second))
    told.comes_to(series, "confirmed", first, second)
    with told.system.client("alice") as alice:
        found = alice.get(f"/studies/{study}/series/{series}/instances").json()
    assert {each["00080018"]["Value"][0] for each in found} == {first, second}


def test_what_leaves_the_store_leaves_the_catalog(told: Told, form: str) -> None:
    study, series, first, second, third = (new_uid() for _ in range(5))
    files = [a_file(study=study, series=series, instance=uid) for uid in (first, second)]
    assert told.system.store_files("alice", *files).status_code == 200
    told.direct("DELETE", f"/studies/{study}/series/{series}/instances/{first}")
    if form == "legacy":
        # It tells of no deletion; the next thing that it tells of has the series compared as a whole.
        told.direct("POST", "/studies", a_file(study=study, series=series, instance=third))
        told.comes_to(series, "confirmed", second, third)
    else:
        told.comes_to(series, "confirmed", second)


def test_own_uploads_leave_no_work_behind(told: Told) -> None:
    study, series = new_uid(), new_uid()
    before = told.system.store_files("alice", a_file(study=study, series=series, instance=new_uid()))
    assert before.status_code == 200
    # Pushes of another series, behind those of ours, have been taken when it is on record.
    other = new_uid()
    told.direct("POST", "/studies", a_file(study=new_uid(), series=other, instance=(last := new_uid())))
    told.comes_to(other, "orphan", last)
    trail = told.system.run_sql(
        "SELECT count(*) FROM audit WHERE kind = 'reconcile' AND :series = ANY (series_instance_uids)", series=series
    )
    assert trail == [(0,)]
    assert told.system.run_sql("SELECT count(*) FROM noticed_series") == [(0,)]


def test_purge_by_the_scheduler_is_followed_by_notifications_that_change_nothing(told: Told) -> None:
    study, series, uid = (new_uid() for _ in range(3))
    file = a_file(study=study, series=series, instance=uid)
    assert told.system.store_files("alice", file).status_code == 200
    with told.system.client("alice") as alice:
        assert alice.delete(f"/studies/{study}/series/{series}").status_code == 204
    told.system.run_sql(
        "UPDATE series SET orphaned_at = now() - interval '31 days' WHERE series_instance_uid = :series",
        series=series,
    )
    told.run("purge")
    assert told.instances(series) is None
    told.run("reconcile")
    assert told.instances(series) is None
    assert told.system.store_files("alice", file).status_code == 200


def test_logs_have_no_token_and_no_uid_of_the_store(told: Told) -> None:
    study, series, uid = (new_uid() for _ in range(3))
    told.direct("POST", "/studies", a_file(study=study, series=series, instance=uid))
    told.comes_to(series, "orphan", uid)
    log = told.system.log_text()
    assert told.token not in log
    assert series not in log
    assert '"notifications.settled"' in log
