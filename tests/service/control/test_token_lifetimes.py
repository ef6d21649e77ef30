"""How long a capability token may live."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.control.world import World

Run = Callable[[Callable[[Served], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    return lambda body: serve(world, issuer, body)


def test_a_capability_token_lives_no_longer_than_the_settings_allow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KHEOPS_CAPABILITY_DAYS", "30")

    async def body(served: Served) -> None:
        def form(**more: str) -> dict[str, str]:
            return {"title": "Link", "scope_type": "user", "read_permission": "true", **more}

        async def made(days: int) -> httpx.Response:
            at = datetime.now(UTC) + timedelta(days=days)
            return await served.call(
                "POST", "/api/capabilities", by="alice", form=form(expiration_time=at.isoformat())
            )

        assert (await made(29)).status_code == 201
        refused = await made(31)
        assert (refused.status_code, refused.json()["detail"]) == (
            400,
            "'expiration_time' must lie within 30 days from now.",
        )
        # Whoever names no time gets three months, where so much is allowed.
        short = (await served.call("POST", "/api/capabilities", by="alice", form=form())).json()
        issued, expires = (datetime.fromisoformat(short[name]) for name in ("issued_at_time", "expiration_time"))
        assert timedelta(days=29, hours=23) < expires - issued <= timedelta(days=30)

    run(body)
