"""Who may do what to an album: every action as every kind of caller, as data."""

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from kheops.domain.albums import AlbumEdit, Page
from kheops.domain.capabilities import CapabilityDraft
from kheops.domain.principals import CapabilityPermissions, Person, Principal
from kheops.domain.resources import AlbumFlags
from kheops.domain.uses import UseKind
from kheops.ids import AlbumId
from kheops.services.sharing import NamedSource, Selection
from tests.service.control.world import World

NONE = AlbumFlags(
    add_user=False,
    download_series=False,
    send_series=False,
    delete_series=False,
    add_series=False,
    write_comments=False,
)
ALL = AlbumFlags(
    add_user=True, download_series=True, send_series=True, delete_series=True, add_series=True, write_comments=True
)
_numbers = itertools.count(1)


@dataclass
class Scene:
    """One album with everybody in it, a series in it, and another series for whoever may bring one."""

    world: World
    album: AlbumId
    admin: Person
    member: Person
    outsider: Person
    newcomer: Person
    inside: Selection

    def own(self, principal: Principal) -> Selection:
        inbox = self.world.scalar("SELECT inbox_pk FROM users WHERE pk = :pk", pk=principal.user)
        return self.world.series(inbox)


def scene(world: World, flags: AlbumFlags) -> Scene:
    number = next(_numbers)
    admin, member, outsider, newcomer = (
        world.person(f"{name}{number}") for name in ("admin", "member", "outsider", "newcomer")
    )
    album = world.album(admin, member, flags=flags)
    return Scene(world, album, admin, member, outsider, newcomer, world.series(world.key(album)))


CALLERS: dict[str, tuple[AlbumFlags, Callable[[Scene], Principal]]] = {
    "administrator": (NONE, lambda s: s.admin),
    "member, all flags": (ALL, lambda s: s.member),
    "member, no flag": (NONE, lambda s: s.member),
    "outsider": (ALL, lambda s: s.outsider),
    "user token rwa of administrator": (NONE, lambda s: s.world.user_token(s.admin, "rwa")),
    "user token r of administrator": (NONE, lambda s: s.world.user_token(s.admin, "r")),
    "user token w of administrator": (NONE, lambda s: s.world.user_token(s.admin, "w")),
    "user token rwa of member, no flag": (NONE, lambda s: s.world.user_token(s.member, "rwa")),
    "album token rwa": (NONE, lambda s: s.world.album_token(s.admin, s.album, "rwa")),
    "album token r": (NONE, lambda s: s.world.album_token(s.admin, s.album, "r")),
    "album token w": (NONE, lambda s: s.world.album_token(s.admin, s.album, "w")),
    "album token rwa of a mere member": (ALL, lambda s: s.world.album_token(s.member, s.album, "rwa")),
    "album token rwa of another album": (
        ALL,
        lambda s: s.world.album_token(s.admin, s.world.album(s.admin), "rwa"),
    ),
}

Action = Callable[[Scene, Principal], Coroutine[Any, Any, object]]

ACTIONS: dict[str, Action] = {
    "see": lambda s, p: s.world.albums.get(p, s.album, None),
    "list users": lambda s, p: s.world.albums.members.list(p, s.album, Page()),
    "edit album": lambda s, p: s.world.albums.edit(p, s.album, AlbumEdit(name="New"), asked=_use(s, p)),
    "edit own notifications": lambda s, p: s.world.albums.edit(
        p, s.album, AlbumEdit(notification_new_series=True), asked=_use(s, p)
    ),
    "favourite": lambda s, p: s.world.albums.members.set_favorite(p, s.album, is_favorite=True, asked=_use(s, p)),
    "add user": lambda s, p: s.world.albums.members.add(p, s.album, s.newcomer.sub, asked=_use(s, p)),
    "promote": lambda s, p: s.world.albums.members.promote(p, s.album, s.newcomer.sub, asked=_use(s, p)),
    "demote": lambda s, p: s.world.albums.members.demote(p, s.album, s.member.sub, asked=_use(s, p)),
    "remove other": lambda s, p: s.world.albums.members.remove(p, s.album, _other(s, p).sub, asked=_use(s, p)),
    "leave": lambda s, p: s.world.albums.members.remove(p, s.album, p.sub, asked=_use(s, p)),
    "create capability": lambda s, p: s.world.capabilities.create(p, _draft(s), asked=_use(s, p)),
    "list capabilities": lambda s, p: s.world.capabilities.list_of_album(
        p, s.album, user=None, only_valid=False, page=Page()
    ),
    "put own series": lambda s, p: s.world.sharing.put_into_album(
        p, s.own(p), s.album, source=NamedSource(), asked=_use(s, p)
    ),
    "send from album": lambda s, p: s.world.sharing.send_to_user(
        p, s.inside, s.newcomer.sub, source=NamedSource(album=s.album), asked=_use(s, p)
    ),
    "remove series": lambda s, p: s.world.sharing.remove_from_album(p, s.inside, s.album, asked=_use(s, p)),
    "delete album": lambda s, p: s.world.albums.delete(p, s.album, asked=_use(s, p)),
}

