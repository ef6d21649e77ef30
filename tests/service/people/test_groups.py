"""Groups as members of albums: whoever presents one is a plain member, for that request alone."""

import asyncio

import pytest

from tests.service.control.exchange import capability, exchange, viewer_of
from tests.service.control.served import Served
from tests.service.people.asking import album_of, as_root, audited, in_groups, known, series_seen
from tests.service.people.conftest import Run


async def scene(served: Served) -> tuple[str, str, str]:
    """Give an album of Alice's with the radiologists in it, and the study and series that it holds."""
    album = await album_of(served, "alice")
    await known(served, "bob", "eve")
    added = await served.call("PUT", f"/api/albums/{album}/groups/radiology", by="alice")
    assert (added.status_code, added.content) == (201, b"")
    key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
    selection = served.world.series(key)
    assert selection.series is not None
    return album, selection.study, selection.series


def test_a_group_reaches_what_the_album_holds_while_it_is_presented(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, series = await scene(served)
        bob = in_groups(served, "bob", "cardiology", "radiology")
        assert await series_seen(served, bob) == {series}
        assert await series_seen(served, bob, f"?album={album}") == {series}
        for token in (served.token("bob"), in_groups(served, "eve", "cardiology"), in_groups(served, "eve", "radio")):
            assert await series_seen(served, token) == set()
            assert (await served.call("GET", f"/api/albums/{album}", token=token)).status_code == 404

    run(body)


def test_an_album_of_a_group_is_listed_once_and_counted_once(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, series = await scene(served)
        await served.call("PUT", f"/api/albums/{album}/groups/surgery", by="alice")
        both = in_groups(served, "bob", "surgery", "radiology")
        for token in (both, in_groups(served, "alice", "surgery", "radiology")):
            listed = await served.call("GET", "/api/albums", token=token)
            assert [each["album_id"] for each in listed.json()] == [album]
            assert listed.headers["X-Total-Count"] == "1"
            assert listed.json()[0]["number_of_series"] == 1
            assert await series_seen(served, token) == {series}
        assert (await served.call("GET", "/api/albums", token=both)).json()[0]["is_admin"] is False

    run(body)


def test_a_group_makes_plain_members_with_no_membership_of_their_own(run: Run) -> None:
    async def body(served: Served) -> None:
        album, study, series = await scene(served)
        bob = in_groups(served, "bob", "radiology")
        sent = await served.call("PUT", f"/api/studies/{study}/series/{series}/users/eve", token=bob)
        assert sent.status_code == 201
        for method, path in (
            ("DELETE", f"/api/albums/{album}/users/bob"),
            ("DELETE", f"/api/albums/{album}/users/alice"),
            ("PUT", f"/api/albums/{album}/favorites"),
            ("PUT", f"/api/albums/{album}/groups/surgery"),
            ("DELETE", f"/api/albums/{album}/groups/radiology"),
            ("PUT", f"/api/albums/{album}/users/bob/admin"),
            ("DELETE", f"/api/albums/{album}"),
        ):
            assert (await served.call(method, path, token=bob)).status_code == 403, (method, path)
        listed = await served.call("GET", f"/api/albums/{album}/users", token=bob)
        assert [each["sub"] for each in listed.json()] == ["alice"]

    run(body)


def test_an_administrator_is_not_made_less_by_a_group(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        alice = in_groups(served, "alice", "radiology")
        edited = await served.call("PATCH", f"/api/albums/{album}", token=alice, form={"name": "New"})
        assert edited.status_code == 200
        assert edited.json()["is_admin"] is True

    run(body)


def test_a_group_of_another_issuer_is_another_group(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        await served.call("DELETE", f"/api/albums/{album}/groups/radiology", by="alice")
        served.world.execute(
            "INSERT INTO album_groups (album_pk, iss, value, added_at) "
            "SELECT pk, 'https://other.example', 'radiology', now() FROM albums WHERE id = :id",
            id=album,
        )
        assert await series_seen(served, in_groups(served, "bob", "radiology")) == set()

    run(body)


def test_capability_tokens_do_not_inherit_groups(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        bob = in_groups(served, "bob", "radiology")
        form = {"title": "t", "scope_type": "user", "read_permission": "true"}
        made = await served.call("POST", "/api/capabilities", token=bob, form=form)
        secret = made.json()["access_token"]
        assert await series_seen(served, secret) == set()
        assert (await served.call("GET", f"/api/albums/{album}", token=secret)).status_code == 404

    run(body)


def test_a_viewer_token_has_the_groups_of_its_parent_until_that_ends(run: Run) -> None:
    async def body(served: Served) -> None:
        album, study, series = await scene(served)
        bob = in_groups(served, "bob", "radiology")
        everything = await viewer_of(served, bob, study)
        of_album = await viewer_of(served, bob, study, source_type="album", source_id=album)
        without = await viewer_of(served, served.token("bob"), study)
        refused = await exchange(served, served.token("bob"), study, source_type="album", source_id=album)
        assert refused.status_code == 400
        for viewer in (everything, of_album):
            assert await series_seen(served, viewer) == {series}
        assert await series_seen(served, without) == set()
        ends = "SELECT extract(epoch FROM groups_until - issued_at) FROM viewer_tokens"
        assert all(0 < seconds <= 600 for (seconds,) in served.world.rows(ends)), "as the access token does"
        served.world.execute("UPDATE viewer_tokens SET groups_until = now() - interval '1 second'")
        for viewer in (everything, of_album):
            found = await served.call("GET", f"/api/studies/{study}/series", token=viewer)
            assert found.status_code in {200, 404}
            assert series not in found.text

    run(body)


def test_a_group_that_is_taken_out_is_out_at_the_next_request(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, series = await scene(served)
        bob = in_groups(served, "bob", "radiology")
        assert await series_seen(served, bob) == {series}
        removed = await served.call("DELETE", f"/api/albums/{album}/groups/radiology", by="alice")
        assert removed.status_code == 204
        assert await series_seen(served, bob) == set()
        again = await served.call("DELETE", f"/api/albums/{album}/groups/radiology", by="alice")
        assert again.status_code == 404
        subject = f"{album} {served.issuer.issuer} radiology"
        assert audited(served, "group-added") == [("granted", subject, None)]
        assert audited(served, "group-removed")[0] == ("granted", subject, None)
        assert [outcome for outcome, _, _ in audited(served, "group-removed")] == ["granted", "refused"]

    run(body)


def test_groups_are_listed_in_pages_for_members_and_nobody_else(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        for group in ("%2Fstaff%2Fnight%20shift", "surgery"):
            added = await served.call("PUT", f"/api/albums/{album}/groups/{group}", by="alice")
            assert added.status_code == 201
        path = f"/api/albums/{album}/groups"
        page = await served.call("GET", f"{path}?limit=2&offset=0", token=in_groups(served, "bob", "surgery"))
        assert page.headers["X-Total-Count"] == "3"
        assert [each["group"] for each in page.json()] == ["/staff/night shift", "radiology"]
        assert {each["issuer"] for each in page.json()} == {served.issuer.issuer}
        assert (await served.call("GET", path, by="eve")).status_code == 404
        assert (await served.call("GET", path)).status_code == 401
        assert (await served.call("GET", f"{path}?limit=0", by="alice")).status_code == 400
        secret, _ = await capability(
            served, "alice", scope_type="album", album=album, write_permission="true", read_permission="true"
        )
        assert (await served.call("GET", path, token=secret)).status_code == 403

    run(body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/groups/surgery?issuer=https://nobody.example", 400),
        ("PUT", "/groups/surgery?who=me", 400),
        ("PUT", "/groups/", 404),
        ("PUT", "/groups/%00", 404),
        ("PUT", "/groups/" + "x" * 321, 404),
        ("POST", "/groups/surgery", 405),
        ("DELETE", "/groups/surgery", 404),
    ],
)
def test_bad_requests_about_groups_are_told(run: Run, method: str, path: str, status: int) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        answer = await served.call(method, f"/api/albums/{album}{path}", by="alice")
        assert answer.status_code == status, answer.text

    run(body)


def test_adding_the_same_group_twice_at_once_adds_it_once(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        path = f"/api/albums/{album}/groups/surgery"
        answers = await asyncio.gather(*(served.call("PUT", path, by="alice") for _ in range(4)))
        assert {each.status_code for each in answers} == {201}
        listed = await served.call("GET", f"/api/albums/{album}/groups", by="alice")
        assert [each["group"] for each in listed.json()] == ["radiology", "surgery"]

    run(body)


def test_the_last_member_does_not_take_the_album_from_groups(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        left = await served.call("DELETE", f"/api/albums/{album}/users/alice", by="alice")
        assert left.status_code == 409
        await served.call("DELETE", f"/api/albums/{album}/groups/radiology", by="alice")
        assert (await served.call("DELETE", f"/api/albums/{album}/users/alice", by="alice")).status_code == 204

    run(body)


def test_the_administrator_of_the_installation_is_no_member_of_albums(run: Run) -> None:
    async def body(served: Served) -> None:
        album, _, _ = await scene(served)
        assert (await as_root(served, "PUT", f"/api/albums/{album}/groups/surgery")).status_code == 404

    run(body)


def test_adding_and_removing_a_group_is_in_the_history(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        path = f"/api/albums/{album}/groups/radiology"
        for method in ("PUT", "PUT", "DELETE"):
            assert (await served.call(method, path, by="alice")).is_success
        events = f"/api/albums/{album}/events?types=mutations"
        of_groups = (await served.call("GET", f"{events}&type=add_group&type=REMOVE_GROUP", by="bob")).json()
        assert [each["mutation_type"] for each in of_groups] == ["REMOVE_GROUP", "ADD_GROUP"], (
            "the second PUT: nothing"
        )
        for each in of_groups:
            assert each["group"] == {"issuer": served.issuer.issuer, "group": "radiology"}
            assert each["source"]["sub"] == "alice"
        of_users = (await served.call("GET", f"{events}&family=users", by="bob")).json()
        assert [each["mutation_type"] for each in of_users] == ["REMOVE_GROUP", "ADD_GROUP", "ADD_USER"]
        assert "group" not in of_users[2]

    run(body)
