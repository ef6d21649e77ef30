"""The comparison of two worlds that tests/system/test_leaks*.py make for one principal each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.postgres import Server
from tests.system.leaks.answers import seen
from tests.system.leaks.copies import REACH, as_it_is, without_the_hidden
from tests.system.leaks.requests import requests, sendable
from tests.system.leaks.world import World, build
from tests.system.running import start_system

__all__ = ["answers_alike", "running_world"]


@contextmanager
def running_world(postgres: Server, folder: Path) -> Iterator[World]:
    """Give the world as it is; at its end, its logs must tell no secret."""
    mail = {"KHEOPS_MAIL_FROM": "kheops@example.org", "KHEOPS_MAIL_FOLDER": str(folder)}
    with start_system(postgres, folder, settings=mail) as system:
        yield build(system, folder)
        logs = system.log_text()
    assert "Unmistakable" not in logs
    assert not [secret for secret in system.secrets_used if secret in logs]


def answers_alike(postgres: Server, world: World, principal: str) -> None:
    """Ask both worlds the same as a principal; they must answer alike."""
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
