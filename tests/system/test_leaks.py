"""Hidden is absent: asked as each person, the world with the hidden things answers as the world without them.

The second world is a copy of the first, database and store, from which everything is removed that the principal cannot
reach. Both get the same requests: every route that the code knows, every method, with visible, hidden and unused
identifiers. Status, headers and body must be the same; masked are only what no two answers share (the date, the
request's id, a multipart boundary, ids and times of what the requests themselves create).

The one exemption, by name: STOW-RS, whose failure reason 0x0124 tells a writer that a UID is in use.

People are asked here, tokens in test_leaks_of_tokens.py: each takes minutes, and the two run side by side.
"""

from collections.abc import Iterator

import pytest

from kheops.web import dicomweb_service
from kheops.web.api_service import TABLE as API_TABLE
from tests.postgres import Server
from tests.system.leaks.comparison import answers_alike, running_world
from tests.system.leaks.copies import PEOPLE, REACH, TOKENS
from tests.system.leaks.requests import dicom_paths, requests
from tests.system.leaks.world import World


@pytest.fixture(scope="module")
def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(postgres, tmp_path_factory.mktemp("leaks")) as world:
        yield world


@pytest.mark.parametrize("principal", [*PEOPLE, "nobody"])
def test_the_world_with_hidden_things_answers_as_the_world_without_them(
    postgres: Server, world: World, principal: str
) -> None:
    answers_alike(postgres, world, principal)


def test_everybody_who_reaches_something_is_asked() -> None:
    assert {*PEOPLE, *TOKENS} == REACH.keys()


def test_every_route_of_the_code_is_asked(world: World) -> None:
    asked = {(method, path) for method, path, _ in requests(world)}
    types = {resource for resource, _ in dicom_paths(world)}
    assert set(dicomweb_service.TABLE) <= types
    assert {path for _, path in dicom_paths(world)} >= set(dicomweb_service.BY_QUERY)
    for route in API_TABLE.routes:
        for method in route.methods:
            assert any(m == method and route.pattern.fullmatch(path) for m, path in asked), (method, route.template)