# One row an action, one column a caller of CALLERS, in order: ok, 403 (role or token), 404 (hidden),
# 409 (the last administrator).
EXPECTED = """
see                     ok  ok  ok  404 ok  ok  403 ok  ok  ok  ok  404 404
list users              ok  ok  ok  404 ok  ok  403 ok  403 403 403 404 404
edit album              ok  403 403 404 403 403 403 403 403 403 403 404 404
edit own notifications  ok  ok  ok  404 ok  403 403 ok  403 403 403 404 404
favourite               ok  ok  ok  404 ok  403 403 ok  403 403 403 404 404
add user                ok  ok  403 404 403 403 403 403 403 403 403 404 404
promote                 ok  403 403 404 403 403 403 403 403 403 403 404 404
demote                  ok  403 403 404 403 403 403 403 403 403 403 404 404
remove other            ok  403 403 404 403 403 403 403 403 403 403 404 404
leave                   409 ok  ok  404 403 403 403 403 403 403 403 404 404
create capability       ok  403 403 404 403 403 403 403 403 403 403 403 403
list capabilities       ok  403 403 404 403 403 403 403 403 403 403 403 403
put own series          ok  ok  403 404 ok  403 403 403 404 403 403 404 404
send from album         ok  ok  403 404 ok  403 403 403 ok  403 403 404 404
remove series           ok  ok  403 404 ok  403 403 403 ok  403 403 404 404
delete album            ok  403 403 404 403 403 403 403 403 403 403 404 404
"""

_SHORT = {
    "ok": "ok",
    "ForbiddenError": "403",
    "AlbumNotFoundError": "404",
    "NotFoundError": "404",
    "ConflictError": "409",
}


def cells() -> list[tuple[str, str, str]]:
    table = []
    for line in EXPECTED.strip().splitlines():
        (*words,) = line.split()
        action = " ".join(words[: -len(CALLERS)])
        table += [(action, caller, expected) for caller, expected in zip(CALLERS, words[-len(CALLERS) :], strict=True)]
    return table


def test_the_table_names_every_action_and_every_caller() -> None:
    assert {action for action, _, _ in cells()} == set(ACTIONS)
    assert len(cells()) == len(ACTIONS) * len(CALLERS)


@pytest.mark.parametrize("action", list(ACTIONS))
def test_each_caller_may_do_what_the_table_says(shared_world: World, action: str) -> None:
    found, wanted = {}, {}
    for _, caller, expected in (cell for cell in cells() if cell[0] == action):
        flags, principal_of = CALLERS[caller]
        made = scene(shared_world, flags)
        before = _mutable(made)
        principal = principal_of(made)
        found[caller] = _SHORT[shared_world.outcome(ACTIONS[action](made, principal))]
        wanted[caller] = expected
        if expected != "ok":
            assert _mutable(made) == before, f"{caller} was refused and changed something"
    assert found == wanted


def _mutable(made: Scene) -> object:
    world = made.world
    return (
        world.members(made.album),
        world.admins(made.album),
        world.events(made.album),
        world.holders(made.inside),
        world.rows("SELECT name, add_user FROM albums WHERE id = :id", id=made.album),
        world.rows("SELECT is_favorite, notification_new_series FROM album_members WHERE album_pk = :pk ORDER BY 1, 2",
                   pk=world.key(made.album)),
        world.rows("SELECT id FROM capabilities WHERE album_pk = :pk", pk=world.key(made.album)),
    )  # fmt: skip


def _use(s: Scene, p: Principal) -> Any:
    return s.world.use(p, UseKind.ALBUM_EDITED)


def _other(s: Scene, p: Principal) -> Person:
    return s.member if p.user != s.member.user else s.admin


def _draft(s: Scene) -> CapabilityDraft:
    now = s.world.now()
    permissions = CapabilityPermissions(read=True, write=False, appropriate=False, download=False)
    return CapabilityDraft("title", s.album, permissions, now, now.replace(year=now.year + 1, day=1))
