"""The API takes our pages' session for reading from our own pages, and for nothing else."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kheops import clock
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.identity.login import LoggedIn
from kheops.identity.sessions import SessionSecrets
from kheops.services.people import Registry
from kheops.services.sessions import Sessions
from tests.system.running import System


@pytest.fixture(scope="module")
def cookie(system: System) -> str:
    """Give the cookie of somebody who has logged in."""
    secrets = SessionSecrets(system.environment["KHEOPS_SESSION_KEY"].encode())
    registry = Registry(system.database, clock.now, None)
    sessions = Sessions(system.database, clock.now, registry=registry, secrets=secrets)
    logged_in = LoggedIn(
        iss=system.issuer.issuer,
        sub="browser-user",
        email=None,
        email_verified=False,
        name="Browser User",
        claims={},
        session=None,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        id_token="x.y.z",
        access_token=None,
    )
    use = Use(User(None, None, None), UseKind.LOGIN, Outcome.GRANTED, None, "r")
    begun = asyncio.run(sessions.begin(logged_in, asked=use, replaced=None))
    system.secrets_used.add(begun.secret)
    return f"kheops={begun.secret}"


def test_our_own_pages_may_read(system: System, cookie: str) -> None:
    with system.client() as client:
        answer = client.get("/albums", headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200


@pytest.mark.parametrize("site", [None, "cross-site", "same-site", "none"])
def test_nobody_else_s_page_may(system: System, cookie: str, site: str | None) -> None:
    headers = {"Cookie": cookie} if site is None else {"Cookie": cookie, "Sec-Fetch-Site": site}
    with system.client() as client:
        assert client.get("/albums", headers=headers).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_changed_by_a_cookie(system: System, cookie: str, method: str) -> None:
    path = "/albums" if method == "POST" else "/albums/abcdefghij"
    path = "/albums/abcdefghij/favorites" if method == "PUT" else path
    with system.client() as client:
        answer = client.request(
            method, path, data={"name": "x"}, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        )
    assert answer.status_code == 401


def test_a_token_wins_over_a_cookie(system: System, cookie: str) -> None:
    with system.client(token="A" * 22) as client:
        answer = client.get("/albums", headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401
