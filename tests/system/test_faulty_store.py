"""Uploads from several people over a store that refuses, resets and cuts: what was answered as stored is there."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from kheops.dicomweb.multipart import MultipartReader, PartBegin, PartData, boundary_of
from tests.contract.archive.real_stores import FAULTS
from tests.dicom_files import a_file, new_uid
from tests.postgres import Server
from tests.system.running import System, start_system

PEOPLE = ("fay", "gus", "hal")
REQUESTS = 4
FILES = 6
LARGE_PIXELS = 5 * 1024 * 1024
"""Bytes; what is larger than 4 MiB is streamed to the store, once."""
ROUNDS = 12
LEASE_SECONDS = 1
SEED = 20_261_125


@pytest.fixture(scope="module")
def system(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    options = [option for fault, share in FAULTS.items() for option in ("--fault", f"{fault}={share}")]
    with start_system(
        postgres,
        tmp_path_factory.mktemp("faulty"),
        settings={"KHEOPS_LEASE_SECONDS": str(LEASE_SECONDS)},
        emulator_options=(*options, "--latency", "0.02", "--fault-seed", str(SEED)),
    ) as running:
        yield running


@dataclass
class Person:
    """Somebody who stores, and what was said about it."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    """By the rest of the path below ``/studies``."""
    stored: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


def _person(name: str) -> Person:
    chance = random.Random(f"{name} {SEED}")
    person = Person(name)
    for _ in range(REQUESTS):
        study, series = new_uid(), new_uid()
        for number in range(FILES):
            instance = new_uid()
            size = LARGE_PIXELS if number == FILES - 1 else 2 * chance.randrange(10, 40_000)
            body = a_file(study=study, series=series, instance=instance, number=number, pixels=chance.randbytes(size))
            person.files[f"{study}/series/{series}/instances/{instance}"] = body
    return person


def _store(system: System, person: Person) -> None:
    """Store what is not stored yet, a study a request, and note what the answers say."""
    missing = [path for path in person.files if path not in person.stored]
    for study in dict.fromkeys(path.partition("/")[0] for path in missing):
        paths = [path for path in missing if path.startswith(f"{study}/")]
        answer = system.store_files(person.name, *(person.files[path] for path in paths))
        person.statuses[answer.status_code] += 1
        if answer.status_code not in {200, 202, 409}:
            assert answer.status_code == 503, answer.text
            continue
        said = {item["00081155"]["Value"][0] for item in answer.json().get("00081199", {}).get("Value", [])}
        person.stored.update(path for path in paths if path.rpartition("/")[2] in said)


def _read(client: httpx.Client, path: str) -> list[bytes] | None:
    """Return the files below a path; ``None`` if the answer said or showed that it is none."""
    try:
        with client.stream(
            "GET",
            f"/studies/{path}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        ) as answer:
            if answer.status_code == 503:
                assert "retry-after" in answer.headers
                return None
            assert answer.status_code == 200, (answer.status_code, answer.read())
            reader = MultipartReader(boundary_of(answer.headers["content-type"]))
            seen: list[bytearray] = []
            for chunk in answer.iter_raw():
                for event in reader.feed(chunk):
                    if isinstance(event, PartBegin):
                        seen.append(bytearray())
                    elif isinstance(event, PartData):
                        seen[-1] += event.data
            reader.close()
            return [bytes(part) for part in seen]
    except httpx.TransportError:
        return None


def _patiently(client: httpx.Client, path: str) -> list[bytes]:
    for _ in range(20):
        if (body := _read(client, path)) is not None:
            return body
    raise AssertionError(f"unavailable twenty times: {path}")


def _faults(system: System, plan: dict[str, object] | None = None) -> dict[str, dict[str, int]]:
    """Return the store's faults, after setting others if they are given."""
    url = f"{system.store.dicomweb.partition('/v1/')[0]}/emulator/faults"
    headers = {"Authorization": system.store.authorization()}
    answer = httpx.get(url, headers=headers) if plan is None else httpx.put(url, headers=headers, json=plan)
    assert answer.status_code == 200
    state: dict[str, dict[str, int]] = answer.json()
    return state


def _compare(system: System, people: list[Person]) -> None:
    """Read what is said to be stored, each person their own."""

    def compare(person: Person) -> None:
        with system.client(person.name) as client:
            for path in person.stored:
                assert _patiently(client, path) == [person.files[path]]
            for series in {path.partition("/instances/")[0] for path in person.stored}:
                whole = _patiently(client, series)
                below = {path for path in person.files if path.startswith(f"{series}/")}
                assert len(whole) == len(set(whole))
                assert {person.files[path] for path in person.stored & below} <= set(whole)
                assert set(whole) <= {person.files[path] for path in below}

    with ThreadPoolExecutor(len(people)) as threads:
        list(threads.map(compare, people))


def test_what_was_answered_as_stored_comes_back_and_the_rest_can_be_stored(system: System) -> None:
    people = [_person(name) for name in PEOPLE]
    first = 0
    for attempt in range(ROUNDS):
        with ThreadPoolExecutor(len(people)) as threads:
            list(threads.map(lambda person: _store(system, person), people))
        if attempt == 0:
            first = sum(len(person.stored) for person in people)
            _compare(system, people)
        if all(len(person.stored) == len(person.files) for person in people):
            break
        time.sleep(LEASE_SECONDS)
    every = sum(len(person.files) for person in people)
    assert sum(len(person.stored) for person in people) == every
    # Else nothing was tried, or nothing got through.
    assert every / 2 < first < every
    assert min(_faults(system)["counts"].values()) > 3
    _compare(system, people)


@pytest.mark.parametrize("status", ["429", "503"])
def test_store_that_only_refuses_is_no_limit_of_ours(system: System, status: str) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    _faults(system, {})
    stored = system.store_files("ida", a_file(study=study, series=series, instance=instance))
    assert stored.status_code == 200
    _faults(system, {"shares": {status: 1.0}})
    with system.client("ida") as ida:
        answer = ida.get(f"/studies/{study}/series/{series}/instances/{instance}")
        # Ours would be a 429: a client that slows down for it would wait for the wrong thing.
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("archive-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        asked = _faults(system)["counts"][status]
        assert asked == 4
        # What the catalog answers goes on.
        assert ida.get(f"/studies?StudyInstanceUID={study}").status_code == 200
    refused = system.store_files("ida", a_file(study=study, series=series, instance=new_uid()))
    assert refused.status_code in {409, 503}
    assert "00081199" not in refused.json()
    _faults(system, {})
