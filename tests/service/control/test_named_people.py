"""People as requests name them over HTTP: a ``sub`` together with its issuer, as lists show them."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from kheops.ids import AlbumId, AlbumPk
from tests.fakes.jwks_server import FakeIssuer, running
from tests.service.control.served import KEY, Served, environment, serve
from tests.service.control.world import World
from tests.service.people.asking import album_of

Body = Callable[[Served], Awaitable[None]]
Run = Callable[[Body], None]

OTHER = "https://other.example.org/realms/a"
NAMED = "issuer=https%3A%2F%2Fother.example.org%2Frealms%2Fa"


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with running(KEY) as fake:
        yield fake


@pytest.fixture
def run(world: World, shared_url: str, issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> Run:
    environment(monkeypatch, shared_url, issuer)
    return lambda body: serve(world, issuer, body)


def test_who_is_shown_with_an_issuer_is_named_with_it_as_a_member(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        world = served.world
        other = world.person("bob", iss=OTHER, email="bob@other.example.org")
        users = f"/api/albums/{album}/users/bob"
        assert (await served.call("PUT", f"{users}?{NAMED}", by="alice")).status_code == 201
        shown = (await served.call("GET", f"/api/albums/{album}/users", by="alice")).json()
        both = {(OTHER, "bob"), (served.issuer.issuer, "bob")}
        assert {(each["iss"], each["sub"]) for each in shown if each["sub"] == "bob"} == both
        # Bare, it is neither's any longer.
        for method, path in (("PUT", f"{users}/admin"), ("DELETE", f"{users}/admin"), ("DELETE", users)):
            assert (await served.call(method, path, by="alice")).status_code == 404
        for method, is_admin in (("PUT", True), ("DELETE", False)):
            assert (await served.call(method, f"{users}/admin?{NAMED}", by="alice")).status_code == 204
            assert (other.user in world.admins(AlbumId(album))) is is_admin
        capabilities = f"/api/capabilities?album={album}"
        assert (await served.call("GET", f"{capabilities}&user=bob&{NAMED}", by="alice")).json() == []
        events = f"/api/albums/{album}/events?types=mutations"
        assert (await served.call("GET", f"{events}&user=alice", by="alice")).json()
        assert not (await served.call("GET", f"{events}&user=alice&{NAMED}", by="alice")).json()
        for path in (f"{events}&{NAMED}", f"{capabilities}&{NAMED}"):
            assert (await served.call("GET", path, by="alice")).status_code == 400
        assert (await served.call("DELETE", f"{users}?{NAMED}", by="alice")).status_code == 204
        assert other.user not in world.members(AlbumId(album))

    run(body)


def test_who_is_shown_with_an_issuer_is_named_with_it_where_series_and_comments_go_to_people(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        world = served.world
        other = world.person("bob", iss=OTHER, email="bob@other.example.org")
        await served.call("PUT", f"/api/albums/{album}/users/bob?{NAMED}", by="alice")
        series = world.series(AlbumPk(world.scalar("SELECT inbox_pk FROM users WHERE sub = 'alice'")))
        one = f"/api/studies/{series.study}/series/{series.series}/users/bob"
        sent = [(await served.call("PUT", each, by="alice")).status_code for each in (one, f"{one}?{NAMED}")]
        assert sent == [404, 201]
        assert world.inbox(other) in world.holders(series)
        chosen = [{"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series}]
        for target, status in (({}, 404), ({"issuer": OTHER}, 201), ({"issuer": 1}, 400), ({"album": album}, 400)):
            shared = await served.api.post(
                "/api/shares",
                json={"series": chosen, "target": {"user": "bob", **target}},
                headers={"authorization": f"Bearer {served.token('alice')}"},
            )
            assert shared.status_code == status, shared.text
        for path in (f"/api/albums/{album}/comments", f"/api/studies/{series.study}/comments"):
            for form, status in (({}, 404), ({"issuer": OTHER}, 204)):
                said = {"comment": "psst", "to_user": "bob", **form}
                assert (await served.call("POST", path, by="alice", form=said)).status_code == status
        assert world.rows("SELECT DISTINCT to_user_pk FROM comments") == [(other.user,)]
        found = (await served.call("GET", f"/api/users?reference=bob&{NAMED}", by="alice")).json()
        assert (found["iss"], found["email"]) == (OTHER, "bob@other.example.org")
        assert (await served.call("GET", "/api/users?reference=bob", by="alice")).status_code == 204
        # Where nobody is named, an issuer is as unknown as any other parameter.
        assert (await served.call("GET", f"/api/users?search=bob&{NAMED}", by="alice")).status_code == 400
        for path in (f"{one}?issuers=1", f"/api/studies/{series.study}?{NAMED}"):
            assert (await served.call("PUT", path, by="alice")).status_code == 400

    run(body)
