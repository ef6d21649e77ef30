"""The permission matrix over HTTP, against a running system."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby

import httpx
import pytest

from tests.matrices.notation import Outcome, Row
from tests.matrices.over_http import WRITING, ask_reading, ask_writing
from tests.matrices.permissions import rows
from tests.matrices.world import CREDENTIALS
from tests.matrices.world_over_http import BuiltWorld, build
from tests.postgres import Server
from tests.system.running import start_system

_CALLERS_AT_ONCE = 3
_SUSPENSION_SECONDS = 5


@pytest.fixture(scope="module")
def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltWorld]:
    with start_system(postgres, tmp_path_factory.mktemp("matrix")) as system:
        yield build(system)
        logs = system.log_text()
    assert "Unmistakable" not in logs
    assert not [secret for secret in system.secrets_used if secret in logs]


@pytest.fixture(scope="module")
def clients(world: BuiltWorld) -> Iterator[Mapping[str, httpx.Client]]:
    with ExitStack() as open_clients:
        yield {name: open_clients.enter_context(world.client(name)) for name in CREDENTIALS}


def test_what_is_listed_and_served_is_what_the_matrix_says(
    world: BuiltWorld, clients: Mapping[str, httpx.Client]
) -> None:
    asked = [row for row in rows() if row.expected is not Outcome.UNAUTHENTICATED and row.action not in WRITING]
    _ask(world, clients, asked)


def test_what_may_be_changed_is_what_the_matrix_says(world: BuiltWorld, clients: Mapping[str, httpx.Client]) -> None:
    asked = [row for row in rows() if row.expected is not Outcome.UNAUTHENTICATED and row.action in WRITING]
    _ask(world, clients, asked)


def test_who_cannot_be_told_is_refused_everything(world: BuiltWorld, clients: Mapping[str, httpx.Client]) -> None:
    _wait_for_the_suspension(clients["sam"])
    _ask(world, clients, [row for row in rows() if row.expected is Outcome.UNAUTHENTICATED])


def test_links_that_have_ended_open_for_nobody_and_answer_like_one_that_never_was(
    world: BuiltWorld, clients: Mapping[str, httpx.Client]
) -> None:
    _wait_for_the_suspension(clients["sam"])
    opened = {name: _opened(world, *named) for name, named in world.links.items()}
    never = _opened(world, "Zz00000000", world.links["l.1"][1])
    other = _opened(world, world.links["l.1"][0], world.links["l.s"][1])
    ended = {"l.used", "l.expired", "l.revoked", "l.sam"}
    assert {name for name, (status, _) in opened.items() if status != 200} == ended
    assert {opened[name] for name in ended} == {never} == {other}
    assert never[0] == 404


def _opened(world: BuiltWorld, public: str, secret: str) -> tuple[int, str]:
    with world.system.client() as nobody:
        answer = nobody.post(f"/links/{public}/open", data={"secret": secret})
    if answer.is_success:
        world.system.secrets_used.add(answer.json()["access_token"])
    return answer.status_code, "" if answer.is_success else answer.text


def _ask(world: BuiltWorld, clients: Mapping[str, httpx.Client], asked: Sequence[Row]) -> None:
    """Ask all rows, first those that change nothing, and tell of all that come out otherwise."""
    assert asked
    before = world.state()
    reading = sorted((row for row in asked if row.action not in WRITING), key=lambda row: row.principal)
    writing = sorted((row for row in asked if row.action in WRITING), key=lambda row: (row.action, row.object))
    groups = [(name, list(group)) for name, group in groupby(reading, key=lambda row: row.principal)]
    with ThreadPoolExecutor(_CALLERS_AT_ONCE) as callers:
        answers = callers.map(lambda each: list(ask_reading(world, each[1], clients[each[0]])), groups)
        wrong = [fault for found in answers for fault in found]
    wrong += ask_writing(world, writing, clients)
    assert not wrong, f"{len(wrong)} of {len(asked)} rows:\n" + "\n".join(wrong)
    assert world.state() == before


def _wait_for_the_suspension(client: httpx.Client) -> None:
    begun = time.monotonic()
    while client.get("/albums").status_code != 401:
        assert time.monotonic() - begun < _SUSPENSION_SECONDS + 1, "a suspended person still comes in"
        time.sleep(0.25)
