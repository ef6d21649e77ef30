"""What the emulator does to requests when it is told to."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.healthcare_emulator.faults import Fault, FaultPlan, Faults
from tests.contract.archive.objects import Stored, stored_object
from tests.contract.archive.real_stores import RealStore, emulator
from tests.local.healthcare_emulator.conftest import new_client
from tests.local.healthcare_emulator.requests_of_a_client import instance_path, post

SEED = 20_261_125


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStore]:
    with emulator(tmp_path_factory.mktemp("faulty")) as running:
        yield running


@pytest.fixture
def sender(faulty: RealStore) -> Iterator[httpx.Client]:
    with new_client(faulty) as client:
        yield client
        _set(client)


def _faults_url(client: httpx.Client) -> str:
    return f"{str(client.base_url).partition('/v1/')[0]}/emulator/faults"


def _set(client: httpx.Client, **plan: object) -> None:
    assert client.put(_faults_url(client), json=plan).status_code == 200


def _stored(client: httpx.Client) -> Stored:
    item = stored_object("CT_small.dcm")
    assert post(client, item.body).status_code == 200
    return item


def _is_there(client: httpx.Client, item: Stored) -> bool:
    return client.get(instance_path(item), headers={"Accept": "application/dicom; transfer-syntax=*"}).is_success


@pytest.mark.parametrize(("fault", "name"), [("429", "RESOURCE_EXHAUSTED"), ("503", "UNAVAILABLE")])
def test_refused_request_says_so_and_does_nothing(sender: httpx.Client, fault: str, name: str) -> None:
    item = stored_object("CT_small.dcm")
    _set(sender, next=[fault])
    answer = post(sender, item.body)
    assert answer.status_code == int(fault)
    assert answer.json()[0]["error"]["status"] == name
    assert not _is_there(sender, item)
    assert post(sender, item.body).status_code == 200


@pytest.mark.parametrize(("fault", "kept"), [("reset", False), ("reset-request", False), ("reset-answer", True)])
def test_reset_connection_leaves_what_was_done_before(sender: httpx.Client, fault: str, kept: bool) -> None:
    item = stored_object("CT_small.dcm")
    _set(sender, next=[fault])
    with pytest.raises(httpx.TransportError):
        post(sender, item.body)
    assert _is_there(sender, item) is kept


def _collect(answer: httpx.Response, seen: bytearray) -> None:
    for piece in answer.iter_raw():
        seen += piece


@pytest.mark.parametrize("accept", ["application/dicom; transfer-syntax=*", "*/*"], ids=["length", "chunked"])
def test_cut_answer_begins_well_and_never_ends_as_whole(sender: httpx.Client, accept: str) -> None:
    item = _stored(sender)
    for seed in range(5):
        _set(sender, next=["cut-answer"], seed=seed)
        seen = bytearray()
        with sender.stream("GET", instance_path(item), headers={"Accept": accept}) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.TransportError):
                _collect(answer, seen)
        assert seen[:20] in item.body or seen.startswith(b"--")
        assert len(seen) < len(item.body) or "Content-Length" not in answer.headers


def test_answer_without_a_body_is_cut_before_it_begins(sender: httpx.Client) -> None:
    item = _stored(sender)
    _set(sender, next=["cut-answer"])
    with pytest.raises(httpx.TransportError):
        sender.delete(instance_path(item))
    assert not _is_there(sender, item)


def test_faults_are_told_of_and_come_in_their_shares(sender: httpx.Client) -> None:
    _set(sender, shares={"429": 0.2, "503": 0.3}, seed=SEED)
    statuses = Counter(sender.get("/studies").status_code for _ in range(60))
    state = sender.get(_faults_url(sender)).json()
    none = {fault.value: 0 for fault in Fault}
    assert state["counts"] == {**none, "429": statuses[429], "503": statuses[503]}
    assert 4 <= statuses[429] <= 22
    assert 8 <= statuses[503] <= 29
    assert statuses[429] + statuses[503] < 60


def test_latency_makes_requests_wait(sender: httpx.Client) -> None:
    _set(sender, latency=0.4, seed=1)  # draws 0.05, then 0.3
    waits = [sender.get("/studies").elapsed.total_seconds() for _ in range(6)]
    assert max(waits) > 0.2


def test_what_cannot_be_is_refused_and_changes_nothing(sender: httpx.Client) -> None:
    _set(sender, seed=3)
    for plan in (
        {"shares": {"429": 1.1}},
        {"shares": {"429": -0.1}},
        {"shares": {"418": 0.1}},
        {"latency": -1},
        {"x": 1},
    ):
        assert sender.put(_faults_url(sender), json=plan).status_code == 400, plan
    assert sender.get(_faults_url(sender)).json()["seed"] == 3


def test_faults_are_set_with_a_token_only(sender: httpx.Client) -> None:
    assert httpx.put(_faults_url(sender), json={"shares": {"503": 1.0}}).status_code == 401
    assert sender.get("/studies").status_code != 503


def test_token_and_faults_themselves_are_spared(sender: httpx.Client) -> None:
    _set(sender, shares={"reset": 1.0})
    origin = _faults_url(sender).removesuffix("/emulator/faults")
    url = f"{origin}/computeMetadata/v1/instance/service-accounts/default/token"
    assert httpx.get(url, headers={"Metadata-Flavor": "Google"}).status_code == 200
    with pytest.raises(httpx.TransportError):
        sender.get("/studies")


def test_command_line_sets_faults_and_refuses_what_cannot_be(tmp_path: Path) -> None:
    with emulator(tmp_path, "--fault", "503=0.5", "--fault", "429=0.5") as running, new_client(running) as client:
        assert client.get("/studies").status_code in {429, 503}
    command = [sys.executable, "-m", "local.healthcare_emulator", "--port", "1", "--data", str(tmp_path / "none")]
    for wrong in ("503", "503=2", "418=0.1", "503=x"):
        ended = subprocess.run([*command, "--fault", wrong], capture_output=True, text=True, timeout=20, check=False)
        assert ended.returncode == 2, wrong
        assert "error:" in ended.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("port", [None, "99999"])
def test_port_that_cannot_be_listened_at_is_a_plain_error(tmp_path: Path, port: str | None) -> None:
    with emulator(tmp_path) as running:
        # A server of the same kind: it would let another listen beside it.
        port = port or str(httpx.URL(running.root).port)
        command = [sys.executable, "-m", "local.healthcare_emulator", "--port", port, "--data", str(tmp_path / "none")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in ended.stderr
    assert (ended.stdout, (tmp_path / "none").exists()) == ("", False)


def test_same_seed_draws_the_same_whatever_the_order_of_shares() -> None:
    one = Faults(FaultPlan(shares={Fault.RESET: 0.3, Fault.UNAVAILABLE: 0.3}, latency=1, seed=SEED))
    other = Faults(FaultPlan(shares={Fault.UNAVAILABLE: 0.3, Fault.RESET: 0.3}, latency=1, seed=SEED))
    drawn = [one.draw() for _ in range(100)]
    assert drawn == [other.draw() for _ in range(100)]
    one.set(FaultPlan(shares=one.plan.shares, latency=1, seed=SEED + 1))
    assert drawn != [one.draw() for _ in range(100)]
