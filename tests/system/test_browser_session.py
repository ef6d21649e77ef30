"""The API takes our pages' session for reading from our own pages, and for nothing else."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kheops import clock
from kheops.domain.uses import Outcome, Use, UseKind, User
from kheops.identity.login import LoggedIn
from kheops.identity.sessions import SessionSecrets
from kheops.services.people import Registry
from kheops.services.sessions import Sessions
from kheops.web.openapi import document
from kheops.web.routing import SEGMENTS
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


READING = {"GET", "HEAD"}
_SEGMENTS = {"study": "1.2.3", "series": "1.2.4", "instance": "1.2.5", "frames": "1", "path": "bulk"}
_PATHS: Mapping[str, Mapping[str, Any]] = json.loads(json.dumps(document("")))["paths"]
OPERATIONS = {
    (method.upper(), path): described
    for path, item in _PATHS.items()
    for method, described in item.items()
    if method not in {"parameters", "servers"}
}
PUBLIC = {operation for operation, described in OPERATIONS.items() if described.get("security") == []}
SITES = [None, "", "cross-site", "same-site", "none", "Same-Origin", "same-origin, same-origin"]


def _changing() -> list[tuple[str, str]]:
    """Return a request for each route of the API that changes something and is not public, on both planes."""
    return sorted((method, _filled(path)) for method, path in OPERATIONS.keys() - PUBLIC if method not in READING)


def _filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: _SEGMENTS.get(found[1]) or _sample(SEGMENTS[found[1]]), path)


def _sample(pattern: str) -> str:
    """Return a segment that a pattern of the routes takes."""
    samples = ["a" * length for length in range(1, 65)]
    return next(sample for sample in samples if re.fullmatch(pattern, sample))


@pytest.mark.parametrize("path", ["/albums", "/studies", "/inboxinfo", "/capabilities"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_our_own_pages_may_ask_both_planes(system: System, cookie: str, method: str, path: str) -> None:
    with system.client() as client:
        answer = client.request(method, path, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/albums", "/studies"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("site", SITES)
def test_nobody_else_s_page_may(system: System, cookie: str, site: str | None, method: str, path: str) -> None:
    given = {"Cookie": cookie} if site is None else {"Cookie": cookie, "Sec-Fetch-Site": site}
    with system.client() as client:
        status = client.request(method, path, headers=given).status_code
    assert status == (401 if method in READING or method == "POST" else 405)


def test_a_site_that_is_sent_twice_is_not_ours(system: System, cookie: str) -> None:
    headers = [("Cookie", cookie), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "same-origin")]
    with system.client() as client:
        assert client.get("/albums", headers=headers).status_code == 401


@pytest.mark.parametrize(("method", "path"), _changing())
def test_nothing_is_changed_by_a_cookie(system: System, cookie: str, method: str, path: str) -> None:
    with system.client() as client:
        answer = client.request(
            method, path, data={"name": "x"}, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        )
    assert answer.status_code == 401


def test_a_link_is_no_way_for_a_cookie(system: System, cookie: str) -> None:
    with system.client() as client:
        answer = client.get(f"/link/{'A' * 22}/albums", headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401


def test_a_token_wins_over_a_cookie(system: System, cookie: str) -> None:
    with system.client(token="A" * 22) as client:
        answer = client.get("/albums", headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 401
