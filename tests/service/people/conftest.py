"""Fixtures of the tests of suspension, erasure, groups, orphans and legal hold."""

import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.fakes.jwks_server import FakeIssuer, running
from tests.postgres import Server
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.control.world import World

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]


@pytest.fixture(scope="module")
def shared_url(postgres: Server) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def shared_world(shared_url: str) -> Iterator[World]:
    made = World(shared_url)
    yield made
    made.close()


@pytest.fixture
def world(shared_world: World) -> World:
    """Give an empty world."""
    shared_world.empty()
    shared_world.execute("DELETE FROM erasures")
    return shared_world


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a body against both functions; ``roles: root`` administers, and ``groups`` names groups."""
    environment(monkeypatch, shared_url, issuer)
    trusted = [
        {
            "issuer": issuer.issuer,
            "audiences": ["kheops"],
            "access_token_typ": "at+jwt",
            "email_domains": ["example.org"],
            "groups_claim": "groups",
        }
    ]
    monkeypatch.setenv("KHEOPS_ISSUERS", json.dumps(trusted))
    rules = [{"issuer": issuer.issuer, "claim": "roles", "value": "root"}]
    monkeypatch.setenv("KHEOPS_ADMINISTRATORS", json.dumps(rules))
    return lambda body: serve(world, issuer, body)
