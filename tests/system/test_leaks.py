"""Hidden is absent: asked as each principal, the world with the hidden things answers as the world without them.

The second world is a copy of the first, database and store, from which everything is removed that the principal cannot
reach. Both get the same requests: every route that the code knows, every method, with visible, hidden and unused
identifiers. Status, headers and body must be the same; masked are only what no two answers share (the date, the
request's id, a multipart boundary, ids and times of what the requests themselves create).

The one exemption, by name: STOW-RS, whose failure reason 0x0124 tells a writer that a UID is in use.
"""

from collections.abc import Iterator

import httpx
import pytest

from kheops.web import dicomweb_service
from kheops.web.api_service import TABLE as API_TABLE
from tests.postgres import Server
from tests.system.leaks.answers import seen
from tests.system.leaks.copies import REACH, as_it_is, without_the_hidden
from tests.system.leaks.requests import dicom_paths, requests, sendable
from tests.system.leaks.world import World, build
from tests.system.running import start_system


@pytest.fixture(scope="module")
def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("leaks")
    mail = {"KHEOPS_MAIL_FROM": "kheops@example.org", "KHEOPS_MAIL_FOLDER": str(folder)}
    with start_system(postgres, folder, settings=mail) as system:
        yield build(system, folder)
        logs = system.log_text()
    assert "Unmistakable" not in logs
    assert not [secret for secret in system.secrets_used if secret in logs]


@pytest.mark.parametrize("principal", [*REACH, "revoked link", "expired link", "nobody", "forged"])
def test_the_world_with_hidden_things_answers_as_the_world_without_them(
    postgres: Server, world: World, principal: str
) -> None:
    # A copy can be made of a database only while nobody is connected to it.
    world.system.services.stop()
    world.system.database.close()
    token = world.tokens[principal]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    differences: list[str] = []
    asked = 0
    answered = set()
    with (
        as_it_is(postgres, world, principal) as whole,
        without_the_hidden(postgres, world, principal) as reduced,
        httpx.Client(base_url=f"{whole}/api", headers=headers, timeout=30, trust_env=False) as first,
        httpx.Client(base_url=f"{reduced}/api", headers=headers, timeout=30, trust_env=False) as second,
    ):
        for method, path, query in requests(world, thin=principal not in REACH):
            url, form, body = sendable(method, path, query, token=token)
            one = seen(first.request(method, url, data=form, json=body))
            two = seen(second.request(method, url, data=form, json=body))
            asked += 1
            answered.add(one[0])
            if one != two:
                differences.append(f"{method} {url}: {one} is not {two}")
    assert not differences, f"{len(differences)} of {asked}:\n" + "\n".join(differences[:5])
    assert asked > 500
    if principal in REACH and principal != "outsider":
        assert 200 in answered, "the principal must see something, else nothing was compared"


def test_every_route_of_the_code_is_asked(world: World) -> None:
    asked = {(method, path) for method, path, _ in requests(world)}
    types = {resource for resource, _ in dicom_paths(world)}
    assert set(dicomweb_service.TABLE) <= types
    assert {path for _, path in dicom_paths(world)} >= set(dicomweb_service.BY_QUERY)
    for route in API_TABLE.routes:
        for method in route.methods:
            assert any(m == method and route.pattern.fullmatch(path) for m, path in asked), (method, route.template)
