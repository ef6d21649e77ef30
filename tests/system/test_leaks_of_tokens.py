"""Hidden is absent, as test_leaks.py says: asked with each kind of token."""

from collections.abc import Iterator

import pytest

from tests.postgres import Server
from tests.system.leaks.comparison import answers_alike, running_world
from tests.system.leaks.copies import TOKENS
from tests.system.leaks.world import World


@pytest.fixture(scope="module")
def world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(postgres, tmp_path_factory.mktemp("leaks-of-tokens")) as world:
        yield world


@pytest.mark.parametrize("principal", [*TOKENS, "revoked link", "expired link", "forged"])
def test_the_world_with_hidden_things_answers_as_the_world_without_them(
    postgres: Server, world: World, principal: str
) -> None:
    answers_alike(postgres, world, principal)
