"""Writes of somebody whom another replica has just erased, and about such a person: refused, and never a 500.

This process believes in a person's standing for some seconds; that it was another process that erased them is played
by erasing past it.
"""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from kheops.errors import InvalidTokenError
from kheops.ids import UserPk
from kheops.storage.erasure import delete_person
from tests.service.control.exchange import ACCESS_TOKEN, EXCHANGE
from tests.service.control.served import Served
from tests.service.control.world import World
from tests.service.people.asking import album_of
from tests.service.people.conftest import Run

_GROUP = "INSERT INTO album_groups (album_pk, iss, value, added_at, added_by) VALUES (:album, 'i', 'v', now(), :user)"
HOOK = {"name": "Hook", "url": "https://hook.example/", "event": "new_series"}
VIEWER = {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN, "scope": "viewer read write"}


def erase_elsewhere(served: Served, sub: str) -> None:
    """Erase somebody as another process would."""
    user = UserPk(served.world.scalar("SELECT pk FROM users WHERE sub = :sub", sub=sub))
    iss, at = served.issuer.issuer, served.world.now()
    served.world.database.run_blocking(lambda tx: delete_person(tx, user, iss=iss, sub=sub, at=at))


@pytest.mark.parametrize(
    ("method", "path", "form", "status"),
    [
        ("POST", "/api/albums", {"name": "Hearts"}, 401),
        ("POST", "/api/capabilities", {"title": "t", "scope_type": "user", "read_permission": "true"}, 401),
        ("PATCH", "/api/albums/{album}", {"name": "Lungs"}, 404),
        ("PUT", "/api/albums/{album}/users/bob", None, 404),
        ("PUT", "/api/albums/{album}/groups/surgery", None, 404),
        ("PUT", "/api/albums/{album}/favorites", None, 404),
        ("POST", "/api/albums/{album}/comments", {"comment": "Said"}, 404),
        ("POST", "/api/albums/{album}/invitations", {"email": "eve@example.net"}, 404),
        ("POST", "/api/links", {"title": "t", "album": "{album}"}, 404),
        ("POST", "/api/links", {"title": "t", "series": "{series}"}, 404),
        ("POST", "/api/studies/{study}/comments", {"comment": "Said"}, 404),
        ("PUT", "/api/studies/{study}", None, 404),
        ("PUT", "/api/studies/{study}/users/bob", None, 404),
        ("PUT", "/api/studies/{study}/albums/{album}", None, 404),
        ("DELETE", "/api/studies/{study}", None, 404),
        ("POST", "/api/studies", {}, 404),
        ("POST", "/api/token", {**VIEWER, "studyUID": "{study}", "subject_token": "{token}"}, 400),
        ("POST", "/api/albums/{album}/webhooks", HOOK, 404),
    ],
)
def test_somebody_who_is_gone_writes_nothing(
    run: Run, method: str, path: str, form: dict[str, str] | None, status: int
) -> None:
    async def body(served: Served) -> None:
        album = await album_of(served, "alice", "bob")
        inbox = served.world.scalar("SELECT inbox_pk FROM users WHERE sub = 'alice'")
        held = served.world.series(inbox, served.world.scalar("SELECT pk FROM albums WHERE id = :id", id=album))
        series = f"{held.study}/{held.series}"
        erase_elsewhere(served, "alice")
        before = served.world.scalar("SELECT count(*) FROM events")
        named = {"album": album, "study": held.study, "series": series, "token": served.token("alice")}
        sent = None if form is None else {name: value.format(**named) for name, value in form.items()}
        answer = await served.call(method, path.format(**named), by="alice", form=sent)
        assert answer.status_code == status, answer.text
        assert served.world.scalar("SELECT count(*) FROM events") == before

    run(body)


def test_who_is_looked_up_by_the_work_itself_is_looked_up_anew(world: World) -> None:
    alice, found = world.person("alice"), iter([-1, None])
    album = world.key(world.album(alice))

    def work(tx: Connection) -> str:
        user = next(found)
        tx.execute(text(_GROUP), {"album": album, "user": user})
        return "nobody found" if user is None else "somebody found"

    assert world.database.run_blocking(work) == "nobody found"


def test_a_row_that_is_no_person_and_stays_away_is_a_fault_of_ours(world: World) -> None:
    alice = world.person("alice")
    world.album(alice)

    def work(tx: Connection) -> None:
        tx.execute(text(_GROUP), {"album": -1, "user": alice.user})

    with pytest.raises(DatabaseError, match="album_groups_album_pk_fkey"):
        world.database.run_blocking(work)


def test_a_person_who_stays_away_has_been_erased(world: World) -> None:
    album = world.key(world.album(world.person("alice")))

    def work(tx: Connection) -> None:
        tx.execute(text(_GROUP), {"album": album, "user": -1})

    with pytest.raises(InvalidTokenError) as caught:
        world.database.run_blocking(work)
    assert caught.value.reason == "erased"
