"""``OPTIONS /api``: what the service can do (PS3.18 section 8.9)."""

from collections.abc import Awaitable, Callable, Iterator
from xml.etree import ElementTree as ET

import pytest

from kheops.web.openapi import data_operations
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.served import KEY, PUBLIC_URL, Served, environment, serve
from tests.service.control.world import World

Run = Callable[[Callable[[Served], Awaitable[None]]], None]
WADL = "{http://wadl.dev.java.net/2009/02}"
ORIGIN = {"Origin": "https://viewer.example"}


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    return lambda body: serve(world, issuer, body)


def test_everything_that_the_data_plane_does_is_described_in_both_forms(run: Run) -> None:
    expected = {(each.method, each.template.removeprefix("/")) for each in data_operations()}
    assert {("GET", "studies/{study}/rendered"), ("GET", "wado"), ("POST", "studies")} <= expected

    async def body(served: Served) -> None:
        answer = await served.api.options("/api")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vnd.sun.wadl+xml")
        root = ET.fromstring(answer.text)
        resources = root.findall(f"{WADL}resources/{WADL}resource")
        assert root.find(f"{WADL}resources").attrib["base"] == f"{PUBLIC_URL}/api/"  # type: ignore[union-attr]
        assert {
            (method.attrib["name"], resource.attrib["path"])
            for resource in resources
            for method in resource.findall(f"{WADL}method")
        } == expected
        styles = {each.attrib["name"]: each.attrib["style"] for each in root.iter(f"{WADL}param")}
        assert {name for name, style in styles.items() if style == "header"} == {"If-None-Match", "Admin-Action"}
        rendered = next(each for each in resources if each.attrib["path"] == "studies/{study}/rendered")
        assert "viewport" in {each.attrib["name"] for each in rendered.iter(f"{WADL}param")}
        assert "image/png" in {each.attrib["mediaType"] for each in rendered.iter(f"{WADL}representation")}
        json = (await served.api.options("/api", headers={"accept": "application/json"})).json()
        listed = json["application"]["resources"]
        assert {(m["name"], r["path"]) for r in listed["resource"] for m in r["method"]} == expected
        assert listed["base"] == f"{PUBLIC_URL}/api/"
        assert (await served.api.options("/api", headers={"accept": "text/html"})).status_code == 406

    run(body)


def test_it_is_the_same_for_every_caller_and_no_preflight(run: Run) -> None:
    async def body(served: Served) -> None:
        plain = await served.api.options("/api")
        for path, headers in (
            ("/api/", {}),
            ("/api", ORIGIN),
            ("/api", {"Access-Control-Request-Method": "GET"}),
            ("/api/link/AAAAAAAAAAAAAAAAAAAAAA", {}),
            ("/api", {"Authorization": "Bearer nothing"}),
        ):
            answer = await served.api.options(path, headers=headers)
            assert (answer.status_code, answer.content) == (200, plain.content), (path, headers)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["allow"] == "OPTIONS"
        preflight = await served.api.options("/api", headers={**ORIGIN, "Access-Control-Request-Method": "GET"})
        assert (preflight.status_code, preflight.content) == (204, b"")
        for method in ("GET", "POST", "DELETE"):
            refused = await served.api.request(method, "/api")
            assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS")
        assert (await served.api.options("/api/studies")).status_code == 404
        assert (await served.api.options("/")).status_code == 404

    run(body)
