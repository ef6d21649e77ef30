import json
import socket
from pathlib import Path

import pytest

from local.ports import PortTakenError, is_free, kept_ports


def test_ports_are_kept_from_one_start_to_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = kept_ports(folder, ["services", "postgres"])
    assert kept_ports(folder, ["services", "postgres"]) == first
    assert len(set(first.values())) == 2


def test_a_component_asked_for_later_gets_a_port_and_the_others_keep_theirs(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = kept_ports(folder, ["services", "emulator"])
    second = kept_ports(folder, ["services", "orthanc"])
    assert second["services"] == first["services"]
    assert second["orthanc"] not in first.values()
    assert json.loads((folder / "ports.json").read_text("utf-8")) == {**first, **second}


def test_two_stacks_never_share_a_port_though_neither_runs(tmp_path: Path) -> None:
    components = [f"component-{number}" for number in range(30)]
    demo = kept_ports(tmp_path / "demo", components)
    smoke = kept_ports(tmp_path / "smoke", components)
    assert not set(demo.values()) & set(smoke.values())


def test_a_port_taken_later_is_an_error_that_names_port_component_and_file(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    port = kept_ports(folder, ["canaille"])["canaille"]
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortTakenError) as caught:
            kept_ports(folder, ["canaille"])
        for part in (str(port), "canaille", str(folder / "ports.json")):
            assert part in str(caught.value)
    assert kept_ports(folder, ["canaille"]) == {"canaille": port}


def test_a_taken_port_of_a_component_that_is_not_started_is_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    ports = kept_ports(folder, ["services", "orthanc"])
    with socket.create_server(("127.0.0.1", ports["orthanc"])):
        assert not is_free(ports["orthanc"])
        assert kept_ports(folder, ["services"]) == {"services": ports["services"]}
