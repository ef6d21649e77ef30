"""Erasing people: what goes, what stays without their name, and who has their albums then."""

import asyncio

from tests.service.control.exchange import capability, viewer_of
from tests.service.control.served import Served
from tests.service.people.asking import album_of, as_root, audited, known, series_seen
from tests.service.people.conftest import Run

ALICE = "/api/users/alice"
GONE = ("alice@example.org", "Alice")


def test_name_address_sessions_and_tokens_go_and_what_was_said_stays(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "bob", "alice")
        said = await served.call("POST", f"/api/albums/{album}/comments", by="alice", form={"comment": "Looks fine"})
        assert said.status_code == 204
        key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
        study = served.world.series(key).study
        token, _ = await capability(served, "alice")
        viewer = await viewer_of(served, served.token("alice"), study)
        assert (await as_root(served, "DELETE", ALICE)).status_code == 204
        for secret in (token, viewer):
            assert (await served.call("GET", "/api/studies", token=secret)).status_code == 401
        history = await served.call("GET", f"/api/albums/{album}/events", by="bob")
        assert "Looks fine" in history.text
        assert not any(each in history.text for each in GONE)
        tables = [row[0] for row in served.world.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in set(tables) - {"audit"}:
            text = str(served.world.rows(f"SELECT * FROM {table}"))
            assert not any(each in text for each in GONE), table
        issuer = served.issuer.issuer
        assert audited(served, "person-erased") == [("granted", f"{issuer} alice", None)]
        assert served.world.scalar("SELECT count(*) FROM audit WHERE sub = 'alice'") > 0, "the audit trail names them"

    run(body)


def test_what_their_inbox_alone_held_is_orphaned_and_the_rest_stays(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "bob", "alice")
        key = served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album)
        inbox = served.world.scalar("SELECT inbox_pk FROM users WHERE sub = 'alice'")
        alone, shared = served.world.series(inbox), served.world.series(inbox, key)
        await as_root(served, "DELETE", ALICE)
        assert served.world.state(alone) == ("orphan", True)
        assert served.world.state(shared) == ("confirmed", False)
        assert await series_seen(served, served.token("bob")) == {shared.series}
        assert served.world.scalar("SELECT count(*) FROM albums WHERE kind = 'inbox'") == 2

    run(body)


def test_a_token_from_before_does_not_bring_them_back_and_a_new_login_is_a_new_person(run: Run) -> None:
    async def body(served: Served) -> None:
        await known(served, "alice")
        inbox = served.world.scalar("SELECT inbox_pk FROM users WHERE sub = 'alice'")
        served.world.series(inbox)
        old = served.token("alice")
        await as_root(served, "DELETE", ALICE)
        assert (await served.call("GET", "/api/inboxinfo", token=old)).status_code == 401
        registered = await served.call("POST", "/api/register", form={"access_token": old})
        assert registered.status_code == 401
        assert served.world.scalar("SELECT count(*) FROM users WHERE sub = 'alice'") == 0
        served.world.execute("UPDATE erasures SET erased_at = erased_at - interval '1 minute'")
        fresh = await served.call("GET", "/api/inboxinfo", by="alice")
        assert fresh.json()["number_of_series"] == 0
        assert await series_seen(served, served.token("alice")) == set()

    run(body)


def test_an_album_goes_on_with_the_member_who_joined_first(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob", "carol", "dora")
        served.world.execute(
            "UPDATE album_members SET joined_at = now() - interval '1 day' "
            "WHERE user_pk IN (SELECT pk FROM users WHERE sub IN ('bob', 'carol'))"
        )
        await as_root(served, "PUT", "/api/users/bob/suspension", {"reason": "away"})
        await as_root(served, "DELETE", ALICE)
        listed = await served.call("GET", f"/api/albums/{album}/users", by="carol")
        assert {each["sub"]: each["is_admin"] for each in listed.json()} == {
            "bob": False,
            "carol": True,
            "dora": False,
        }
        issuer = served.issuer.issuer
        assert audited(served, "admin-changed") == [("granted", f"{album} {issuer} carol", None)]
        (event,) = (await served.call("GET", f"/api/albums/{album}/events?types=mutations&limit=1", by="carol")).json()
        assert (event["mutation_type"], event["target"]["sub"]) == ("PROMOTE_ADMIN", "carol")
        assert event.get("source") is None, "who administers the installation is nobody whom members know"

    run(body)


def test_an_album_with_another_administrator_changes_nothing_else(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob", "carol")
        await served.call("PUT", f"/api/albums/{album}/users/carol/admin", by="alice")
        await as_root(served, "DELETE", ALICE)
        listed = await served.call("GET", f"/api/albums/{album}/users", by="carol")
        assert {each["sub"]: each["is_admin"] for each in listed.json()} == {"bob": False, "carol": True}

    run(body)


def test_an_album_of_nobody_else_goes_and_its_series_are_orphaned(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice")
        series = served.world.series(served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album))
        await as_root(served, "DELETE", ALICE)
        assert served.world.scalar("SELECT count(*) FROM albums WHERE id = :id", id=album) == 0
        assert served.world.state(series) == ("orphan", True)

    run(body)


def test_albums_that_would_be_left_to_nobody_refuse_it_unless_they_may_go(run: Run) -> None:
    async def body(served: Served) -> None:
        of_groups = await album_of(served, "alice")
        await served.call("PUT", f"/api/albums/{of_groups}/groups/radiology", by="alice")
        of_suspended = await album_of(served, "alice", "bob")
        shared = await album_of(served, "alice", "carol")
        await as_root(served, "PUT", "/api/users/bob/suspension", {"reason": "away"})
        refused = await as_root(served, "DELETE", ALICE)
        assert refused.status_code == 409
        assert of_groups in refused.text
        assert of_suspended in refused.text
        assert shared not in refused.text
        assert len((await served.call("GET", "/api/albums", by="alice")).json()) == 3, "nothing is changed"
        assert (await as_root(served, "DELETE", f"{ALICE}?delete_albums=true")).status_code == 204
        left = served.world.rows("SELECT id FROM albums WHERE kind = 'album'")
        assert [row[0] for row in left] == [shared]

    run(body)


def test_erasing_twice_at_once_finds_somebody_once(run: Run) -> None:
    async def body(served: Served) -> None:
        await album_of(served, "alice", "bob")
        answers = await asyncio.gather(*(as_root(served, "DELETE", ALICE) for _ in range(3)))
        assert sorted(each.status_code for each in answers) == [204, 404, 404]

    run(body)


def test_two_administrators_of_an_album_erased_at_once_leave_it_an_administrator(run: Run) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob", "carol")
        await served.call("PUT", f"/api/albums/{album}/users/bob/admin", by="alice")
        answers = await asyncio.gather(as_root(served, "DELETE", ALICE), as_root(served, "DELETE", "/api/users/bob"))
        assert [each.status_code for each in answers] == [204, 204]
        listed = await served.call("GET", f"/api/albums/{album}/users", by="carol")
        assert [(each["sub"], each["is_admin"]) for each in listed.json()] == [("carol", True)]

    run(body)
