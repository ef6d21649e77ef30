"""Suspending people and letting them in again."""

import asyncio

import pytest

from tests.service.control.exchange import capability, studies, viewer_of
from tests.service.control.served import Served
from tests.service.people.asking import album_of, as_root, audited, in_groups, known, series_seen
from tests.service.people.conftest import Run

SUSPENSION = "/api/users/alice/suspension"
WHY = {"reason": "left the hospital"}


def test_everything_of_a_suspended_person_ends_at_once_and_comes_back_but_for_sessions(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
        study = served.world.series(key).study
        user_token, _ = await capability(served, "alice")
        album_token, _ = await capability(served, "alice", scope_type="album", album=album)
        viewers = [await viewer_of(served, token, study) for token in (served.token("alice"), user_token, album_token)]
        served.world.execute(
            "INSERT INTO web_sessions (id_hash, user_pk, created_at, last_seen_at, expires_at) "
            "SELECT 'x', pk, now(), now(), now() + interval '1 hour' FROM users WHERE sub = 'alice'"
        )
        assert all([await studies(served, token) == [study] for token in (user_token, album_token, *viewers)])
        assert (await as_root(served, "PUT", SUSPENSION, WHY)).status_code == 204
        for token in (served.token("alice"), user_token, album_token, *viewers):
            assert (await served.call("GET", "/api/studies", token=token)).status_code == 401
        assert served.world.scalar("SELECT count(*) FROM web_sessions") == 0
        assert await series_seen(served, served.token("bob")), "the album goes on for the others"
        assert (await as_root(served, "DELETE", SUSPENSION)).status_code == 204
        assert all([await studies(served, token) == [study] for token in (user_token, album_token)])
        assert await studies(served, served.token("alice")) == [study]
        for token in viewers:
            assert (await served.call("GET", "/api/studies", token=token)).status_code == 401

    run(body)


def test_a_bare_sub_that_another_issuer_has_too_is_nobody_to_administrators(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        issuer = served.issuer.issuer
        assert (await as_root(served, "GET", SUSPENSION)).status_code == 200
        served.world.person("alice", iss="https://other.example.org", email="alice@other.example.org")
        for method, form in (("GET", None), ("PUT", WHY), ("DELETE", None)):
            assert (await as_root(served, method, SUSPENSION, form)).status_code == 404
        assert (await as_root(served, "PUT", f"{SUSPENSION}?issuer={issuer}", WHY)).status_code == 204
        suspended = served.world.rows("SELECT iss FROM users WHERE suspended_at IS NOT NULL")
        assert suspended == [(issuer,)]

    run(body)


def test_report_tokens_and_codes_do_not_come_back_with_their_person(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        served.world.execute(
            "INSERT INTO report_providers (album_pk, client_id, name, url, created_at) "
            "SELECT pk, 'provider', 'A provider', 'https://provider.example/', now() FROM albums WHERE id = :id",
            id=album,
        )
        for secret, code in (("'of alice'", "NULL"), ("NULL", "'of alice'")):
            served.world.execute(
                "INSERT INTO report_tokens (provider_pk, user_pk, study_instance_uids, read_permission, "
                "write_permission, redirect_uri, code_hash, secret_hash, issued_at, expires_at) "
                f"SELECT p.pk, u.pk, '{{1.2}}', true, false, 'https://provider.example/', {code}, {secret}, now(), "
                "now() + interval '1 hour' FROM report_providers p, users u WHERE u.sub = 'alice'"
            )
        assert (await as_root(served, "PUT", SUSPENSION, WHY)).status_code == 204
        assert (await as_root(served, "DELETE", SUSPENSION)).status_code == 204
        assert served.world.rows("SELECT revoked_at IS NOT NULL FROM report_tokens") == [(True,), (True,)]

    run(body)


def test_a_suspended_person_is_nobody_to_others(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        await as_root(served, "PUT", SUSPENSION, WHY)
        assert (await served.call("GET", "/api/users?reference=alice", by="bob")).status_code == 204
        made = await served.call("POST", "/api/albums", by="bob", form={"name": "Hearts"})
        added = await served.call("PUT", f"/api/albums/{made.json()['album_id']}/users/alice", by="bob")
        assert added.status_code == 404

    run(body)


def test_where_their_standing_is_remembered_nothing_is_looked_up_for_them_all_the_same(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
        served.world.series(key)
        assert await series_seen(served, served.token("alice"))
        # As another replica does it: this one still remembers that she is in good standing.
        served.world.execute("UPDATE users SET suspended_at = now() WHERE sub = 'alice'")
        assert await series_seen(served, served.token("alice")) == set()
        assert (await served.call("GET", f"/api/albums/{album}", by="alice")).status_code == 404

    run(body)


def test_a_standing_is_told_with_its_time_and_reason(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        issuer = served.issuer.issuer
        before = await as_root(served, "GET", SUSPENSION)
        assert before.json() == {"issuer": issuer, "sub": "alice", "suspended": False}
        await as_root(served, "PUT", SUSPENSION, WHY)
        since = (await as_root(served, "GET", SUSPENSION)).json()["suspended_time"]
        await as_root(served, "PUT", SUSPENSION, {"reason": "another"})
        told = (await as_root(served, "GET", "/api/users/alice%40example.org/suspension")).json()
        assert told.pop("suspended_time") == since
        assert told == {"issuer": issuer, "sub": "alice", "suspended": True, "reason": "another"}
        subject = f"{issuer} alice"
        reasons = audited(served, "person-suspended")
        assert reasons == [("granted", subject, "left the hospital"), ("granted", subject, "another")]
        await as_root(served, "DELETE", SUSPENSION)
        assert audited(served, "person-restored") == [("granted", subject, None)]
        assert (await as_root(served, "GET", SUSPENSION)).json()["suspended"] is False

    run(body)


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", SUSPENSION, None),
        ("PUT", SUSPENSION, WHY),
        ("DELETE", SUSPENSION, None),
        ("DELETE", "/api/users/alice", None),
    ],
)
def test_only_administrators_of_the_installation_do_it(
    run: Run, method: str, path: str, form: dict[str, str] | None
) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        root = served.token("root", roles=["root"])
        made = {"title": "t", "scope_type": "user", "read_permission": "true", "write_permission": "true"}
        own = (await served.call("POST", "/api/capabilities", token=root, form=made)).json()["access_token"]
        by_group = in_groups(served, "bob", "root")
        for token in (served.token("bob"), own, by_group):
            for about in (path, path.replace("alice", "nobody")):
                refused = await served.call(method, about, token=token, form=form)
                assert refused.status_code == 403, refused.text
                assert "alice" not in refused.text
        assert (await served.call(method, path, form=form)).status_code == 401
        assert served.world.scalar("SELECT count(*) FROM users WHERE sub = 'alice' AND suspended_at IS NULL") == 1

    run(body)


@pytest.mark.parametrize(
    ("method", "path", "form", "status"),
    [
        ("PUT", "/api/users/nobody/suspension", WHY, 404),
        ("PUT", "/api/users/nobody%40example.org/suspension", WHY, 404),
        ("PUT", "/api/users/alice/suspension?issuer=https://nobody.example", WHY, 404),
        ("DELETE", "/api/users/nobody/suspension", None, 404),
        ("GET", "/api/users/nobody/suspension", None, 404),
        ("DELETE", "/api/users/nobody", None, 404),
        ("PUT", SUSPENSION, {}, 400),
        ("PUT", SUSPENSION, {"reason": " "}, 400),
        ("PUT", SUSPENSION, {"reason": "x" * 501}, 400),
        ("PUT", SUSPENSION, {**WHY, "more": "x"}, 400),
        ("GET", f"{SUSPENSION}?more=x", None, 400),
        ("PUT", "/api/users/root/suspension", WHY, 409),
        ("DELETE", "/api/users/root", None, 409),
        ("DELETE", "/api/users/alice?delete_albums=maybe", None, 400),
    ],
)
def test_bad_requests_about_people_are_told(
    run: Run, method: str, path: str, form: dict[str, str] | None, status: int
) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        answer = await as_root(served, method, path, form)
        assert answer.status_code == status, answer.text
        assert served.world.scalar("SELECT count(*) FROM users WHERE suspended_at IS NULL") == 2

    run(body)


def test_an_address_that_two_people_have_means_nobody(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice", "bob")
        served.world.execute("UPDATE users SET email = 'alice@example.org' WHERE sub = 'bob'")
        answer = await as_root(served, "PUT", "/api/users/alice%40example.org/suspension", WHY)
        assert answer.status_code == 404

    run(body)


def test_suspending_twice_at_once_is_done_once(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        answers = await asyncio.gather(*(as_root(served, "PUT", SUSPENSION, WHY) for _ in range(4)))
        assert {each.status_code for each in answers} == {204}

    run(body)
