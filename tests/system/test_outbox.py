"""What has to go out survives kill -9 of the services, between commit and delivery and in the middle of an attempt."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.processes import base_environment
from tests.dicom_files import a_file, new_uid
from tests.postgres import Server
from tests.system.running import System, start_system
from tests.unit.outbound.receiver import Receiver, receiver


@pytest.fixture(scope="module")
def far() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory, far: Receiver) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("outbox")
    settings = {
        "KHEOPS_OUTBOUND_ALLOWED": far.destination,
        "KHEOPS_MAIL_FROM": "kheops@example.org",
        "KHEOPS_MAIL_FOLDER": str(folder / "mail"),
        "KHEOPS_DIGEST_SECONDS": "60",
    }
    with start_system(postgres, folder, settings=settings) as running:
        yield running


@pytest.fixture
def hooked(system: System, far: Receiver) -> Iterator[str]:
    """Give an album of Alice's with a webhook, and the receiver empty."""
    far.got.clear()
    with system.client("alice") as alice:
        album = alice.post("/albums", data={"name": "Hearts"}).json()["album_id"]
        made = alice.post(
            f"/albums/{album}/webhooks",
            data={"url": far.url, "name": "Hook", "secret": "a secret of Alice", "event": ["new_series", "new_user"]},
        )
        assert made.status_code == 201, made.text
    yield album
    far.hold = lambda: None


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_an_upload_is_told_of_though_the_services_were_killed_before_it_was_sent(
    system: System, far: Receiver, hooked: str
) -> None:
    study, series = new_uid(), new_uid()
    files = [a_file(study=study, series=series, instance=new_uid(), number=number) for number in (1, 2)]
    assert system.store_files("alice", *files, album=hooked).status_code == 200
    system.services.kill()
    assert far.got == []
    # Half a minute has passed; nobody was there.
    system.run_sql("UPDATE outbox SET due_at = now() - interval '1 second' WHERE kind = 'new_series'")
    system.restart()
    assert until(lambda: bool(far.got)), "nothing was sent after the restart"
    [got] = far.got
    body = json.loads(got.body)
    assert (got.headers["x-kheops-event"], body["import_source"], body["album_id"]) == ("new_series", "upload", hooked)
    [told] = body["updated_study"]["series"]
    assert (told["series_uid"], told["number_of_new_instances"]) == (series, 2)
    assert until(lambda: not waiting(system))
    assert len(far.got) == 1


def test_an_attempt_that_the_services_died_in_is_made_again(system: System, far: Receiver, hooked: str) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        release.wait(10)

    far.hold = hold
    with system.client("bob") as bob, system.client("alice") as alice:
        assert bob.get("/albums").status_code == 200
        assert alice.put(f"/albums/{hooked}/users/bob@example.org").status_code == 201
    assert arrived.wait(10), "the first attempt did not come"
    system.services.kill()
    release.set()
    system.restart()
    time.sleep(1.5)
    assert len(far.got) == 1, "sent again while the lease of the dead worker lasted"
    system.run_sql("UPDATE outbox SET leased_until = now() WHERE leased_until IS NOT NULL")
    assert until(lambda: len(far.got) == 2), "not sent again after the lease"
    assert until(lambda: not waiting(system))
    assert [got.headers["x-kheops-attempt"] for got in far.got] == ["1/5", "2/5"]
    assert len({got.headers["x-kheops-delivery"] for got in far.got}) == 1
    with system.client("alice") as alice:
        [hook] = alice.get(f"/albums/{hooked}/webhooks").json()
        log = alice.get(f"/albums/{hooked}/webhooks/{hook['id']}").json()["triggers"]
    # Nobody lived to write down how the first ended.
    assert [(each["attempt"], each["status"]) for each in log[0]["attempts"]] == [(2, 200)]


def test_processes_beside_each_other_send_each_delivery_once(system: System, far: Receiver, hooked: str) -> None:
    command = [str(Path(sys.executable).with_name("kheops")), "deliver"]
    environment = {**base_environment(), **system.environment}
    with system.client("alice") as alice:
        [hook] = alice.get(f"/albums/{hooked}/webhooks").json()
        for _ in range(30):
            tried = alice.post(
                f"/albums/{hooked}/webhooks/{hook['id']}/trigger",
                data={"event": "new_user", "user": "alice@example.org"},
            )
            assert tried.status_code == 202, tried.text
        beside = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
        outputs = [each.communicate(timeout=60)[0] for each in beside]
    assert [each.returncode for each in beside] == [0, 0], outputs
    assert until(lambda: not waiting(system))
    sent = [(got.headers["x-kheops-delivery"], got.headers["x-kheops-attempt"]) for got in far.got]
    assert len(sent) == len(set(sent)) == 30


def test_a_digest_arrives_in_the_folder_of_mails(system: System, hooked: str) -> None:
    folder = Path(system.environment["KHEOPS_MAIL_FOLDER"])
    command = [str(Path(sys.executable).with_name("kheops")), "reconcile"]
    environment = {**base_environment(), **system.environment}
    with system.client("alice") as alice, system.client("bob") as bob:
        assert bob.get("/albums").status_code == 200
        assert alice.put(f"/albums/{hooked}/users/bob@example.org").status_code == 201
        assert bob.patch(f"/albums/{hooked}", data={"notificationNewComment": "true"}).status_code == 200
        subprocess.run(command, env=environment, check=True, timeout=60, stdout=subprocess.DEVNULL)
        assert alice.post(f"/albums/{hooked}/comments", data={"comment": "Xq^Unmistakable"}).status_code == 204
    # As if it had been ten minutes ago: a digest leaves out what may not be committed yet.
    earlier = "- interval '10 minutes'"
    system.run_sql(
        f"UPDATE notification_digests SET covered_until = covered_until {earlier}, begun_at = begun_at {earlier}"
    )
    system.run_sql(f"UPDATE album_members SET joined_at = joined_at {earlier}")
    system.run_sql(f"UPDATE comments SET at = at {earlier}")
    subprocess.run(command, env=environment, check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert until(lambda: any(folder.glob("*.eml")))
    text = next(folder.glob("*.eml")).read_text("utf-8")
    assert "To: bob@example.org" in text
    assert "- Hearts: 1 new comment" in text
    assert "Xq^" not in text


def test_no_secret_and_no_name_is_in_a_log(system: System, far: Receiver) -> None:
    text = system.log_text()
    for word in ("a secret of Alice", "Xq^Unmistakable", far.url, *system.secrets_used):
        assert word not in text


def waiting(system: System) -> bool:
    [(number,)] = system.run_sql("SELECT count(*) FROM outbox WHERE done_at IS NULL AND failed_at IS NULL")
    return number != 0
